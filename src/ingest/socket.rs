//! The sockets that events come in by: ZeroMQ PULL, bound by us, since rsyslog connects.
//!
//! libzmq queues up to the high-water mark for each sender and then lets it wait: we bound
//! what we take, never drop. Two frames are topic and payload; more are refused.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::config::{Format, IngestSockets, socket_path};
use crate::connections::{Doorkeeper, Kind};

/// How often libzmq's own size limit lies above ours: it disconnects the sender, so it is
/// only the emergency brake behind a limit that we check and count.
const HARD_LIMIT_FACTOR: u64 = 16;

/// The bound sockets.
pub struct Receiver {
    sockets: Vec<(zmq::Socket, Arc<str>)>,
    /// Format of the messages.
    pub format: Format,
    /// Bytes of a message beyond which it is refused.
    pub max_message: u64,
}

/// What was received.
pub enum Received {
    /// A payload.
    Message(zmq::Message),
    /// The first frame of a message of more than two, and how many there were.
    TooManyFrames(zmq::Message, usize),
}

impl Receiver {
    /// Binds the sockets.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub fn bind(
        context: &zmq::Context,
        config: &IngestSockets,
        door: &mut Doorkeeper,
    ) -> Result<Self, String> {
        let mut sockets = Vec::with_capacity(config.bind.len());
        for address in &config.bind {
            let socket = context.socket(zmq::PULL).map_err(|e| e.to_string())?;
            let limit = config.max_message.saturating_mul(HARD_LIMIT_FACTOR);
            let mut configure = || {
                door.watch(context, &socket, Kind::Events)?;
                socket.set_rcvhwm(config.receive_high_water_mark)?;
                socket.set_maxmsgsize(i64::try_from(limit).unwrap_or(i64::MAX))?;
                socket.set_ipv6(true)?;
                socket.set_linger(0)?;
                if config.receive_buffer > 0 {
                    socket.set_rcvbuf(config.receive_buffer)?;
                }
                Ok(())
            };
            configure().map_err(|e: zmq::Error| e.to_string())?;
            let bound = bind(&socket, "ingest.zmq.bind", address)?;
            sockets.push((socket, bound.into()));
        }
        let (format, max_message) = (config.format, config.max_message);
        Ok(Self { sockets, format, max_message })
    }

    /// The addresses that are bound.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(_, address)| &**address)
    }

    /// Number of sockets.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether there are no sockets.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Closes the sockets: what is sent from now on stays with its sender.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// The address of one socket.
    pub fn address(&self, at: usize) -> &Arc<str> {
        &self.sockets[at].1
    }

    /// Takes a message from one socket, if one is there.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn receive(&self, at: usize) -> Result<Option<Received>, zmq::Error> {
        let socket = &self.sockets[at].0;
        let mut message = zmq::Message::new();
        match socket.recv(&mut message, zmq::DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(None),
            Err(error) => return Err(error),
        }
        if !message.get_more() {
            return Ok(Some(Received::Message(message)));
        }
        // The parts of a message arrive together.
        let mut frames = 1;
        let mut payload = zmq::Message::new();
        let mut more = true;
        while more {
            let mut frame = zmq::Message::new();
            socket.recv(&mut frame, 0)?;
            frames += 1;
            more = frame.get_more();
            payload = frame;
        }
        Ok(Some(match frames {
            2 => Received::Message(payload),
            _ => Received::TooManyFrames(message, frames),
        }))
    }

    /// Waits until a message or a wake-up is there.
    pub fn wait(&self, waker: &WakeUp, timeout_ms: i64, also_messages: bool) {
        let sockets: &[_] = if also_messages { &self.sockets } else { &[] };
        let mut items: Vec<zmq::PollItem<'_>> =
            sockets.iter().map(|(socket, _)| socket.as_poll_item(zmq::POLLIN)).collect();
        items.push(zmq::PollItem::from_fd(waker.fd(), zmq::POLLIN));
        // An interrupted wait is a short wait.
        let _ = zmq::poll(&mut items, timeout_ms);
        waker.drain();
    }
}

/// Binds a socket; gives the address as it was bound, with the port that the system chose
/// for `*`.
///
/// # Errors
/// A sentence that names the address.
pub fn bind(socket: &zmq::Socket, key: &str, address: &str) -> Result<String, String> {
    leaves_others_alone(address)
        .and_then(|()| socket.bind(address))
        .map_err(|e| explain_bind(key, address, e))?;
    let Ok(Ok(endpoint)) = socket.get_last_endpoint() else { return Ok(address.to_owned()) };
    // A socket for both versions shows 127.0.0.1 as ::ffff:127.0.0.1.
    let at = endpoint.strip_prefix("tcp://").and_then(|at| at.parse::<SocketAddr>().ok());
    Ok(at.map_or(endpoint, |at| {
        format!("tcp://{}", SocketAddr::new(at.ip().to_canonical(), at.port()))
    }))
}

/// Whether a path may be bound. libzmq removes what lies there before it binds, a file as
/// well as the socket of a running server, which would listen on unheard: only a socket at
/// which nobody answers is for us to replace.
fn leaves_others_alone(address: &str) -> Result<(), zmq::Error> {
    let Some(path) = socket_path(address) else { return Ok(()) };
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => return Err(zmq::Error::ENOTSOCK),
        _ => {}
    }
    match UnixStream::connect(path).map_err(|e| e.kind()) {
        Err(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(ErrorKind::PermissionDenied) => Err(zmq::Error::EACCES),
        _ => Err(zmq::Error::EADDRINUSE),
    }
}

/// A sentence on why an address cannot be bound.
fn explain_bind(key: &str, address: &str, error: zmq::Error) -> String {
    let advice = match error {
        zmq::Error::EADDRINUSE => "it is taken: stop the program that uses it, or choose another",
        zmq::Error::EACCES => "this user may not: choose a port above 1023 or another path",
        zmq::Error::ENODEV | zmq::Error::EADDRNOTAVAIL => "this machine has no such address",
        zmq::Error::ENOTSOCK => {
            "what lies there is no socket: move it away, or choose another path"
        }
        zmq::Error::ENOENT => "its folder does not exist: make it, or choose another path",
        _ => "choose another address",
    };
    format!("{key}: cannot bind {address}: {error}; {advice}")
}

/// Wakes a thread that waits for messages.
pub struct WakeUp {
    reader: UnixStream,
}

/// The other end of a [`WakeUp`].
#[derive(Clone)]
pub struct Waker {
    writer: Arc<UnixStream>,
}

/// Makes a pair of ends.
///
/// # Errors
/// What the system says.
pub fn wake_up() -> std::io::Result<(Waker, WakeUp)> {
    let (writer, reader) = UnixStream::pair()?;
    writer.set_nonblocking(true)?;
    reader.set_nonblocking(true)?;
    Ok((Waker { writer: Arc::new(writer) }, WakeUp { reader }))
}

impl Waker {
    /// Wakes the other end; a wake-up that is still unread is enough.
    pub fn wake(&self) {
        use std::io::Write;
        let _ = (&*self.writer).write(&[1]);
    }
}

impl WakeUp {
    /// For `zmq::poll`.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Takes the wake-ups that have come.
    pub fn drain(&self) {
        use std::io::Read;
        let mut buffer = [0; 64];
        while matches!((&self.reader).read(&mut buffer), Ok(n) if n == buffer.len()) {}
    }
}
