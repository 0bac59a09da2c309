//! Which connection a client's name stands for. A client may choose its name and come back by it,
//! on a connection of its own: an answer belongs to the connection that its question came by, and
//! one that comes late must not pass for the answer to the next question.
//!
//! libzmq lets the name stand for the new connection as soon as that is made, and tells nobody. But
//! each connection was let in and numbered ([`Newcomers`]), and none is made behind our back. Whose
//! a new one is shows with its first question. So a client that chose its name waits for its answer
//! while a newer connection is silent that may be its own; not for long, since who connects to ask
//! asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, Weak};

use crate::connections::admission::{Newcomers, Silent, number};

/// The connection that a question came by.
#[derive(Clone, Debug)]
pub struct Connection {
    number: u64,
    /// The newest connection by the same name.
    newest: Arc<AtomicU64>,
}

#[cfg(test)]
impl Connection {
    /// A connection nobody came back from.
    pub fn numbered(number: u64) -> Self {
        Self { number, newest: Arc::new(AtomicU64::new(number)) }
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// Whether a client is at the other end of the connection that its question came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, or it is gone and nobody else has its name.
    There,
    /// It may have come back on a new connection that has not said anything yet.
    Unsure,
    /// It is not.
    Gone,
}

/// The clients of a socket.
pub struct Clients {
    newcomers: Newcomers,
    /// For each name by which a question is under way, and some more, the newest connection.
    by_name: HashMap<Vec<u8>, Weak<AtomicU64>>,
}

impl Clients {
    /// Those of a socket whose connections are let in one by one.
    pub fn new(newcomers: Newcomers) -> Self {
        Self { newcomers, by_name: HashMap::new() }
    }

    /// Who was let in and has not spoken. As long as this is held, nobody else is let in.
    pub fn silent(&self) -> MutexGuard<'_, Silent> {
        self.newcomers.lock()
    }

    /// Notes a message of a client and gives its connection: none where libzmq has not asked, which
    /// it does not for those who speak a protocol older than that of ZeroMQ 4.
    pub fn note(&mut self, name: &[u8], message: &mut zmq::Message) -> Option<Connection> {
        let number = number(message)?;
        self.silent().remove(number);
        let newest = match self.by_name.get(name).and_then(Weak::upgrade) {
            Some(newest) => newest,
            None => {
                if self.by_name.len() == self.by_name.capacity() {
                    self.by_name.retain(|_, newest| newest.strong_count() > 0);
                }
                let newest = Arc::new(AtomicU64::new(number));
                self.by_name.insert(name.to_owned(), Arc::downgrade(&newest));
                newest
            }
        };
        // What a former connection had said may be read later than what its successor says.
        newest.fetch_max(number, Ordering::Relaxed);
        Some(Connection { number, newest })
    }
}

/// Whether a client is still at the other end of the connection that its question came by; so it
/// is as long as nobody else is let in.
pub fn presence(silent: &Silent, name: &[u8], connection: Option<&Connection>) -> Presence {
    let Some(Connection { number, newest }) = connection else { return Presence::There };
    if newest.load(Ordering::Relaxed) != *number {
        return Presence::Gone;
    }
    // Names that libzmq gave begin with a zero, and none comes again.
    let is_chosen = name.first().is_some_and(|byte| *byte != 0);
    match is_chosen && silent.has_newer_than(*number) {
        true => Presence::Unsure,
        false => Presence::There,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::Kind;
    use crate::connections::admission::Admission;

    /// The connection of the next message within a number of milliseconds.
    fn hear(socket: &zmq::Socket, clients: &mut Clients, patience: i64) -> Option<Connection> {
        let mut message = zmq::Message::new();
        while socket.poll(zmq::POLLIN, patience).unwrap() > 0 {
            socket.recv(&mut message, 0).unwrap();
            if !message.get_more() {
                return clients.note(b"name", &mut message);
            }
        }
        None
    }

    /// Waits until libzmq asks.
    fn admit_one(admission: &mut Admission) {
        assert!(zmq::poll(&mut [admission.poll_item()], 60_000).unwrap() > 0);
        let request = admission.next_request().unwrap();
        admission.let_in(&request);
    }

    #[test]
    fn nobody_comes_back_behind_our_back() {
        let context = zmq::Context::new();
        let socket = context.socket(zmq::ROUTER).unwrap();
        let mut admission = Admission::new(&context).unwrap();
        Admission::ask_for(&socket, Kind::Questions).unwrap();
        let mut clients = Clients::new(admission.newcomers().clone());
        socket.set_router_handover(true).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap();
        let connect = || {
            let client = context.socket(zmq::DEALER).unwrap();
            client.set_identity(b"name").unwrap();
            client.set_linger(0).unwrap();
            client.connect(&address).unwrap();
            client
        };
        let former = connect();
        former.send("question", 0).unwrap();
        admit_one(&mut admission);
        let first = hear(&socket, &mut clients, 60_000).unwrap();
        assert_eq!(presence(&clients.silent(), b"name", Some(&first)), Presence::There);
        let latter = connect();
        latter.send("question", 0).unwrap();
        // It is not there before it is let in, and may be anybody then.
        assert!(hear(&socket, &mut clients, 100).is_none());
        assert_eq!(presence(&clients.silent(), b"name", Some(&first)), Presence::There);
        admit_one(&mut admission);
        assert_eq!(presence(&clients.silent(), b"name", Some(&first)), Presence::Unsure);
        assert_eq!(
            presence(&clients.silent(), b"\0\x01\x02\x03\x04", Some(&first)),
            Presence::There
        );
        let second = hear(&socket, &mut clients, 60_000).unwrap();
        assert!(first != second);
        assert_eq!(presence(&clients.silent(), b"name", Some(&first)), Presence::Gone);
        assert_eq!(presence(&clients.silent(), b"name", Some(&second)), Presence::There);
        // Whom nobody asks about is not kept.
        drop((first, second));
        for name in 0..100_u32 {
            latter.send("question", 0).unwrap();
            assert!(socket.poll(zmq::POLLIN, 60_000).unwrap() > 0);
            let mut message = zmq::Message::new();
            socket.recv(&mut message, 0).unwrap();
            socket.recv(&mut message, 0).unwrap();
            drop(clients.note(&name.to_ne_bytes(), &mut message));
        }
        assert!(clients.by_name.len() < 8, "{}", clients.by_name.len());
    }
}
