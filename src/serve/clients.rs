//! Which connection a client's name stands for. A client may choose its name and come back by it,
//! on a connection of its own: an answer belongs to the connection that its question came by, and
//! one that comes late must not pass for the answer to the next question.
//!
//! libzmq reads the end of a connection before the beginning of one that was made after it, and
//! tells of it in this order; so who looks here before each answer finds a client that closed and
//! came back gone. A host that vanished says no end: then the name stands for its former connection
//! until the first question of the next one.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::ingest::connections::{Connections, Serial};
use crate::metrics::Metrics;

/// The clients of a socket, which is to be closed before this is dropped.
pub struct Clients {
    connections: Connections,
    metrics: Arc<Metrics>,
    by_name: HashMap<Vec<u8>, Serial>,
    names: HashMap<Serial, Vec<u8>>,
}

impl Clients {
    /// Those of the one socket that is watched.
    pub fn new(connections: Connections, metrics: Arc<Metrics>) -> Self {
        let (by_name, names) = Default::default();
        Self { connections, metrics, by_name, names }
    }

    /// For `zmq::poll`.
    pub fn poll_items(&self) -> impl Iterator<Item = zmq::PollItem<'_>> {
        self.connections.poll_items()
    }

    /// Forgets those whose connections have ended.
    pub fn update(&mut self) {
        for serial in self.connections.update(&self.metrics) {
            let Some(name) = self.names.remove(&serial) else { continue };
            if self.by_name.get(&name) == Some(&serial) {
                self.by_name.remove(&name);
            }
        }
    }

    /// The connection that a client's question came by; none where it has ended since.
    pub fn note(&mut self, name: &[u8], descriptor: RawFd) -> Option<Serial> {
        self.update();
        let serial = self.connections.serial(0, descriptor)?;
        if self.by_name.get(name) != Some(&serial) {
            self.by_name.insert(name.to_owned(), serial);
            self.names.insert(serial, name.to_owned());
        }
        Some(serial)
    }

    /// Whether a client is still at the other end of the connection that its question came by.
    pub fn is_there(&mut self, name: &[u8], connection: Option<Serial>) -> bool {
        self.update();
        connection.is_some() && self.by_name.get(name) == connection.as_ref()
    }
}
