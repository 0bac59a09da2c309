//! The sequencer: one thread that receives messages, gives accepted events their sequence
//! numbers, and sends batches, questions and checkpoints to the shards in one order, the
//! same for all. That order is what makes an answer, a checkpoint or a published day a cut.
//!
//! In: sockets, requests of other threads, results of checkpoints. Out: commands to the
//! shards, orders to the store. It reads the handed-in clock, to stamp the arrival of
//! batches; nothing behind it does.

mod arrivals;
mod checkpoints;
mod days;
mod retention;
mod watermark;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver as ChannelReceiver, Sender, TrySendError};

use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, Schema};
use crate::event::{Batch, Date, DayZone};
use crate::ingest::socket::{Received, Receiver, WakeUp};
use crate::ingest::suspend;
use crate::ingest::{DeadLetters, Decoder, Message, Progress, Reason};
use crate::limits;
use crate::metrics::Metrics;
use crate::partition::{Plan, Splitter, Work};
use crate::shard::{Asked, Command, Lookup, Lookups, ShardQuestion, TableId};
use crate::store::records::Position;
use crate::store::writer::WriteOrder;
use crate::store::{CheckpointResult, Store};
use arrivals::Arrivals;
use checkpoints::Checkpoints;

pub use days::{Days, PendingDay, Residences};
pub use watermark::Watermark;

/// How a stop waits for senders to fall silent, and how long at most.
const DRAIN_QUIET: Duration = Duration::from_millis(200);
const DRAIN_LONGEST: Duration = Duration::from_secs(5);

/// Messages taken from one socket before the next one has its turn.
const BURST: usize = 64;

/// What other threads ask of the sequencer.
pub enum Request {
    /// Send questions to the shards, all as of one cut.
    Ask(Ask),
    /// Bring the store up to every event accepted so far.
    Checkpoint(Sender<Result<Position, String>>),
    /// Which days have changed since they were published?
    PendingDays(Sender<Vec<PendingDay>>),
    /// A day was published with all events before a sequence number.
    Published(TableId, u64),
    /// Count everything accepted so far, then reply.
    Refresh(Sender<()>),
    /// Let every shard stand still until the channel closes.
    Pause(ChannelReceiver<()>),
}

/// Questions for the shards.
pub struct Ask {
    /// Those to all shards.
    pub questions: Vec<Arc<ShardQuestion>>,
    /// Single keys.
    pub lookups: Option<Arc<Lookups>>,
    /// Whether they see every event accepted so far, or only what the shards were given.
    pub flush: bool,
}

/// What the sequencer is made of.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The work per event.
    pub plan: Arc<Plan>,
    /// The clock that stamps arrivals.
    pub clock: Clock,
    /// The sockets.
    pub receiver: Receiver,
    /// Wakes it from waiting for messages.
    pub wake_up: WakeUp,
    /// The store.
    pub store: Arc<Store>,
    /// What is known of days.
    pub days: Days,
    /// Refused events.
    pub dead: DeadLetters,
    /// To the shards.
    pub commands_out: Vec<Sender<Command>>,
    /// From other threads.
    pub requests_in: ChannelReceiver<Request>,
    /// To the store's writer.
    pub orders_out: Sender<WriteOrder>,
    /// From the store's writer.
    pub results_in: ChannelReceiver<CheckpointResult>,
    /// How many events there are.
    pub watermark: Arc<Watermark>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
    /// Identifies the schema on every batch.
    pub fingerprint: u64,
}

/// The sequencer.
pub struct Sequencer {
    parts: Parts,
    schema: Arc<Schema>,
    decoder: Decoder,
    splitter: Splitter,
    open: Work,
    opened: Stopwatch,
    /// Since when it has not received although there was more, and how long it was blocked until
    /// then.
    paused: Option<(Stopwatch, u64)>,
    /// Batches that shards may still be working on; done ones are used again.
    sent: VecDeque<Arc<Work>>,
    next_sequence: u64,
    /// Questions that want the events of the open batch.
    asks: Vec<Ask>,
    arrivals: Arrivals,
    zone: DayZone,
    /// The day on which everything that was old then had been deleted.
    retired: Date,
    checkpoints: Checkpoints,
}

