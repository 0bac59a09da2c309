//! The question socket: a ZeroMQ ROUTER, so that REQ and DEALER clients both work. One
//! thread owns the socket, a few others answer. It takes a question only while there is
//! room for one, so that the rest waits with its sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::respond::Responder;
use crate::config::QuerySockets;
use crate::ingest::socket::{WakeUp, Waker, bound_address, explain_bind, wake_up};
use crate::limits;

/// A message: the way back to the questioner, then the question or answer.
struct Envelope {
    route: Vec<zmq::Message>,
    body: Vec<u8>,
}

/// A bound question socket.
pub struct QuerySocket {
    socket: zmq::Socket,
    addresses: Vec<String>,
    workers: usize,
}

impl QuerySocket {
    /// Binds the socket.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub fn bind(context: &zmq::Context, config: &QuerySockets) -> Result<Self, String> {
        let socket = context.socket(zmq::ROUTER).map_err(|e| e.to_string())?;
        let configure = || {
            socket.set_maxmsgsize(limits::MAX_QUESTION_BYTES as i64 * 16)?;
            socket.set_router_mandatory(true)?;
            socket.set_linger(1000)
        };
        configure().map_err(|e| e.to_string())?;
        let mut addresses = Vec::with_capacity(config.bind.len());
        for address in &config.bind {
            socket.bind(address).map_err(|e| explain_bind("query.zmq.bind", address, e))?;
            addresses.push(bound_address(&socket, address));
        }
        Ok(Self { socket, addresses, workers: config.workers })
    }

    /// The addresses that are bound.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Answers questions until `stop` is set.
    ///
    /// # Errors
    /// What the system says where threads or wake-ups cannot be made.
    pub fn run(self, responder: &Responder, stop: &Arc<AtomicBool>) -> std::io::Result<()> {
        let (waker, wake_up) = wake_up()?;
        let (questions_out, questions_in) = bounded::<Envelope>(limits::REQUEST_QUEUE);
        let (answers_out, answers_in) = bounded::<Envelope>(limits::REQUEST_QUEUE * 2);
        std::thread::scope(|scope| {
            for at in 0..self.workers {
                let (responder, questions_in) = (responder.clone(), questions_in.clone());
                let (answers_out, waker) = (answers_out.clone(), waker.clone());
                std::thread::Builder::new().name(format!("answer-{at}")).spawn_scoped(
                    scope,
                    move || {
                        answer(&responder, &questions_in, &answers_out, &waker);
                    },
                )?;
            }
            while !stop.load(Ordering::Relaxed) {
                self.turn(&questions_out, &answers_in, &wake_up);
            }
            // Closing the queue ends the workers; what they are answering is still sent.
            drop(questions_out);
            drop(answers_out);
            answers_in.iter().for_each(|answer| self.reply(answer));
            Ok(())
        })
    }

    /// Sends answers, takes questions, or waits for either.
    fn turn(
        &self,
        questions_out: &Sender<Envelope>,
        answers_in: &Receiver<Envelope>,
        wake_up: &WakeUp,
    ) {
        answers_in.try_iter().for_each(|answer| self.reply(answer));
        let has_room = !questions_out.is_full();
        if has_room && let Some(question) = self.receive() {
            if question.body.len() > limits::MAX_QUESTION_BYTES {
                let failure = crate::query::Failure::new(
                    "bad_request",
                    format!("a question of {} bytes", question.body.len()),
                    format!("at most {} bytes", limits::MAX_QUESTION_BYTES),
                );
                let body = failure.to_json(None).into_bytes();
                self.reply(Envelope { route: question.route, body });
                return;
            }
            // There was room, and this thread alone fills the queue.
            let _ = questions_out.send(question);
            return;
        }
        let mut items = vec![zmq::PollItem::from_fd(wake_up.fd(), zmq::POLLIN)];
        if has_room {
            items.push(self.socket.as_poll_item(zmq::POLLIN));
        }
        // An interrupted wait is a short wait.
        let _ = zmq::poll(&mut items, 50);
        wake_up.drain();
    }

    fn receive(&self) -> Option<Envelope> {
        let mut route = Vec::with_capacity(3);
        let mut frame = zmq::Message::new();
        self.socket.recv(&mut frame, zmq::DONTWAIT).ok()?;
        while frame.get_more() {
            route.push(std::mem::replace(&mut frame, zmq::Message::new()));
            self.socket.recv(&mut frame, 0).ok()?;
        }
        Some(Envelope { route, body: frame.to_vec() })
    }

    fn reply(&self, envelope: Envelope) {
        for frame in envelope.route {
            if let Err(error) = self.socket.send(frame, zmq::SNDMORE | zmq::DONTWAIT) {
                // The questioner is gone or does not read: the answer has nowhere to go.
                tracing::debug!(%error, "an answer could not be delivered");
                return;
            }
        }
        if let Err(error) = self.socket.send(envelope.body, zmq::DONTWAIT) {
            tracing::debug!(%error, "an answer could not be delivered");
        }
    }
}

fn answer(
    responder: &Responder,
    questions_in: &Receiver<Envelope>,
    answers_out: &Sender<Envelope>,
    waker: &Waker,
) {
    for question in questions_in {
        let body = responder.respond(&question.body);
        if answers_out.send(Envelope { route: question.route, body }).is_err() {
            return;
        }
        waker.wake();
    }
}
