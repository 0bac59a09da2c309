//! The connections of our sockets, as libzmq tells of them: how many there are, which ended, and
//! an end to those beyond the limit. libzmq itself takes as many as come, until no file can be
//! opened any more.
//!
//! A connection that is too much is ended from our side only: it is said that nothing more will come
//! from here, whereupon the peer closes it. It has not been let in yet and has sent nothing; but one
//! that speaks an old protocol may have begun to: what is on its way is still read, and the peer
//! keeps the rest for its next connection. Only a peer that does not close is cut off.
//!
//! In: the events of the sockets' monitors. Out: the number of connections as a gauge, and of those
//! that were refused as a counter.

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Kind;
use crate::clock::Stopwatch;
use crate::limits;
use crate::metrics::Metrics;

/// Which connection of a socket, of all that it has had. Numbers of descriptors come again.
type Serial = u64;

/// What is asked of a monitor.
const EVENTS: [zmq::SocketEvent; 3] =
    [zmq::SocketEvent::ACCEPTED, zmq::SocketEvent::DISCONNECTED, zmq::SocketEvent::MONITOR_STOPPED];

/// How long a peer has to close a connection that was ended from here.
const ENDING: Duration = Duration::from_secs(1);

/// Events that libzmq's end of a monitor holds beside ours.
const LIBZMQ_EVENTS: i32 = 1000;

/// Longest that a socket may take to be gone once it is closed: more than any lingers.
const CLOSING: Duration = Duration::from_secs(5);

/// A socket's monitor.
struct Monitor {
    events: zmq::Socket,
    has_stopped: bool,
}

/// A connection that libzmq has.
struct Connection {
    serial: Serial,
    /// When it was ended from here.
    ended: Option<Stopwatch>,
}

/// The connections of one or several sockets that share a limit. The sockets are to be closed
/// before it is dropped.
pub struct Connections {
    kind: Kind,
    most: usize,
    monitors: Vec<Monitor>,
    /// By monitor and descriptor: what two monitors tell has no order.
    open: HashMap<(usize, RawFd), Connection>,
    /// Those of them that were not ended from here.
    lasting: usize,
    next: Serial,
    /// Those that were ended from here, oldest first. Their peers may have closed them since.
    ending: VecDeque<((usize, RawFd), Serial)>,
    warned: Option<Stopwatch>,
}

impl Connections {
    /// Takes `most` connections.
    pub fn new(kind: Kind, most: usize) -> Self {
        let (monitors, open, ending) = Default::default();
        let (lasting, next, warned) = (0, 0, None);
        Self { kind, most, monitors, open, lasting, next, ending, warned }
    }

