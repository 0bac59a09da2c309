//! The sending end of a PUSH socket that neither loses what it took nor waits in silence
//! for a server that is not there.
//!
//! libzmq queues for a peer that has not answered yet and keeps trying; so whether anyone
//! is there is asked beside it: at the start the socket's own monitor tells of the
//! handshake, later a plain connection shows whether someone still listens. A server that
//! listens and does not read is busy, and waiting for it is what PUSH is for.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use crossbeam_channel::bounded;

use crate::cli::table::counted;
use crate::clock::Stopwatch;

/// Messages that wait in memory before the next one waits outside.
pub(super) const SEND_HIGH_WATER_MARK: i32 = 64;

/// Where the socket tells of its handshakes.
const MONITOR: &str = "inproc://summarizer-send";

/// How long a step takes at most that needs nobody's leave.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connected PUSH socket.
pub struct Pusher {
    // In this order: a monitor must outlive its socket, a context both.
    socket: zmq::Socket,
    monitor: zmq::Socket,
    context: zmq::Context,
    address: String,
    timeout: Duration,
}

impl Pusher {
    /// Connects, and waits until a server has answered.
    ///
    /// # Errors
    /// Where the address cannot be, nobody answers within `timeout`, or what answers does
    /// not take events.
    pub fn connect(address: &str, timeout: Duration) -> anyhow::Result<Self> {
        let context = zmq::Context::new();
        let socket = context.socket(zmq::PUSH)?;
        // Until all is sent well, an error must not wait for messages that cannot go.
        socket.set_linger(0)?;
        socket.set_sndhwm(SEND_HIGH_WATER_MARK)?;
        socket.set_sndtimeo(millis(timeout))?;
        let handshakes = [
            zmq::SocketEvent::HANDSHAKE_SUCCEEDED,
            zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL,
            zmq::SocketEvent::HANDSHAKE_FAILED_PROTOCOL,
            zmq::SocketEvent::HANDSHAKE_FAILED_AUTH,
            // How a peer of another kind answers: libzmq does not try again then.
            zmq::SocketEvent::DISCONNECTED,
        ];
        let mask = handshakes.iter().fold(0, |mask, event| mask | i32::from(event.to_raw()));
        socket.monitor(MONITOR, mask)?;
        let monitor = context.socket(zmq::PAIR)?;
        // Unread events of later handshakes must never block the socket.
        monitor.set_rcvhwm(0)?;
        monitor.set_linger(0)?;
        monitor.connect(MONITOR)?;
        socket.connect(address).with_context(|| {
            format!("cannot connect to {address}; expected an address such as tcp://127.0.0.1:5555")
        })?;
        let pusher = Self { socket, monitor, context, address: address.to_owned(), timeout };
        pusher.wait_for_handshake()?;
        Ok(pusher)
    }

    fn wait_for_handshake(&self) -> anyhow::Result<()> {
        let since = Stopwatch::start();
        let mut ended = false;
        loop {
            let left = self.timeout.saturating_sub(since.elapsed());
            self.monitor.set_rcvtimeo(millis(left))?;
            let event = match self.monitor.recv_multipart(0) {
                Ok(frames) => {
                    frames.first().and_then(|f| Some(u16::from_ne_bytes(*f.first_chunk()?)))
                }
                Err(zmq::Error::EINTR) => continue,
                Err(zmq::Error::EAGAIN) if ended => return Err(self.full()),
                Err(zmq::Error::EAGAIN) => return Err(self.nobody()),
                Err(error) => return Err(error.into()),
            };
            let is = |other: zmq::SocketEvent| event == Some(other.to_raw());
            if is(zmq::SocketEvent::HANDSHAKE_SUCCEEDED) {
                return Ok(());
            }
            // A server with too many connections ends those beyond: libzmq tells both that the
            // handshake failed and that the connection is gone, and tries again by itself.
            if is(zmq::SocketEvent::HANDSHAKE_FAILED_NO_DETAIL) {
                ended = true;
                self.monitor.set_rcvtimeo(millis(PATIENCE))?;
                let _ = self.monitor.recv_multipart(0);
                continue;
            }
            let address = &self.address;
            bail!(
                "what listens at {address} does not take events; name the address of \
                 ingest.zmq.bind (that of query.zmq.bind takes questions only)"
            );
        }
    }