impl Sequencer {
    /// A sequencer that goes on behind a position.
    pub fn new(parts: Parts, position: Position) -> Self {
        let schema = Arc::new(parts.config.schema.clone());
        let zone = DayZone::new(&schema.zone);
        let mut sequencer = Self {
            decoder: Decoder::new(Arc::clone(&schema), Arc::clone(&parts.metrics)),
            splitter: Splitter::new(&schema),
            open: Work::new(Batch::new(&schema), parts.commands_out.len()),
            opened: Stopwatch::start(),
            paused: None,
            sent: VecDeque::new(),
            next_sequence: position.sequence,
            asks: Vec::new(),
            arrivals: Arrivals::new(parts.clock.clone(), position.arrival_us),
            checkpoints: Checkpoints::new(position.checkpoint, parts.config.checkpoint_interval_us),
            zone,
            retired: Date::MIN,
            schema,
            parts,
        };
        sequencer.parts.metrics.sequence.set(position.sequence as i64);
        sequencer.parts.metrics.stored_sequence.set(position.sequence as i64);
        // What is on its way when the memory is full still makes rows.
        let part = sequencer.parts.config.memory_limit / limits::MEMORY_PER_BATCH_EVENT;
        sequencer.decoder.limit_batches(usize::try_from(part).unwrap_or(usize::MAX).max(1));
        sequencer.open_batch();
        sequencer
    }

    /// Runs until it is told to stop, then drains the sockets, brings the store up to date
    /// and ends.
    ///
    /// # Errors
    /// Where the last checkpoint could not be written.
    pub fn run(mut self) -> Result<(), String> {
        while !self.parts.stop.load(Ordering::Relaxed) {
            let received = self.turn();
            if !received {
                self.wait();
            }
        }
        self.drain();
        self.finish()
    }

    /// One turn: requests, results, a burst of messages from each socket, what is due.
    fn turn(&mut self) -> bool {
        while let Ok(request) = self.parts.requests_in.try_recv() {
            self.obey(request);
        }
        self.take_results();
        let pause = self.paused.take();
        let mut received = false;
        if !self.is_over_memory() {
            let pause = pause.map(|(since, blocked_us)| {
                let blocked_us = self.parts.metrics.blocked_us.get() - blocked_us;
                since.elapsed().saturating_sub(Duration::from_micros(blocked_us))
            });
            for socket in 0..self.parts.receiver.len() {
                received |= self.receive_burst(socket);
            }
            if received {
                pause.inspect(|pause| self.parts.metrics.receiving_pauses_us.record(*pause));
                self.paused = Some((Stopwatch::start(), self.parts.metrics.blocked_us.get()));
            }
        }
        if !self.open.batch.is_empty() && self.has_lingered() {
            self.flush();
        }
        self.parts.dead.flush();
        if self.checkpoints.is_due() || self.is_near_memory() {
            self.start_checkpoint();
        }
        received
    }

    /// Whether the open batch waits no longer for more events. While the shards are at work it
    /// gains nothing by hurrying, and the more events it has, the less each of them costs.
    fn has_lingered(&self) -> bool {
        let elapsed = self.opened.elapsed();
        let is_done = |work: &Arc<Work>| Arc::strong_count(work) == 1;
        let shards_wait = || self.sent.back().is_none_or(is_done);
        // Whoever asks for these events would not be answered sooner while shards are at work.
        let is_wanted = elapsed >= limits::BATCH_LINGER || !self.asks.is_empty();
        is_wanted && shards_wait() || elapsed >= limits::BATCH_LONGEST
    }

    fn wait(&mut self) {
        let linger_ms = limits::BATCH_LINGER.as_millis() as i64;
        let timeout_ms = match self.open.batch.is_empty() {
            true => 50,
            false if self.asks.is_empty() => linger_ms,
            false => 1,
        };
        let also_messages = !self.is_over_memory();
        self.parts.receiver.wait(&self.parts.wake_up, timeout_ms, also_messages);
    }

    fn receive_burst(&mut self, socket: usize) -> bool {
        for at in 0..BURST {
            match self.parts.receiver.receive(socket) {
                Ok(Some(received)) => self.take(socket, &received),
                Ok(None) => return at > 0,
                Err(error) => {
                    let address = self.parts.receiver.address(socket);
                    tracing::error!(%error, %address, "cannot receive");
                    return at > 0;
                }
            }
            if !self.parts.requests_in.is_empty() {
                break;
            }
        }
        true
    }