    /// Sets a socket up for connections that are watched, before it is bound.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn watch(&mut self, context: &zmq::Context, socket: &zmq::Socket) -> zmq::Result<()> {
        let (idle, interval, count) = limits::KEEPALIVE;
        socket.set_tcp_keepalive(1)?;
        socket.set_tcp_keepalive_idle(idle)?;
        socket.set_tcp_keepalive_intvl(interval)?;
        socket.set_tcp_keepalive_cnt(count)?;
        socket.set_handshake_ivl(limits::HANDSHAKE_MS)?;
        let place = format!("inproc://connections-{}-{}", self.kind.name(), self.monitors.len());
        let mask = EVENTS.iter().fold(0, |mask, event| mask | i32::from(event.to_raw()));
        socket.monitor(&place, mask)?;
        let monitor = context.socket(zmq::PAIR)?;
        // So many may wait to be heard. Then libzmq waits and takes no connection: those that we
        // have not heard of yet are not without bound.
        monitor.set_rcvhwm(limits::CONNECTIONS_UNHEARD as i32 - LIBZMQ_EVENTS)?;
        monitor.set_linger(0)?;
        monitor.connect(&place)?;
        self.monitors.push(Monitor { events: monitor, has_stopped: false });
        Ok(())
    }

    /// Whether all sockets are closed.
    pub fn are_over(&self) -> bool {
        self.monitors.iter().all(|monitor| monitor.has_stopped)
    }

    /// For `zmq::poll`.
    pub fn poll_items(&self) -> impl Iterator<Item = zmq::PollItem<'_>> {
        self.monitors.iter().map(|monitor| monitor.events.as_poll_item(zmq::POLLIN))
    }

    /// After how many milliseconds [`Self::update`] is due, though nothing happened.
    pub fn longest_wait_ms(&self) -> Option<i64> {
        (!self.ending.is_empty()).then_some(ENDING.as_millis() as i64)
    }

    /// Notes what has happened, and ends connections that are too many.
    pub fn update(&mut self, metrics: &Metrics) {
        let mut refused = 0;
        let mut changed = false;
        for at in 0..self.monitors.len() {
            while let Ok(frames) = self.monitors[at].events.recv_multipart(zmq::DONTWAIT) {
                let Some((event, descriptor)) = frames.first().and_then(|f| read_event(f)) else {
                    continue;
                };
                changed = true;
                if event == zmq::SocketEvent::ACCEPTED.to_raw() {
                    refused += u64::from(self.begin((at, descriptor)));
                } else if event == zmq::SocketEvent::DISCONNECTED.to_raw() {
                    self.forget((at, descriptor));
                } else {
                    self.monitors[at].has_stopped = true;
                }
            }
        }
        self.cut_off();
        if changed {
            self.kind.gauge(metrics).set(self.open.len() as i64);
        }
        if refused > 0 {
            metrics.connections_refused.add(refused);
            self.warn(metrics.connections_refused.get());
        }
    }

    /// Notes a new connection. True: it was one too many.
    fn begin(&mut self, place: (usize, RawFd)) -> bool {
        self.forget(place);
        self.next += 1;
        let serial = self.next;
        let refused = self.lasting >= self.most && end(place.1, Shutdown::Write);
        if refused {
            self.ending.push_back((place, serial));
        } else {
            self.lasting += 1;
        }
        let ended = refused.then(Stopwatch::start);
        self.open.insert(place, Connection { serial, ended });
        refused
    }

    /// Notes that a connection is gone.
    fn forget(&mut self, place: (usize, RawFd)) {
        if let Some(connection) = self.open.remove(&place) {
            self.lasting -= usize::from(connection.ended.is_none());
        }
    }

    /// Cuts off peers that did not close what was ended, at once where they are many.
    fn cut_off(&mut self) {
        let open = &self.open;
        let since = |(place, serial): &((usize, RawFd), Serial)| {
            open.get(place).filter(|c| c.serial == *serial).and_then(|c| c.ended.as_ref())
        };
        self.ending.retain(|ending| since(ending).is_some());
        while let Some(oldest) = self.ending.front()
            && (self.ending.len() > self.most / 2
                || since(oldest).is_some_and(|since| since.elapsed() >= ENDING))
        {
            end(oldest.0.1, Shutdown::Both);
            self.ending.pop_front();
        }
    }

    fn warn(&mut self, refused: u64) {
        let every = Duration::from_secs(limits::LOG_EVERY_SECONDS as u64);
        if self.warned.is_none_or(|watch| watch.elapsed() >= every) {
            self.warned = Some(Stopwatch::start());
            tracing::warn!(
                refused,
                limit = self.most,
                "too many connections for {}: new ones are ended; close those that are not used, \
                 or raise the limit of open files (ulimit -n, or LimitNOFILE of the unit)",
                self.kind.name()
            );
        }
    }
}

impl Drop for Connections {
    /// Waits until the sockets are gone, which takes libzmq a moment: its threads would stand still
    /// for ever with an event that nobody can be told any more.
    fn drop(&mut self) {
        for Monitor { events, has_stopped } in &mut self.monitors {
            let _ = events.set_rcvtimeo(CLOSING.as_millis() as i32);
            while !*has_stopped {
                match events.recv_multipart(0) {
                    Ok(frames) => {
                        let event = frames.first().and_then(|frame| read_event(frame));
                        let stopped = zmq::SocketEvent::MONITOR_STOPPED.to_raw();
                        *has_stopped = event.is_some_and(|(event, _)| event == stopped);
                    }
                    Err(zmq::Error::EINTR) => {}
                    Err(_) => break,
                }
            }
        }
    }
}

/// Number and descriptor of an event.
fn read_event(frame: &[u8]) -> Option<(u16, RawFd)> {
    let (event, value) = frame.split_first_chunk()?;
    Some((u16::from_ne_bytes(*event), RawFd::from_ne_bytes(*value.first_chunk()?)))
}

/// Ends a connection that libzmq has accepted. False: it is gone.
///
/// libzmq may have closed it meanwhile and its number may stand for something else. So the number
/// serves only to have a descriptor of our own, which goes on standing for the same thing, and
/// what that is is looked at: a file or one of this program's pairs of sockets is left alone. Another
/// connection that was accepted just now may be hit; it is too many as well, or its peer
/// connects again.
fn end(descriptor: RawFd, how: Shutdown) -> bool {
    let Some(ours) = copy(descriptor) else { return false };
    let stream = TcpStream::from(ours);
    if stream.local_addr().is_ok() {
        return stream.shutdown(how).is_ok();
    }
    let stream = UnixStream::from(OwnedFd::from(stream));
    // What is accepted at a path bears its name.
    let accepted = stream.local_addr().is_ok_and(|at| !at.is_unnamed());
    accepted && stream.shutdown(how).is_ok()
}

