//! What waits for clients that ask faster than they read. libzmq takes some answers for each;
//! the next ones wait here, and behind them, not yet begun, the client's further questions,
//! which are smaller than their answers. Nobody else waits with it.
//!
//! All of it together has one bound. Beyond it, the client for whom most waits loses its
//! newest: who never reads takes no room from one who reads slowly.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::clients::Connection;
use crate::clock::Stopwatch;
use crate::limits;
use crate::metrics::Metrics;

/// A question or an answer, and the way back to the questioner.
#[derive(Debug)]
pub struct Envelope {
    /// The name that the socket gave to the client.
    pub client: Vec<u8>,
    /// The connection that the question came by, where libzmq tells.
    pub connection: Option<Connection>,
    /// The frames between the client's name and the body.
    pub route: Vec<zmq::Message>,
    /// The question or answer itself.
    pub body: Vec<u8>,
    /// When the question was taken from the socket.
    pub asked: Stopwatch,
    /// Whether it has been where questions wait, and is to be answered as things are.
    pub has_waited: bool,
    /// Since when the answer is held back for want of knowledge whose connection is whose.
    pub held: Option<Stopwatch>,
}

/// What became of an answer that was to be sent.
pub enum Delivery {
    /// It is on its way.
    Sent,
    /// The client has to read others first.
    Later(Envelope),
    /// The client is gone.
    Gone,
}

/// What waits for one client, on one connection; never nothing.
struct Lane {
    client: Vec<u8>,
    connection: Option<Connection>,
    answers: VecDeque<Envelope>,
    questions: VecDeque<Envelope>,
    bytes: usize,
}

/// What waits, by client.
pub struct Outbox {
    /// Few clients are behind at a time.
    lanes: VecDeque<Lane>,
    max_bytes: usize,
    metrics: Arc<Metrics>,
    warned: Option<Stopwatch>,
}

impl Envelope {
    /// Memory that it takes.
    fn bytes(&self) -> usize {
        let frame = |frame: &zmq::Message| size_of::<zmq::Message>() + frame.len();
        let route: usize = self.route.iter().map(frame).sum();
        size_of::<Self>() + self.client.len() + route + self.body.len()
    }
}

impl Lane {
    /// Whether it is where an envelope belongs. A client that came back waits for nothing that
    /// was meant for its former connection.
    fn is_of(&self, envelope: &Envelope) -> bool {
        self.client == envelope.client && self.connection == envelope.connection
    }

    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.questions.is_empty()
    }

    /// Takes what came last.
    fn take_newest(&mut self) -> Option<Envelope> {
        let newest = self.questions.pop_back().or_else(|| self.answers.pop_back())?;
        self.bytes -= newest.bytes();
        Some(newest)
    }
}