    /// Hands over one message; waits as long as the server is busy.
    ///
    /// # Errors
    /// Where nobody listens any more.
    pub fn push(&self, message: &[u8]) -> anyhow::Result<()> {
        loop {
            match self.socket.send(message, 0) {
                Ok(()) => return Ok(()),
                Err(zmq::Error::EINTR) => {}
                Err(zmq::Error::EAGAIN) if listens(&self.address) => {}
                Err(zmq::Error::EAGAIN) => return Err(self.nobody()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until every message has gone to the server's side of the connection.
    ///
    /// # Errors
    /// Where nobody listens any more while some are left, or where the connection broke in
    /// between, so that nobody knows what has arrived.
    pub fn finish(self) -> anyhow::Result<()> {
        let lost = self.nobody();
        let breaks = self.breaks();
        let Self { socket, monitor, context, address, timeout } = self;
        socket.set_linger(-1)?;
        drop(socket);
        drop(monitor);
        let (done_out, done_in) = bounded::<()>(1);
        // Ending a context waits for its messages; it cannot be asked how many there are.
        std::thread::spawn(move || {
            drop(context);
            drop(done_out);
        });
        while done_in.recv_timeout(timeout) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            if !listens(&address) {
                let most = SEND_HIGH_WATER_MARK;
                return Err(lost.context(format!("up to {most} messages could not be handed over")));
            }
        }
        match breaks {
            0 => Ok(()),
            _ => bail!(
                "the connection to {address} broke {} on the way, and what was in flight then is \
                 lost: compare with events_accepted and events_refused of the server",
                counted(breaks, "time")
            ),
        }
    }

    /// How often the connection broke.
    fn breaks(&self) -> u64 {
        let events = std::iter::from_fn(|| self.monitor.recv_multipart(zmq::DONTWAIT).ok());
        let lost = zmq::SocketEvent::DISCONNECTED.to_raw().to_ne_bytes();
        events.filter(|frames| frames.first().is_some_and(|f| f.starts_with(&lost))).count() as u64
    }

    fn full(&self) -> anyhow::Error {
        let (address, seconds) = (&self.address, self.timeout.as_secs_f64());
        anyhow::anyhow!(
            "what listens at {address} ends connections as they begin (tried for {seconds} s); \
             where its log tells of too many, close some or raise its limit of open files, or wait \
             longer with --timeout"
        )
    }

    fn nobody(&self) -> anyhow::Error {
        let (address, seconds) = (&self.address, self.timeout.as_secs_f64());
        anyhow::anyhow!(
            "nobody listens at {address} (waited {seconds} s); start `summarizer serve`, name \
             its ingest.zmq.bind with --to, or wait longer with --timeout"
        )
    }
}

/// A time as libzmq takes it; at least one millisecond, since 0 would mean not to wait.
pub(in crate::cli) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Whether someone accepts connections at an address (assumed where it cannot be tried).
pub(in crate::cli) fn listens(address: &str) -> bool {
    if let Some(path) = address.strip_prefix("ipc://") {
        return UnixStream::connect(path).is_ok();
    }
    let Some(host) = address.strip_prefix("tcp://") else { return true };
    match host.to_socket_addrs() {
        Ok(mut places) => places.any(|at| TcpStream::connect_timeout(&at, PATIENCE).is_ok()),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(kind: zmq::SocketType) -> (zmq::Context, zmq::Socket, String) {
        let context = zmq::Context::new();
        let socket = context.socket(kind).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap();
        (context, socket, address)
    }

    #[test]
    fn finish_waits_for_a_slow_server() {
        let (_context, pull, address) = server(zmq::PULL);
        pull.set_rcvhwm(1).unwrap();
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            (0..20).map(|_| pull.recv_bytes(0).unwrap().len()).sum::<usize>()
        });
        let pusher = Pusher::connect(&address, Duration::from_millis(100)).unwrap();
        for _ in 0..20 {
            pusher.push(&vec![b'x'; 1 << 20]).unwrap();
        }
        pusher.finish().unwrap();
        assert_eq!(reader.join().unwrap(), 20 << 20);
    }

    #[test]
    fn nobody_there_is_an_error_with_the_next_step() {
        let error = Pusher::connect("tcp://127.0.0.1:1", Duration::from_millis(50)).err().unwrap();
        assert!(error.to_string().contains("start `summarizer serve`"), "{error}");
        assert!(Pusher::connect("nonsense", Duration::from_millis(50)).is_err());
    }

    #[test]
    fn the_address_for_questions_is_recognised() {
        let (_context, _router, address) = server(zmq::ROUTER);
        let error = Pusher::connect(&address, Duration::from_secs(5)).err().unwrap();
        assert!(error.to_string().contains("does not take events"), "{error}");
    }

    #[test]
    fn a_server_with_too_many_connections_is_tried_again() {
        use std::net::{Shutdown, TcpListener};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let ends = std::thread::spawn(move || {
            for _ in 0..3 {
                let _ = listener.accept().unwrap().0.shutdown(Shutdown::Both);
            }
        });
        let error = Pusher::connect(&address, Duration::from_millis(50)).err().unwrap();
        assert!(error.to_string().contains("ends connections as they begin"), "{error}");
        let server = address.clone();
        let takes = std::thread::spawn(move || {
            ends.join().unwrap();
            let pull = zmq::Context::new().socket(zmq::PULL).unwrap();
            pull.bind(&server).unwrap();
            pull.recv_bytes(0).unwrap()
        });
        let pusher = Pusher::connect(&address, Duration::from_secs(10)).unwrap();
        pusher.push(b"one").unwrap();
        pusher.finish().unwrap();
        assert_eq!(takes.join().unwrap(), b"one");
    }

    #[test]
    fn a_server_that_came_back_is_noticed() {
        let (context, pull, address) = server(zmq::PULL);
        let pusher = Pusher::connect(&address, Duration::from_secs(5)).unwrap();
        pusher.push(b"one").unwrap();
        assert_eq!(pull.recv_bytes(0).unwrap(), b"one");
        drop(pull);
        drop(context);
        let pull = zmq::Context::new().socket(zmq::PULL).unwrap();
        pull.bind(&address).unwrap();
        // What goes out before the break is noticed is lost.
        pull.set_rcvtimeo(100).unwrap();
        while pull.recv_bytes(0).is_err() {
            pusher.push(b"two").unwrap();
        }
        let error = pusher.finish().unwrap_err().to_string();
        assert!(error.contains("broke 1 time on the way"), "{error}");
    }

    #[test]
    fn a_server_that_went_away_is_noticed() {
        let (context, pull, address) = server(zmq::PULL);
        let pusher = Pusher::connect(&address, Duration::from_millis(50)).unwrap();
        drop(pull);
        drop(context);
        let mut pushed = 0;
        while pushed < 1000 && pusher.push(&[b'x'; 1 << 20]).is_ok() {
            pushed += 1;
        }
        assert!(pushed < 1000);
    }
}