/// Another descriptor for what a number stands for.
#[allow(unsafe_code)]
fn copy(descriptor: RawFd) -> Option<OwnedFd> {
    if descriptor < 0 {
        return None;
    }
    // SAFETY: it is a number (not -1) that the system is asked to copy, in one call that fails where
    // nothing is open by it. Nothing is read, written or closed through the borrowed one.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// Updates until it is as it should be.
    fn until(connections: &mut Connections, metrics: &Metrics, holds: impl Fn(&Metrics) -> bool) {
        let begun = Stopwatch::start();
        while !holds(metrics) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{metrics:?}");
            connections.update(metrics);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn until_over(connections: &mut Connections, metrics: &Metrics) {
        let begun = Stopwatch::start();
        while !connections.are_over() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            connections.update(metrics);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn those_beyond_the_limit_are_ended_and_others_may_come_then() {
        let (context, metrics) = (zmq::Context::new(), Metrics::default());
        let mut connections = Connections::new(Kind::Events, 2);
        let folder = tempfile::tempdir().unwrap();
        let socket = context.socket(zmq::PULL).unwrap();
        connections.watch(&context, &socket).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap();
        let path = folder.path().join("in");
        socket.bind(&format!("ipc://{}", path.display())).unwrap();
        let connect = || TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
        let first = connect();
        until(&mut connections, &metrics, |m| m.event_connections.get() == 1);
        let _second = UnixStream::connect(&path).unwrap();
        until(&mut connections, &metrics, |m| m.event_connections.get() == 2);
        let refused =
            [UnixStream::from(OwnedFd::from(connect())), UnixStream::connect(&path).unwrap()];
        until(&mut connections, &metrics, |m| {
            m.connections_refused.get() == 2 && m.event_connections.get() == 2
        });
        for mut refused in refused {
            // Whatever libzmq had said before, it has an end.
            let _ = std::io::Read::read_to_end(&mut refused, &mut Vec::new());
        }
        drop(first);
        until(&mut connections, &metrics, |m| m.event_connections.get() == 1);
        let _third = connect();
        until(&mut connections, &metrics, |m| m.event_connections.get() == 2);
        assert_eq!(metrics.connections_refused.get(), 2);
        // They end with their sockets.
        drop(socket);
        until_over(&mut connections, &metrics);
    }

    #[test]
    fn connections_that_nobody_hears_of_have_a_bound() {
        const TRIED: usize = 3000;
        let (context, metrics) = (zmq::Context::new(), Metrics::default());
        let mut connections = Connections::new(Kind::Questions, 10);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let socket = context.socket(zmq::ROUTER).unwrap();
        connections.watch(&context, &socket).unwrap();
        socket.bind(&format!("ipc://{}", path.display())).unwrap();
        // Without keeping them: who is gone again is heard of all the same.
        let (made_out, made_in) = std::sync::mpsc::channel();
        let connecting = std::thread::spawn(move || {
            for _ in 0..TRIED {
                made_out.send(UnixStream::connect(&path).map(drop).is_ok()).unwrap();
            }
        });
        let made = || made_in.recv_timeout(Duration::from_secs(1)).is_ok();
        let taken = (0..TRIED).take_while(|_| made()).count();
        // What the kernel holds of those that wait comes on top.
        let waiting = 200;
        assert!(taken <= limits::CONNECTIONS_UNHEARD + waiting, "{taken}");
        while !connecting.is_finished() {
            connections.update(&metrics);
            std::thread::sleep(Duration::from_millis(1));
        }
        connecting.join().unwrap();
        drop(socket);
        until_over(&mut connections, &metrics);
    }

    #[test]
    fn nothing_but_a_connection_is_ended() {
        let file = tempfile::tempfile().unwrap();
        let (pair, other) = UnixStream::pair().unwrap();
        for descriptor in [file.as_raw_fd(), pair.as_raw_fd(), -1, RawFd::MAX] {
            assert!(!end(descriptor, Shutdown::Both), "{descriptor}");
        }
        std::io::Write::write_all(&mut &pair, b"x").unwrap();
        drop(other);
    }
}
