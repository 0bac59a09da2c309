//! Which connection a client's name stands for. A client may choose its name and come back by it,
//! on a connection of its own: an answer belongs to the connection that its question came by, and
//! one that comes late must not pass for the answer to the next question.
//!
//! libzmq lets the name stand for the new connection from the moment when that is made, and tells
//! nobody. It does tell that there is a new connection, but not whose, until its first question
//! comes. So a client that chose its name waits for its answer while a newer connection is silent
//! that may be its own; not for long, since who connects to ask asks.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::ingest::connections::{Connections, Serial};
use crate::metrics::Metrics;

/// How long a new connection may be that of a client who comes back, and silent.
pub const SILENCE: Duration = Duration::from_millis(100);

/// Whether a client is at the other end of the connection that its question came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It may have come back on a new connection that has not said anything yet.
    Unsure,
    /// It is not.
    Gone,
}

/// The clients of a socket, which is to be closed before this is dropped.
pub struct Clients {
    connections: Connections,
    metrics: Arc<Metrics>,
    by_name: HashMap<Vec<u8>, Serial>,
    names: HashMap<Serial, Vec<u8>>,
    /// Connections that have said nothing yet, and since when they are there.
    silent: Vec<(Serial, Stopwatch)>,
}

impl Clients {
    /// Those of the one socket that is watched.
    pub fn new(connections: Connections, metrics: Arc<Metrics>) -> Self {
        let (by_name, names, silent) = Default::default();
        Self { connections, metrics, by_name, names, silent }
    }

    /// For `zmq::poll`.
    pub fn poll_items(&self) -> impl Iterator<Item = zmq::PollItem<'_>> {
        self.connections.poll_items()
    }

    /// Notes which connections are new, and forgets those that have ended.
    pub fn update(&mut self) {
        self.silent.retain(|(_, since)| since.elapsed() < SILENCE);
        let (began, ended) = self.connections.update(&self.metrics);
        self.silent.extend(began.map(|serial| (serial, Stopwatch::start())));
        for serial in ended {
            self.silent.retain(|(silent, _)| *silent != serial);
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
        self.silent.retain(|(silent, _)| *silent != serial);
        if self.by_name.get(name) != Some(&serial) {
            self.by_name.insert(name.to_owned(), serial);
            self.names.insert(serial, name.to_owned());
        }
        Some(serial)
    }

    /// Whether a client is still at the other end of the connection that its question came by.
    pub fn presence(&mut self, name: &[u8], connection: Option<Serial>) -> Presence {
        self.update();
        let Some(connection) = connection else { return Presence::Gone };
        if self.by_name.get(name) != Some(&connection) {
            return Presence::Gone;
        }
        // Names that libzmq gave begin with a zero, and none comes again.
        let is_chosen = name.first().is_some_and(|byte| *byte != 0);
        match is_chosen && self.silent.iter().any(|(serial, _)| *serial > connection) {
            true => Presence::Unsure,
            false => Presence::There,
        }
    }
}
