//! The question socket: a ZeroMQ ROUTER, so that REQ and DEALER clients both work. One
//! thread owns the socket, a few others answer what it cannot answer at once. It takes a question only while there is
//! room for one, so that the rest waits with its sender. What a client cannot be sent because
//! it does not read waits in the [`Outbox`].

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::clients::{Clients, Presence, presence};
use super::outbox::{Delivery, Envelope, Outbox};
use super::respond::{Responder, Wait, WaitsFor};
use crate::clock::Stopwatch;
use crate::config::QuerySockets;
use crate::connections::admission::SILENCE;
use crate::connections::{Doorkeeper, Kind};
use crate::ingest::socket::{WakeUp, Waker, bind, wake_up};
use crate::limits;
use crate::query::Failure;

/// A question that waits for events, so that no worker has to.
struct Waiting {
    question: Envelope,
    wait: Wait,
}

/// How often waiting questions and answers are looked at, in milliseconds.
const WAITING_POLL_MS: i64 = 2;

/// Questions that are taken before answers, and the ends of connections, get their turn.
const BURST: usize = 64;

/// How long a stop waits for clients to take their answers, and then for the network to do so.
const STOP_LINGER: Duration = Duration::from_secs(1);

/// What the socket had.
enum Heard {
    Nothing,
    /// An empty message, which a socket with the option PROBE_ROUTER sends when it has connected.
    Greeting,
    Question(Envelope),
}

/// What a worker made of a question.
enum Done {
    Answered(Envelope),
    Waits(Waiting),
}

/// The channels between the socket's thread and the workers.
struct Channels {
    questions_out: Sender<Envelope>,
    done_in: Receiver<Done>,
}

/// What the socket's thread keeps.
struct Kept {
    /// Questions that wait for events.
    waiting: Vec<Waiting>,
    /// What waits for clients to read.
    outbox: Outbox,
}

/// A bound question socket.
pub struct QuerySocket {
    socket: zmq::Socket,
    clients: RefCell<Clients>,
    addresses: Vec<String>,
    workers: usize,
}