impl Outbox {
    /// Nothing waits yet.
    pub fn new(max_bytes: usize, metrics: Arc<Metrics>) -> Self {
        Self { lanes: VecDeque::new(), max_bytes, metrics, warned: None }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Sends an answer, or keeps it until its turn.
    pub fn answer(&mut self, answer: Envelope, send: impl Fn(Envelope) -> Delivery) {
        let waits = |lane: &Lane| lane.is_of(&answer) && !lane.answers.is_empty();
        if self.lanes.iter().any(waits) {
            return self.keep(answer, |lane| &mut lane.answers);
        }
        match send(answer) {
            Delivery::Sent => {}
            Delivery::Later(answer) => self.keep(answer, |lane| &mut lane.answers),
            Delivery::Gone => self.metrics.answers_unwanted.add(1),
        }
    }

    /// Gives a new question back, unless something waits for its client: then it is kept.
    pub fn admit(&mut self, question: Envelope) -> Option<Envelope> {
        if !self.lanes.iter().any(|lane| lane.is_of(&question)) {
            return Some(question);
        }
        self.keep(question, |lane| &mut lane.questions);
        None
    }

    fn keep(&mut self, new: Envelope, queue: fn(&mut Lane) -> &mut VecDeque<Envelope>) {
        let at = self.lanes.iter().position(|lane| lane.is_of(&new));
        let at = at.unwrap_or_else(|| {
            let (answers, questions) = (VecDeque::new(), VecDeque::new());
            let (client, connection) = (new.client.clone(), new.connection.clone());
            self.lanes.push_back(Lane { client, connection, answers, questions, bytes: 0 });
            self.lanes.len() - 1
        });
        self.lanes[at].bytes += new.bytes();
        queue(&mut self.lanes[at]).push_back(new);
        self.make_room();
    }

    /// Drops the newest of those for whom most waits until all is within the bound.
    fn make_room(&mut self) {
        let mut bytes: usize = self.lanes.iter().map(|lane| lane.bytes).sum();
        while bytes > self.max_bytes
            && let Some(longest) = self.lanes.iter_mut().max_by_key(|lane| lane.bytes)
            && let Some(dropped) = longest.take_newest()
        {
            bytes -= dropped.bytes();
            self.count_dropped(1);
        }
        self.lanes.retain(|lane| !lane.is_empty());
    }

    /// Sends what clients can take by now, and forgets clients that are gone.
    pub fn deliver(&mut self, send: impl Fn(Envelope) -> Delivery) {
        for lane in &mut self.lanes {
            while let Some(answer) = lane.answers.pop_front() {
                let bytes = answer.bytes();
                match send(answer) {
                    Delivery::Sent => lane.bytes -= bytes,
                    Delivery::Later(answer) => {
                        lane.answers.push_front(answer);
                        break;
                    }
                    Delivery::Gone => {
                        self.metrics.answers_unwanted.add(1 + lane.answers.len() as u64);
                        lane.answers.clear();
                        lane.questions.clear();
                    }
                }
            }
        }
        self.lanes.retain(|lane| !lane.is_empty());
    }

    /// A question of a client that has read what waited for it.
    pub fn next_question(&mut self) -> Option<Envelope> {
        let at = self.lanes.iter().position(|lane| lane.answers.is_empty())?;
        let mut lane = self.lanes.remove(at)?;
        let question = lane.questions.pop_front()?;
        lane.bytes -= question.bytes();
        if !lane.is_empty() {
            // The next question is another client's.
            self.lanes.push_back(lane);
        }
        Some(question)
    }

    /// All questions that wait.
    pub fn take_questions(&mut self) -> Vec<Envelope> {
        let all = self.lanes.iter_mut().flat_map(|lane| lane.questions.drain(..)).collect();
        self.lanes.retain(|lane| !lane.is_empty());
        all
    }

    /// Gives up what still waits.
    pub fn give_up(&mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        let left = lanes.iter().map(|lane| lane.answers.len() + lane.questions.len());
        self.count_dropped(left.sum());
    }

    fn count_dropped(&mut self, dropped: usize) {
        if dropped == 0 {
            return;
        }
        self.metrics.answers_dropped.add(dropped as u64);
        let every = Duration::from_secs(limits::LOG_EVERY_SECONDS as u64);
        if self.warned.is_none_or(|watch| watch.elapsed() >= every) {
            self.warned = Some(Stopwatch::start());
            let dropped = self.metrics.answers_dropped.get();
            tracing::warn!(dropped, "a client does not read its answers, and some were dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn envelope(client: &str, body: &str) -> Envelope {
        let (client, body, route) = (client.into(), body.into(), Vec::new());
        let (connection, asked) = (Some(Connection::numbered(1)), Stopwatch::start());
        Envelope { client, connection, route, body, asked, has_waited: false, held: None }
    }

    fn bodies(envelopes: impl IntoIterator<Item = Envelope>) -> Vec<String> {
        let text = |envelope: Envelope| String::from_utf8(envelope.body).unwrap();
        envelopes.into_iter().map(text).collect()
    }

    fn outbox(envelopes: usize) -> (Outbox, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let max_bytes = envelopes * envelope("a", "1").bytes();
        (Outbox::new(max_bytes, Arc::clone(&metrics)), metrics)
    }

    /// Delivers to clients that can take so many more answers in all; gives what they got.
    fn deliver(outbox: &mut Outbox, room: usize) -> Vec<String> {
        let sent = RefCell::new(Vec::new());
        outbox.deliver(|answer| {
            if sent.borrow().len() == room {
                return Delivery::Later(answer);
            }
            sent.borrow_mut().push(answer);
            Delivery::Sent
        });
        bodies(sent.into_inner())
    }

    #[test]
    fn answers_come_in_order_and_questions_after_them() {
        let (mut outbox, metrics) = outbox(100);
        outbox.answer(envelope("b", "0"), |_| Delivery::Sent);
        assert!(outbox.is_empty());
        for body in ["1", "2", "3"] {
            outbox.answer(envelope("a", body), Delivery::Later);
        }
        for body in ["4", "5"] {
            assert!(outbox.admit(envelope("a", body)).is_none());
        }
        assert!(outbox.admit(envelope("b", "0")).is_some());
        // An answer that was under way does not overtake those that wait.
        outbox.answer(envelope("a", "6"), |_| Delivery::Sent);
        assert_eq!(deliver(&mut outbox, 2), ["1", "2"]);
        assert!(outbox.next_question().is_none());
        assert_eq!(deliver(&mut outbox, 9), ["3", "6"]);
        // A question that is answered meanwhile finds no answer before it.
        assert_eq!(bodies(outbox.next_question()), ["4"]);
        outbox.answer(envelope("a", "4"), Delivery::Later);
        assert!(outbox.next_question().is_none());
        assert_eq!(deliver(&mut outbox, 9), ["4"]);
        assert_eq!(bodies(outbox.next_question()), ["5"]);
        assert!(outbox.is_empty());
        assert_eq!((metrics.answers_dropped.get(), metrics.answers_unwanted.get()), (0, 0));
    }

    #[test]
    fn clients_take_turns() {
        let (mut outbox, _) = outbox(100);
        for client in ["a", "b"] {
            outbox.answer(envelope(client, "0"), Delivery::Later);
        }
        for (client, body) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("b", "5")] {
            assert!(outbox.admit(envelope(client, body)).is_none());
        }
        assert_eq!(deliver(&mut outbox, 2), ["0", "0"]);
        let order = std::iter::from_fn(|| outbox.next_question());
        assert_eq!(bodies(order), ["1", "4", "2", "5", "3"]);
    }

    #[test]
    fn who_takes_most_room_loses_the_newest() {
        let (mut outbox, metrics) = outbox(10);
        for body in ["1", "2"] {
            outbox.answer(envelope("a", body), Delivery::Later);
        }
        for at in 0..100 {
            outbox.answer(envelope("b", &(at % 10).to_string()), Delivery::Later);
        }
        assert!(outbox.admit(envelope("a", "3")).is_none());
        assert_eq!(metrics.answers_dropped.get(), 93);
        assert_eq!(deliver(&mut outbox, 99), ["1", "2", "0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(bodies(outbox.take_questions()), ["3"]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn who_came_back_does_not_wait_for_what_was_meant_for_its_former_connection() {
        let (mut outbox, metrics) = outbox(100);
        let second = Some(Connection::numbered(2));
        let again = |body| Envelope { connection: second.clone(), ..envelope("a", body) };
        outbox.answer(envelope("a", "1"), Delivery::Later);
        assert!(outbox.admit(envelope("a", "2")).is_none());
        assert!(outbox.admit(again("3")).is_some());
        outbox.answer(again("3"), |_| Delivery::Sent);
        outbox.deliver(|answer| match answer.connection == second {
            true => Delivery::Sent,
            false => Delivery::Gone,
        });
        assert!(outbox.is_empty());
        assert_eq!(metrics.answers_unwanted.get(), 1);
    }

    #[test]
    fn nothing_is_kept_for_one_that_is_gone() {
        let (mut outbox, metrics) = outbox(10);
        outbox.answer(envelope("a", "1"), Delivery::Later);
        outbox.answer(envelope("a", "2"), Delivery::Later);
        assert!(outbox.admit(envelope("a", "3")).is_none());
        outbox.deliver(|_| Delivery::Gone);
        assert!(outbox.is_empty());
        assert_eq!((metrics.answers_dropped.get(), metrics.answers_unwanted.get()), (0, 2));
        outbox.answer(envelope("b", "1"), Delivery::Later);
        outbox.give_up();
        assert!(outbox.is_empty());
        assert_eq!(metrics.answers_dropped.get(), 1);
    }
}