    /// Decodes a message into the open batch, and into further ones where it is full.
    fn take(&mut self, socket: usize, received: &Received) {
        if self.open.batch.is_empty() {
            self.open_batch();
        }
        let Self { parts, decoder, open, .. } = self;
        let (payload, too_many) = match received {
            Received::Message(payload) => (payload, false),
            Received::TooManyFrames(first, _) => (first, true),
        };
        let source = Arc::clone(parts.receiver.address(socket));
        let message = Message { bytes: payload, source: &source, format: parts.receiver.format };
        parts.metrics.messages.add(1);
        parts.metrics.message_bytes.add(payload.len() as u64);
        let reason = match payload.len() as u64 {
            _ if too_many => Some(Reason::ExtraFrames),
            length if length > parts.receiver.max_message => Some(Reason::MessageTooLarge),
            _ => None,
        };
        if let Some(reason) = reason {
            decoder.refuse_message(&message, reason, open.batch.arrival_us, &mut parts.dead);
            return;
        }
        let mut progress = Progress::default();
        loop {
            let Self { parts, decoder, open, .. } = self;
            let ended = decoder.decode(&message, &mut progress, &mut open.batch, &mut parts.dead);
            if ended {
                break;
            }
            self.flush();
        }
        self.parts.metrics.open_batch_events.set(self.open.batch.len() as i64);
        self.parts.watermark.accept(self.next_sequence + self.open.batch.len() as u64);
        if self.decoder.is_full(&self.open.batch) {
            self.flush();
        }
    }

    /// Stamps the open batch, which is empty, with the time and what it decides.
    fn open_batch(&mut self) {
        let now_us = self.arrivals.now_us();
        let today = self.zone.day(now_us);
        let Self { parts, open, .. } = self;
        open.batch.arrival_us = now_us;
        for (summary, day) in open.batch.first_days.iter_mut().enumerate() {
            *day = retention::first_day(parts, summary, today);
        }
        self.opened = Stopwatch::start();
    }

    /// Accepts the open batch: numbers its events and sends it to the shards.
    fn flush(&mut self) {
        if self.open.batch.is_empty() {
            return;
        }
        let events = self.open.batch.len() as u64;
        self.open.batch.first_seq = self.next_sequence;
        self.open.batch.fingerprint = self.parts.fingerprint;
        self.next_sequence += events;
        // Here the batch will be journaled, and then its duplicates taken out.
        let touched = self.splitter.split(&self.parts.plan, &mut self.open, &self.parts.metrics);
        let arrival_us = self.open.batch.arrival_us;
        let mut partial = Vec::new();
        for t in touched {
            let id = TableId { summary: t.summary, day: t.day };
            if self.parts.days.touch(id, t.events, self.next_sequence, arrival_us) {
                partial.push(id);
            }
        }
        if !partial.is_empty() {
            partial.sort_unstable();
            for table in self.open.routes.iter_mut().flat_map(|r| &mut r.tables) {
                let id = TableId { summary: table.summary, day: table.day };
                table.partial = partial.binary_search(&id).is_ok();
            }
        }
        let next = self.spare_work();
        let work = Arc::new(std::mem::replace(&mut self.open, next));
        let now = Stopwatch::start();
        for shard in 0..self.parts.commands_out.len() {
            self.send(shard, Command::Work(Arc::clone(&work), now));
        }
        self.sent.push_back(work);
        self.parts.watermark.send(self.next_sequence);
        self.parts.metrics.batches.add(1);
        self.parts.metrics.events_accepted.add(events);
        self.parts.metrics.open_batch_events.set(0);
        self.parts.metrics.sequence.set(self.next_sequence as i64);
        self.open_batch();
        self.ask_what_waited();
    }

    /// The memory of a batch that every shard is done with, or new memory.
    fn spare_work(&mut self) -> Work {
        // Shards are done with batches in the order in which they were sent.
        if let Some(oldest) = self.sent.pop_front() {
            match Arc::try_unwrap(oldest) {
                // Memory that a few large events have made large goes back.
                Ok(work) if work.batch.text_capacity() > 4 * limits::BATCH_BYTES => {}
                Ok(mut work) => {
                    work.batch.clear();
                    return work;
                }
                Err(busy) => self.sent.push_front(busy),
            }
        }
        Work::new(Batch::new(&self.schema), self.parts.commands_out.len())
    }