impl QuerySocket {
    /// Binds the socket.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub fn bind(
        context: &zmq::Context,
        config: &QuerySockets,
        door: &mut Doorkeeper,
    ) -> Result<Self, String> {
        let socket = context.socket(zmq::ROUTER).map_err(|e| e.to_string())?;
        let mut configure = || {
            door.watch(context, &socket, Kind::Questions)?;
            socket.set_maxmsgsize(limits::MAX_QUESTION_BYTES as i64 * 16)?;
            socket.set_ipv6(true)?;
            // A client that is gone or does not read is an error, and not silence.
            socket.set_router_mandatory(true)?;
            // A client that comes back by the name that it chose is heard, although the end of its
            // former connection was not seen yet, or never will be.
            socket.set_router_handover(true)?;
            socket.set_sndhwm(limits::ANSWERS_UNDER_WAY)?;
            socket.set_linger(STOP_LINGER.as_millis() as i32)?;
            Ok(())
        };
        configure().map_err(|e: zmq::Error| e.to_string())?;
        let clients = RefCell::new(Clients::new(door.newcomers().clone()));
        let mut addresses = Vec::with_capacity(config.bind.len());
        for address in &config.bind {
            addresses.push(bind(&socket, "query.zmq.bind", address)?);
        }
        Ok(Self { socket, clients, addresses, workers: config.workers })
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
        let (questions_out, questions_in) = bounded::<Envelope>(limits::QUESTION_QUEUE);
        let (exports_out, exports_in) = bounded::<Envelope>(limits::EXPORT_QUEUE);
        let (done_out, done_in) = bounded::<Done>(limits::QUESTION_QUEUE);
        std::thread::scope(|scope| {
            let answering = (0..self.workers)
                .map(|at| (format!("answer-{at}"), &questions_in, Some(exports_out.clone())));
            // An export takes as long as publishing does, and keeps no other question waiting.
            let exporting = [("answer-export".to_owned(), &exports_in, None)];
            let mut workers = Vec::with_capacity(self.workers + 1);
            for (name, questions_in, exports) in answering.chain(exporting) {
                let (responder, questions_in) = (responder.clone(), questions_in.clone());
                let outs = Outs { done: done_out.clone(), exports, waker: waker.clone() };
                let thread = std::thread::Builder::new().name(name);
                workers.push(thread.spawn_scoped(scope, move || {
                    answer(&responder, &questions_in, &outs);
                })?);
            }
            drop(exports_out);
            let channels = Channels { questions_out, done_in };
            let metrics = Arc::clone(&responder.engine.metrics);
            let outbox = Outbox::new(limits::MAX_OUTBOX_BYTES, metrics);
            let mut kept = Kept { waiting: Vec::new(), outbox };
            // A worker that failed takes all of this with it, rather than leave its questions
            // without an answer.
            let is_whole = || !workers.iter().any(ScopedJoinHandle::is_finished);
            while !stop.load(Ordering::Relaxed) && is_whole() {
                self.turn(responder, &channels, &mut kept, &wake_up);
            }
            // Closing the queues ends the workers; what they are answering is still sent.
            let Channels { questions_out, done_in } = channels;
            drop(questions_out);
            drop(done_out);
            done_in.iter().for_each(|done| self.take_done(responder, done, &mut kept));
            let Kept { waiting, mut outbox } = kept;
            let unread = outbox.take_questions();
            for question in waiting.into_iter().map(|w| w.question).chain(unread) {
                self.refuse(responder, question, Failure::stopping(), &mut outbox);
            }
            let stopping = Stopwatch::start();
            while !outbox.is_empty() && stopping.elapsed() < STOP_LINGER {
                std::thread::sleep(Duration::from_millis(WAITING_POLL_MS as u64));
                outbox.deliver(|answer| self.send(answer));
            }
            outbox.give_up();
            Ok(())
        })
    }

    /// Sends answers, takes questions, or waits for either.
    fn turn(&self, responder: &Responder, channels: &Channels, kept: &mut Kept, wake_up: &WakeUp) {
        let Channels { questions_out, done_in } = channels;
        kept.outbox.deliver(|answer| self.send(answer));
        done_in.try_iter().for_each(|done| self.take_done(responder, done, kept));
        let Kept { waiting, outbox } = kept;
        let is_due = |w: &mut Waiting| {
            responder.is_enough(&w.wait) || w.question.asked.elapsed() >= w.wait.limit
        };
        // This thread alone fills the queue: room that is there stays.
        let room = || limits::QUESTION_QUEUE.saturating_sub(questions_out.len());
        for Waiting { question, .. } in waiting.extract_if(.., is_due).take(room()) {
            let _ = questions_out.send(Envelope { has_waited: true, ..question });
        }
        // For one from the outbox and a new one, so that neither kind waits for the other's end.
        let has_room = || room() >= 2;
        let mut taken = 0;
        while taken < BURST && has_room() {
            let (held, new) = (outbox.next_question(), self.receive());
            if held.is_none() && matches!(new, Heard::Nothing) {
                break;
            }
            taken += 1;
            let new = match new {
                Heard::Question(question) => outbox.admit(question),
                Heard::Greeting | Heard::Nothing => None,
            };
            for question in held.into_iter().chain(new) {
                if let Some(question) = self.answer_at_once(responder, question, outbox) {
                    let _ = questions_out.send(question);
                }
            }
        }
        if taken > 0 {
            return;
        }
        let has_room = has_room();
        if has_room {
            self.clients.borrow().silent().forget();
        }
        let mut items = vec![zmq::PollItem::from_fd(wake_up.fd(), zmq::POLLIN)];
        if has_room {
            items.push(self.socket.as_poll_item(zmq::POLLIN));
        }
        let nothing_waits = waiting.is_empty() && outbox.is_empty();
        // An interrupted wait is a short wait.
        let _ = zmq::poll(&mut items, if nothing_waits { 50 } else { WAITING_POLL_MS });
        wake_up.drain();
    }

    /// Answers a question, or gives it back where that takes longer than to wake a worker for it.
    /// It is a worker, too, who comes as far as what fails here, and says so.
    fn answer_at_once(
        &self,
        responder: &Responder,
        question: Envelope,
        outbox: &mut Outbox,
    ) -> Option<Envelope> {
        match contained(|| responder.respond_at_once(&question.body)).ok().flatten() {
            Some(body) => {
                outbox.answer(Envelope { body, ..question }, |answer| self.send(answer));
                None
            }
            None => Some(question),
        }
    }

    /// Sends an answer, or keeps a question that waits.
    fn take_done(&self, responder: &Responder, done: Done, kept: &mut Kept) {
        let Kept { waiting, outbox } = kept;
        match done {
            Done::Answered(answer) => outbox.answer(answer, |answer| self.send(answer)),
            Done::Waits(new) if waiting.len() < limits::MAX_WAITING_QUESTIONS => waiting.push(new),
            Done::Waits(new) => {
                let message = format!("{} questions wait already", waiting.len());
                let failure = Failure::new("busy", message, "ask without min_events");
                self.refuse(responder, new.question, failure, outbox);
            }
        }
    }

    /// Takes what the socket has, if anything. An error is as good as nothing: the next turn
    /// looks again.
    fn receive(&self) -> Heard {
        self.try_receive().unwrap_or(Heard::Nothing)
    }

    fn try_receive(&self) -> zmq::Result<Heard> {
        let mut frame = zmq::Message::new();
        self.socket.recv(&mut frame, zmq::DONTWAIT)?;
        let client = frame.to_vec();
        let mut route = Vec::with_capacity(1);
        self.socket.recv(&mut frame, 0)?;
        while frame.get_more() {
            route.push(std::mem::replace(&mut frame, zmq::Message::new()));
            self.socket.recv(&mut frame, 0)?;
        }
        let (body, asked) = (frame.to_vec(), Stopwatch::start());
        let connection = self.clients.borrow_mut().note(&client, &mut frame);
        if route.is_empty() && frame.is_empty() {
            return Ok(Heard::Greeting);
        }
        let (has_waited, held) = (false, None);
        let question = Envelope { client, connection, route, body, asked, has_waited, held };
        Ok(Heard::Question(question))
    }

    fn refuse(
        &self,
        responder: &Responder,
        question: Envelope,
        failure: Failure,
        outbox: &mut Outbox,
    ) {
        let body = responder.refuse(&question.body, failure);
        outbox.answer(Envelope { body, ..question }, |answer| self.send(answer));
    }

    /// Sends an answer where its client takes one. The first frame decides: libzmq takes a
    /// message whole or not at all.
    fn send(&self, mut answer: Envelope) -> Delivery {
        let connection = answer.connection.as_ref();
        // Nobody is let in until the answer is on its way: it could be by the same name.
        let clients = self.clients.borrow();
        let silent = clients.silent();
        match presence(&silent, &answer.client, connection) {
            Presence::There => {}
            Presence::Unsure => {
                // Others who connect one after the other hold nothing up for longer.
                if answer.held.get_or_insert_with(Stopwatch::start).elapsed() < SILENCE {
                    return Delivery::Later(answer);
                }
            }
            Presence::Gone => return Delivery::Gone,
        }
        match self.socket.send(answer.client.as_slice(), zmq::SNDMORE | zmq::DONTWAIT) {
            Ok(()) => {}
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Delivery::Later(answer),
            Err(_) => return Delivery::Gone,
        }
        drop(silent);
        for frame in answer.route {
            if self.socket.send(frame, zmq::SNDMORE | zmq::DONTWAIT).is_err() {
                return Delivery::Gone;
            }
        }
        match self.socket.send(answer.body, zmq::DONTWAIT) {
            Ok(()) => Delivery::Sent,
            Err(_) => Delivery::Gone,
        }
    }
}

