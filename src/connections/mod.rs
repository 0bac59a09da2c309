//! Who connects to our sockets: so many at a time, and nobody speaks before it is settled whether
//! there is room for it.
//!
//! libzmq takes every connection that comes and tells of it ([`limit`]); before the two sides have
//! agreed to speak, it asks whether they may ([`admission`]). It tells before it asks. So one thread
//! hears both, and ends what is too much before it lets anybody in: who is ended has not been let
//! in yet, has sent nothing that could be lost, and connects again.

pub mod admission;
pub mod limit;

use admission::{Admission, Newcomers};
use limit::Connections;

use crate::metrics::{Gauge, Metrics};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events come by it.
    Events,
    /// Questions come by it.
    Questions,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Questions => "questions",
        }
    }

    fn gauge(self, metrics: &Metrics) -> &Gauge {
        match self {
            Self::Events => &metrics.event_connections,
            Self::Questions => &metrics.question_connections,
        }
    }
}

/// Hears of connections and lets them in. There is one in a context of libzmq; the sockets are
/// to be closed before it is dropped.
pub struct Doorkeeper {
    events: Connections,
    questions: Connections,
    admission: Admission,
}

impl Doorkeeper {
    /// Lets in `most` connections of each kind at a time.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn new(context: &zmq::Context, most: usize) -> zmq::Result<Self> {
        let [events, questions] =
            [Kind::Events, Kind::Questions].map(|k| Connections::new(k, most));
        Ok(Self { events, questions, admission: Admission::new(context)? })
    }

    /// Sets a socket up that is not bound yet.
    ///
    /// # Errors
    /// What libzmq says.
    pub fn watch(
        &mut self,
        context: &zmq::Context,
        socket: &zmq::Socket,
        kind: Kind,
    ) -> zmq::Result<()> {
        Admission::ask_for(socket, kind)?;
        match kind {
            Kind::Events => self.events.watch(context, socket),
            Kind::Questions => self.questions.watch(context, socket),
        }
    }

    /// Who was let in to ask and has not.
    pub fn newcomers(&self) -> &Newcomers {
        self.admission.newcomers()
    }

    /// Lets connections in until the sockets are closed. Without this, none is.
    pub fn run(mut self, metrics: &Metrics) {
        while !(self.events.are_over() && self.questions.are_over()) {
            let kinds = [&self.events, &self.questions];
            let mut items: Vec<_> = kinds.iter().flat_map(|kind| kind.poll_items()).collect();
            items.push(self.admission.poll_item());
            let longest = kinds.iter().filter_map(|kind| kind.longest_wait_ms()).min();
            // An interrupted wait is a short wait.
            if matches!(zmq::poll(&mut items, longest.unwrap_or(-1)), Err(zmq::Error::ETERM)) {
                return;
            }
            self.turn(metrics);
        }
    }

    /// Hears what there is. Each time libzmq asks, it has told of that connection before: what it
    /// has told is seen to first.
    fn turn(&mut self, metrics: &Metrics) {
        loop {
            let request = self.admission.next_request();
            self.events.update(metrics);
            self.questions.update(metrics);
            match request {
                Some(request) => self.admission.let_in(&request),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// What a PUSH socket says before it may send: greeting and READY
    /// (<https://rfc.zeromq.org/spec/23>).
    fn hello() -> Vec<u8> {
        let mut said = vec![0; 64];
        (said[0], said[9], said[10]) = (0xff, 0x7f, 3);
        said[12..16].copy_from_slice(b"NULL");
        said.extend(b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH");
        said
    }

    /// Whether the other end says that it is ready, too, rather than that it has ended.
    fn is_let_in(mut stream: &TcpStream) -> bool {
        let mut heard = [0; 65];
        stream.read_exact(&mut heard).is_ok()
    }

    #[test]
    fn who_is_refused_has_not_been_let_in_before() {
        const SENDERS: usize = 20;
        let (context, metrics) = (zmq::Context::new(), Metrics::default());
        let mut door = Doorkeeper::new(&context, 1).unwrap();
        let socket = context.socket(zmq::PULL).unwrap();
        door.watch(&context, &socket, Kind::Events).unwrap();
        socket.bind("tcp://127.0.0.1:*").unwrap();
        let address = socket.get_last_endpoint().unwrap().unwrap();
        let address = address.strip_prefix("tcp://").unwrap();
        let senders = [(); SENDERS].map(|()| {
            let mut sender = TcpStream::connect(address).unwrap();
            sender.write_all(&hello()).unwrap();
            sender
        });
        // All of them have said hello when the first is looked at.
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::thread::scope(|scope| {
            scope.spawn(|| door.run(&metrics));
            assert_eq!(senders.iter().filter(|sender| is_let_in(sender)).count(), 1);
            assert_eq!(metrics.connections_refused.get(), SENDERS as u64 - 1);
            drop(socket);
        });
    }
}
