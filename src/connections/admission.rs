//! Lets connections in, and numbers those who ask. libzmq asks by the ZeroMQ Authentication
//! Protocol (<https://rfc.zeromq.org/spec/27>), and takes a name for the connection that all its
//! messages bear. Peers that speak a protocol older than that of ZeroMQ 4 it lets in by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Kind;
use crate::clock::Stopwatch;

/// Where libzmq asks.
const PLACE: &str = "inproc://zeromq.zap.01";

/// The property of a message that bears the number of its connection.
const NUMBER: &str = "User-Id";

/// How long a connection that was let in may be silent until nobody waits for its first word.
pub const SILENCE: Duration = Duration::from_millis(250);

/// The number that was given to the connection of a message: none where libzmq has not asked.
pub fn number(message: &mut zmq::Message) -> Option<u64> {
    message.gets(NUMBER)?.parse().ok()
}

/// Connections that were let in and have said nothing yet, and since when they are there.
#[derive(Debug, Default)]
pub struct Silent(Vec<(u64, Stopwatch)>);

impl Silent {
    /// Adds one.
    pub fn add(&mut self, number: u64) {
        self.0.push((number, Stopwatch::start()));
    }

    /// Takes one out: it has said something.
    pub fn remove(&mut self, number: u64) {
        self.0.retain(|(silent, _)| *silent != number);
    }

    /// Takes those out that have been silent for long. All that was said must have been noted.
    pub fn forget(&mut self) {
        self.0.retain(|(_, since)| since.elapsed() < SILENCE);
    }

    /// Whether one of them is newer than a connection.
    pub fn has_newer_than(&self, number: u64) -> bool {
        self.0.iter().any(|(silent, _)| *silent > number)
    }
}

/// Who was let in to ask and has not, for those who let in and those who answer.
#[derive(Clone, Debug, Default)]
pub struct Newcomers(Arc<Mutex<Silent>>);

impl Newcomers {
    /// As long as this is held, nobody else is let in.
    pub fn lock(&self) -> MutexGuard<'_, Silent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question of libzmq: its frames.
pub struct Request(Vec<Vec<u8>>);

/// Answers libzmq.
pub struct Admission {
    asks: zmq::Socket,
    newest: u64,
    newcomers: Newcomers,
}

impl Admission {
    /// For the sockets of a context.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn new(context: &zmq::Context) -> zmq::Result<Self> {
        let asks = context.socket(zmq::REP)?;
        asks.set_linger(0)?;
        asks.bind(PLACE)?;
        Ok(Self { asks, newest: 0, newcomers: Newcomers::default() })
    }

    /// Has libzmq ask for the connections of a socket.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn ask_for(socket: &zmq::Socket, kind: Kind) -> zmq::Result<()> {
        // Where it has none, libzmq does not ask.
        socket.set_zap_domain(kind.name())
    }

    /// Who was let in to ask and has not.
    pub fn newcomers(&self) -> &Newcomers {
        &self.newcomers
    }

    /// For `zmq::poll`.
    pub fn poll_item(&self) -> zmq::PollItem<'_> {
        self.asks.as_poll_item(zmq::POLLIN)
    }

    /// What libzmq asks next, if anything. It is to be answered before the next.
    pub fn next_request(&self) -> Option<Request> {
        self.asks.recv_multipart(zmq::DONTWAIT).ok().map(Request)
    }

    /// Lets a connection in.
    pub fn let_in(&mut self, Request(frames): &Request) {
        let frame = |at: usize| frames.get(at).map_or(b"".as_slice(), Vec::as_slice);
        let (version, request, domain) = (frame(0), frame(1), frame(2));
        let mut number = String::new();
        if domain == Kind::Questions.name().as_bytes() {
            self.newest += 1;
            number = self.newest.to_string();
            self.newcomers.lock().add(self.newest);
        }
        let (status, text, metadata) = (b"200".as_slice(), b"".as_slice(), b"".as_slice());
        let reply = [version, request, status, text, number.as_bytes(), metadata];
        // Who asked may be gone; then nobody minds.
        let _ = self.asks.send_multipart(reply, zmq::DONTWAIT);
    }
}
