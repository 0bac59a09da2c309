//! The question socket: a ZeroMQ ROUTER, so that REQ and DEALER clients both work. One
//! thread owns the socket, a few others answer. It takes a question only while there is
//! room for one, so that the rest waits with its sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::respond::{Responder, Wait};
use crate::clock::Stopwatch;
use crate::config::QuerySockets;
use crate::ingest::socket::{WakeUp, Waker, bound_address, explain_bind, wake_up};
use crate::limits;
use crate::query::Failure;

/// A message: the way back to the questioner, then the question or answer.
struct Envelope {
    route: Vec<zmq::Message>,
    body: Vec<u8>,
    /// Whether it has waited as long as it may.
    has_waited: bool,
}

/// A question that waits for events, so that no worker has to.
struct Waiting {
    question: Envelope,
    wait: Wait,
    since: Stopwatch,
}

/// How often waiting questions are looked at, in milliseconds.
const WAITING_POLL_MS: i64 = 2;

/// The channels between the socket's thread and the workers.
struct Channels {
    questions_out: Sender<Envelope>,
    answers_in: Receiver<Envelope>,
    waiting_in: Receiver<Waiting>,
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
            socket.set_ipv6(true)?;
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
        let (waiting_out, waiting_in) = bounded::<Waiting>(limits::REQUEST_QUEUE * 2);
        std::thread::scope(|scope| {
            let mut workers = Vec::with_capacity(self.workers);
            for at in 0..self.workers {
                let (responder, questions_in) = (responder.clone(), questions_in.clone());
                let (answers_out, waiting_out) = (answers_out.clone(), waiting_out.clone());
                let waker = waker.clone();
                let thread = std::thread::Builder::new().name(format!("answer-{at}"));
                workers.push(thread.spawn_scoped(scope, move || {
                    answer(&responder, &questions_in, &answers_out, &waiting_out, &waker);
                })?);
            }
            let channels = Channels { questions_out, answers_in, waiting_in };
            let mut waiting = Vec::new();
            // A worker that failed takes all of this with it, rather than leave its questions
            // without an answer.
            let is_whole = || !workers.iter().any(ScopedJoinHandle::is_finished);
            while !stop.load(Ordering::Relaxed) && is_whole() {
                self.turn(responder, &channels, &mut waiting, &wake_up);
            }
            // Closing the queues ends the workers; what they are answering is still sent.
            let Channels { questions_out, answers_in, waiting_in } = channels;
            drop(questions_out);
            drop(answers_out);
            answers_in.iter().for_each(|answer| self.reply(answer));
            for Waiting { question, .. } in waiting.into_iter().chain(waiting_in.try_iter()) {
                self.refuse(responder, question, Failure::stopping());
            }
            Ok(())
        })
    }

    /// Sends answers, takes questions, or waits for either.
    fn turn(
        &self,
        responder: &Responder,
        channels: &Channels,
        waiting: &mut Vec<Waiting>,
        wake_up: &WakeUp,
    ) {
        let Channels { questions_out, answers_in, waiting_in } = channels;
        answers_in.try_iter().for_each(|answer| self.reply(answer));
        for new in waiting_in.try_iter() {
            if waiting.len() < limits::MAX_WAITING_QUESTIONS {
                waiting.push(new);
            } else {
                let message = format!("{} questions wait already", waiting.len());
                let failure = Failure::new("busy", message, "ask without min_events");
                self.refuse(responder, new.question, failure);
            }
        }
        let accepted = responder.engine.accepted();
        let is_due =
            |w: &mut Waiting| accepted >= w.wait.events || w.since.elapsed() >= w.wait.limit;
        // This thread alone fills the queue: room that is there stays.
        let room = limits::REQUEST_QUEUE.saturating_sub(questions_out.len());
        for Waiting { question, .. } in waiting.extract_if(.., is_due).take(room) {
            let _ = questions_out.send(Envelope { has_waited: true, ..question });
        }
        let has_room = !questions_out.is_full();
        if has_room && let Some(question) = self.receive() {
            if question.body.len() > limits::MAX_QUESTION_BYTES {
                let failure = Failure::new(
                    "bad_request",
                    format!("a question of {} bytes", question.body.len()),
                    format!("at most {} bytes", limits::MAX_QUESTION_BYTES),
                );
                let body = failure.to_json(None).into_bytes();
                self.reply(Envelope { body, ..question });
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
        let _ = zmq::poll(&mut items, if waiting.is_empty() { 50 } else { WAITING_POLL_MS });
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
        Some(Envelope { route, body: frame.to_vec(), has_waited: false })
    }

    fn refuse(&self, responder: &Responder, question: Envelope, failure: Failure) {
        let body = responder.refuse(&question.body, failure);
        self.reply(Envelope { body, ..question });
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
    waiting_out: &Sender<Waiting>,
    waker: &Waker,
) {
    for question in questions_in {
        let wait = if question.has_waited { None } else { responder.waits(&question.body) };
        let answer = match wait {
            None => {
                let body = responder.respond(&question.body);
                Some(Envelope { body, ..question })
            }
            Some(wait) => {
                let waiting = Waiting { question, wait, since: Stopwatch::start() };
                waiting_out.send(waiting).err().map(|refused| {
                    let question = refused.into_inner().question;
                    let body = responder.refuse(&question.body, Failure::stopping());
                    Envelope { body, ..question }
                })
            }
        };
        if let Some(answer) = answer
            && answers_out.send(answer).is_err()
        {
            return;
        }
        waker.wake();
    }
}
