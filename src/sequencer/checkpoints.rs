//! When checkpoints begin, what they take along, and how they end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::Sequencer;
use crate::clock::Stopwatch;
use crate::shard::{CheckpointOrder, Command, TableId};
use crate::store::records::{DayRecord, Position};
use crate::store::writer::WriteOrder;

/// Pause after a checkpoint that could not be written: most faults pass at once, so it begins
/// short, and doubles with each failure up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// See [`FIRST_RETRY`].
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Times that the last checkpoint of a run is tried.
const LAST_TRIES: usize = 3;

type Waiter = Sender<Result<Position, String>>;

/// A checkpoint on its way.
struct Running {
    position: Position,
    days: Vec<(u32, i32, DayRecord, bool)>,
    waiters: Vec<Waiter>,
}

/// The state of checkpoints.
pub(super) struct Checkpoints {
    interval: Duration,
    last: Stopwatch,
    failed: Option<Stopwatch>,
    retry: Duration,
    number: u64,
    /// Number of the newest one that the store holds.
    committed: u64,
    stored_sequence: Option<u64>,
    running: Option<Running>,
    waiters: Vec<Waiter>,
}

impl Checkpoints {
    pub(super) fn new(number: u64, interval_us: i64) -> Self {
        Self {
            interval: Duration::from_micros(u64::try_from(interval_us).unwrap_or(0)),
            last: Stopwatch::start(),
            failed: None,
            retry: FIRST_RETRY,
            number,
            committed: number,
            stored_sequence: None,
            running: None,
            waiters: Vec::new(),
        }
    }

    /// Whether one is on its way.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether enough time has passed since one failed.
    pub(super) fn may_retry(&self) -> bool {
        self.failed.as_ref().is_none_or(|f| f.elapsed() >= self.retry)
    }

    /// Whether the next one should begin.
    pub(super) fn is_due(&self) -> bool {
        let wanted = !self.waiters.is_empty() || self.last.elapsed() >= self.interval;
        wanted && !self.is_running() && self.may_retry()
    }

    /// Tells `waiter` how the next one that begins will end.
    pub(super) fn wait_for_next(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }
}

impl Sequencer {
    /// Begins a checkpoint behind every event accepted so far, unless one is on its way or
    /// nothing has changed.
    pub(super) fn start_checkpoint(&mut self) {
        if self.checkpoints.is_running() || !self.checkpoints.may_retry() {
            return;
        }
        self.flush();
        self.retire();
        self.checkpoints.last = Stopwatch::start();
        let days = self.parts.days.take_changed();
        let unchanged = self.checkpoints.stored_sequence == Some(self.next_sequence);
        if days.is_empty() && unchanged {
            let position = self.position();
            self.checkpoints.waiters.drain(..).for_each(|w| {
                let _ = w.send(Ok(position));
            });
            return;
        }
        self.checkpoints.number += 1;
        let position = self.position();
        let evict = self.choose_evictions(position.checkpoint);
        let order = WriteOrder { position, base: self.checkpoints.committed, days: days.clone() };
        let _ = self.parts.orders_out.send(order);
        let order = Arc::new(CheckpointOrder { number: position.checkpoint, evict });
        self.send_all(|| Command::Checkpoint(Arc::clone(&order)));
        let waiters = std::mem::take(&mut self.checkpoints.waiters);
        self.checkpoints.running = Some(Running { position, days, waiters });
    }

    fn position(&self) -> Position {
        Position {
            checkpoint: self.checkpoints.number,
            sequence: self.next_sequence,
            arrival_us: self.arrivals.last_us(),
        }
    }

    /// Under pressure, enough of the coldest days to come down to three quarters of the limit.
    fn choose_evictions(&mut self, checkpoint: u64) -> HashSet<TableId> {
        let limit = self.parts.config.memory_limit;
        let memory = self.memory();
        if memory <= limit / 10 * 9 {
            return HashSet::new();
        }
        let evicted = self.parts.days.evict(memory - limit / 4 * 3, checkpoint);
        self.parts.metrics.tables_evicted.add(evicted.len() as u64);
        evicted.into_iter().collect()
    }

    /// Takes what the store's writer has to say.
    pub(super) fn take_results(&mut self) {
        while let Ok(result) = self.parts.results_in.try_recv() {
            let Some(running) = self.checkpoints.running.take() else { continue };
            let number = result.number;
            match result.error {
                None => {
                    self.checkpoints.failed = None;
                    self.checkpoints.retry = FIRST_RETRY;
                    self.checkpoints.committed = number;
                    self.checkpoints.stored_sequence = Some(running.position.sequence);
                    self.parts.metrics.stored_sequence.set(running.position.sequence as i64);
                    self.parts.days.committed(number, &result.reports);
                    self.send_all(|| Command::Committed(number));
                    running.waiters.into_iter().for_each(|w| {
                        let _ = w.send(Ok(running.position));
                    });
                }
                Some(error) => {
                    if self.checkpoints.failed.replace(Stopwatch::start()).is_some() {
                        self.checkpoints.retry = LONGEST_RETRY.min(2 * self.checkpoints.retry);
                    }
                    self.parts.days.failed(number, &running.days);
                    self.send_all(|| Command::Failed(number));
                    running.waiters.into_iter().for_each(|w| {
                        let _ = w.send(Err(error.clone()));
                    });
                }
            }
        }
    }

    /// Brings the store up to every event accepted, at the end of a run.
    pub(super) fn finish(mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        for _ in 0..LAST_TRIES {
            while self.checkpoints.is_running() {
                self.await_result();
            }
            self.checkpoints.failed = None;
            let (reply, result) = crossbeam_channel::bounded(1);
            self.checkpoints.wait_for_next(reply);
            self.start_checkpoint();
            while self.checkpoints.is_running() {
                self.await_result();
            }
            outcome = result
                .try_recv()
                .unwrap_or_else(|_| Err("it was not written".to_owned()))
                .map(|_| ());
            if outcome.is_ok() {
                break;
            }
            std::thread::sleep(LONGEST_RETRY);
        }
        outcome.map_err(|e| {
            format!("the last checkpoint failed, events since the one before are lost: {e}")
        })
    }

    fn await_result(&mut self) {
        self.parts.receiver.wait(&self.parts.wake_up, 5, false);
        self.take_results();
    }
}