/// Where a worker's results go.
struct Outs {
    done: Sender<Done>,
    /// None for the one who answers them.
    exports: Option<Sender<Envelope>>,
    waker: Waker,
}

fn answer(responder: &Responder, questions_in: &Receiver<Envelope>, outs: &Outs) {
    for question in questions_in {
        let waits_for = match question.has_waited {
            true => None,
            false => responder.waits_for(&question.body),
        };
        let done = match (waits_for, &outs.exports) {
            (Some(WaitsFor::Events(wait)), _) => Done::Waits(Waiting { question, wait }),
            (Some(WaitsFor::Publisher), Some(exports)) => {
                let question = Envelope { has_waited: true, ..question };
                let Err(full) = exports.try_send(question) else { continue };
                let question = full.into_inner();
                let failure = Failure::new("busy", "too many exports wait already", "ask again");
                let body = responder.refuse(&question.body, failure);
                Done::Answered(Envelope { body, ..question })
            }
            _ => Done::Answered(answered(responder, question)),
        };
        if outs.done.send(done).is_err() {
            return;
        }
        outs.waker.wake();
    }
}

/// The answer to a question. Should it make this program fail, it is that question alone that
/// gets no other answer.
fn answered(responder: &Responder, question: Envelope) -> Envelope {
    let respond = || responder.respond(&question.body, question.asked);
    let body = contained(respond).unwrap_or_else(|f| responder.refuse(&question.body, f));
    Envelope { body, ..question }
}

fn contained<T>(respond: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(respond)).map_err(|_| {
        let hint = "ask otherwise, and report it with what the log of the server says";
        Failure::new("internal", "this question made the program fail", hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_this_program_is_an_answer_too() {
        assert_eq!(contained(|| 7).unwrap(), 7);
        let nothing: [u8; 0] = [];
        assert_eq!(contained(|| nothing[std::hint::black_box(0)]).unwrap_err().code, "internal");
    }
}