    /// Sends a command to a shard; where its queue is full, waits, and so do the senders.
    fn send(&self, shard: usize, command: Command) {
        let Err(TrySendError::Full(command)) = self.parts.commands_out[shard].try_send(command)
        else {
            return;
        };
        let watch = Stopwatch::start();
        let _ = self.parts.commands_out[shard].send(command);
        self.parts.metrics.blocked_us.add(watch.elapsed().as_micros() as u64);
    }

    fn send_all(&self, command: impl Fn() -> Command) {
        (0..self.parts.commands_out.len()).for_each(|shard| self.send(shard, command()));
    }

    /// Asks the shards what waited until they were sent the open batch.
    fn ask_what_waited(&mut self) {
        for ask in std::mem::take(&mut self.asks) {
            self.ask(&ask);
        }
    }

    fn ask(&self, Ask { questions, lookups, .. }: &Ask) {
        for question in questions {
            self.send_all(|| Command::Ask(Asked::Scan(Arc::clone(question))));
        }
        if let Some(lookups) = lookups {
            let asked = |(_, lookups): &(usize, &Vec<Lookup>)| !lookups.is_empty();
            for (shard, _) in lookups.shards.iter().enumerate().filter(asked) {
                self.send(shard, Command::Ask(Asked::LookUp(Arc::clone(lookups))));
            }
        }
    }

    fn obey(&mut self, request: Request) {
        match request {
            Request::Ask(ask) if ask.flush && !self.open.batch.is_empty() => self.asks.push(ask),
            Request::Ask(ask) => self.ask(&ask),
            Request::Checkpoint(reply) => {
                self.checkpoints.wait_for_next(reply);
                self.start_checkpoint();
            }
            Request::PendingDays(reply) => {
                self.flush();
                let _ = reply.send(self.parts.days.pending());
            }
            Request::Published(id, sequence) => self.parts.days.published(id, sequence),
            Request::Refresh(reply) => {
                self.flush();
                self.decoder.publish_unknown();
                self.parts.dead.flush();
                self.parts.metrics.pending_days.set(self.parts.days.pending_count() as i64);
                let _ = reply.send(());
            }
            Request::Pause(until_closed) => {
                self.send_all(|| Command::Pause(until_closed.clone()));
            }
        }
    }

    /// Keeps receiving until nothing has come for a while, then closes the sockets: what
    /// their buffers hold would be lost otherwise. What is sent while the last checkpoint is
    /// written, which may take long, stays with its sender.
    fn drain(&mut self) {
        if let Some(file) = &self.parts.config.ingest.state_file
            && let Err(error) = suspend::suspend(file)
        {
            let file = file.display();
            tracing::error!(%file, %error, "senders cannot be asked to hold back");
        }
        let begun = Stopwatch::start();
        let mut last = Stopwatch::start();
        while last.elapsed() < DRAIN_QUIET && begun.elapsed() < DRAIN_LONGEST {
            // Who may not receive for want of memory does not know of any silence.
            if self.turn() || self.is_over_memory() {
                last = Stopwatch::start();
            } else {
                self.parts.receiver.wait(&self.parts.wake_up, 10, true);
            }
        }
        self.parts.receiver.close();
        self.flush();
        self.parts.dead.flush();
        let cut_short = last.elapsed() < DRAIN_QUIET;
        if cut_short {
            tracing::warn!("senders did not fall silent; what they have in flight is lost to us");
        }
    }

    /// Whether rows take more memory than allowed: then nothing is received until a
    /// checkpoint has made room.
    fn is_over_memory(&self) -> bool {
        // Where a checkpoint failed, senders wait as well until one can be tried again.
        let is_making_room = self.checkpoints.is_running() || !self.checkpoints.may_retry();
        is_making_room && self.memory() > self.parts.config.memory_limit
    }

    /// Whether it is time to make room.
    fn is_near_memory(&self) -> bool {
        !self.checkpoints.is_running()
            && self.checkpoints.may_retry()
            && self.memory() > self.parts.config.memory_limit / 10 * 9
    }

    fn memory(&self) -> u64 {
        let bytes = self.parts.metrics.shards.iter().map(|s| s.memory_bytes.get());
        u64::try_from(bytes.sum::<i64>()).unwrap_or(0)
    }
}
