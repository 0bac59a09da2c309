//! The thread that decides when days are published: at their close, again once a past day
//! that changed is quiet, and on request.
//!
//! In: the handed-in clock, the sequencer's list of days that have changed, requests to
//! export. Out: publications, and to the sequencer what they hold. Each round has one cut:
//! a checkpoint is asked for, then all its days are read from one view of the store.
//!
//! A day that has not closed is published on request only, marked as not complete, and the
//! sequencer is not told: it remains to be published at its close.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::due::{Rule, is_published};
use super::export::{Exporter, Failure, Order};
use super::origin::Origin;
use super::revision::Published;
use crate::clock::{Clock, WatchedClock};
use crate::config::Config;
use crate::event::date;
use crate::ingest::socket::Waker;
use crate::metrics::Metrics;
use crate::sequencer::{PendingDay, Request};
use crate::shard::TableId;
use crate::store::{Database, Reader, Store};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(50);

/// By how much the clock must have moved until days are looked at again, in microseconds.
const LOOK_US: u64 = 1_000_000;

/// Pause after a publication that failed, in microseconds.
const RETRY_US: u64 = 30_000_000;

/// A request to publish a day now.
pub struct ExportRequest {
    /// Place of the summary in the schema; none: all that have rows of the day.
    pub summary: Option<usize>,
    /// Days since 1970.
    pub day: i32,
    /// Whether the dialect `excel` is wanted as well.
    pub excel: bool,
    /// What was published, or a sentence that says why not.
    pub reply: Sender<Result<Vec<Published>, String>>,
}

/// What the publisher is made of.
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store.
    pub store: Arc<Store>,
    /// Which store it publishes from.
    pub origin: Origin,
    /// What publishes; it should end with the same `stop`.
    pub exporter: Exporter,
    /// Tells when days end.
    pub clock: Clock,
    /// To the sequencer.
    pub requests_out: Sender<Request>,
    /// Wakes the sequencer.
    pub waker: Waker,
    /// Days that had changed since they were published when the server started.
    pub pending: Vec<PendingDay>,
    /// From the command line.
    pub exports_in: Receiver<ExportRequest>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
}

/// The publisher.
pub struct Publisher {
    parts: Parts,
    rule: Rule,
    clock: WatchedClock,
    looked_us: Option<i64>,
    /// The last round made way for a request.
    interrupted: bool,
    /// Days that were known before they closed, and have not been published since; and those
    /// never published that were known at the start.
    awaited: HashSet<TableId>,
    /// Days whose publication failed, and when.
    failed_us: HashMap<TableId, i64>,
}

impl Publisher {
    /// A publisher that has not looked at any day yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            rule: Rule::new(&parts.config.schema.zone, &parts.config.snapshots),
            clock: WatchedClock::new(parts.clock.clone()),
            looked_us: None,
            interrupted: false,
            awaited: parts
                .pending
                .iter()
                .filter(|p| !is_published(&p.record))
                .map(|p| p.id)
                .collect(),
            failed_us: HashMap::new(),
            parts,
        }
    }

    /// Runs until it is told to stop. A publication that is under way then is abandoned; it
    /// is made up for at the next start.
    pub fn run(mut self) {
        if let Err(error) = self.parts.exporter.clean() {
            tracing::warn!(%error, "what an interrupted run left behind cannot be removed");
        }
        while !self.is_stopping() {
            match self.parts.exports_in.recv_timeout(TICK) {
                Ok(request) => {
                    let result = self.export(&request);
                    // Whoever asked may have gone.
                    let _ = request.reply.send(result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
            }
            self.look();
        }
        for request in self.parts.exports_in.try_iter() {
            let _ = request.reply.send(Err(stopping()));
        }
    }

    fn is_stopping(&self) -> bool {
        self.parts.stop.load(Ordering::Relaxed)
    }

    /// Publishes what is due, if the clock has moved since the last look. By a clock that was
    /// only just set, no day is.
    fn look(&mut self) {
        let now_us = self.clock.read().now_us;
        let is_early = self.looked_us.is_some_and(|at| now_us.abs_diff(at) < LOOK_US);
        if is_early && !self.interrupted {
            return;
        }
        let Some(pending) = self.ask(Request::PendingDays) else { return };
        let due = self.choose(&pending, now_us);
        (self.looked_us, self.interrupted) = (Some(now_us), false);
        if !due.is_empty() && !self.clock.is_doubtful() {
            self.publish(&due, now_us);
        }
    }

    /// The days that are due, oldest first.
    fn choose(&mut self, pending: &[PendingDay], now_us: i64) -> Vec<TableId> {
        let Self { rule, clock, awaited, failed_us, .. } = self;
        // One that was published before it closed was so by a clock that was wrong.
        let is_open = |p: &PendingDay| {
            let is_known = is_published(&p.record) || !clock.is_doubtful();
            is_known && !rule.is_closed(p.id.day, now_us)
        };
        let is_awaited = |p: &&PendingDay| awaited.contains(&p.id) || is_open(p);
        *awaited = pending.iter().filter(is_awaited).map(|p| p.id).collect();
        let known: HashSet<TableId> = pending.iter().map(|p| p.id).collect();
        failed_us.retain(|id, at| now_us.abs_diff(*at) < RETRY_US && known.contains(id));
        let mut due: Vec<TableId> = pending
            .iter()
            .filter(|p| rule.is_due(p.id.day, &p.record, awaited.contains(&p.id), now_us))
            .map(|p| p.id)
            .filter(|id| !failed_us.contains_key(id))
            .collect();
        due.sort_unstable_by_key(|id| (id.day, id.summary));
        due
    }

    /// Publishes days that have closed, all as of one checkpoint.
    fn publish(&mut self, due: &[TableId], now_us: i64) {
        let database = match self.cut() {
            Ok(database) => database,
            Err(Failure::Stopped) => return,
            Err(Failure::Failed(error)) => return self.report(due, &error, now_us),
        };
        let reader = match self.view(&database) {
            Ok(reader) => reader,
            Err(error) => return self.report(due, &error, now_us),
        };
        let mut failed = Vec::new();
        let mut first_error = None;
        for &id in due {
            let excel = self.parts.config.snapshots.excel;
            match self.publish_one(&reader, id, true, excel) {
                Ok(_) => {}
                Err(Failure::Stopped) => break,
                Err(Failure::Failed(error)) => {
                    failed.push(id);
                    first_error.get_or_insert(error);
                }
            }
            if !self.parts.exports_in.is_empty() {
                // Someone waits; what is left is still due after that.
                self.interrupted = true;
                break;
            }
        }
        if let Some(error) = first_error {
            self.report(&failed, &error, now_us);
        }
    }

    /// Notes that days could not be published, in one line however many they are.
    fn report(&mut self, failed: &[TableId], error: &str, now_us: i64) {
        self.failed_us.extend(failed.iter().map(|id| (*id, now_us)));
        let (days, retry_seconds) = (failed.len(), RETRY_US / 1_000_000);
        tracing::error!(error, days, retry_seconds, "cannot publish; it will be tried again");
    }

    /// Obeys a request.
    fn export(&mut self, request: &ExportRequest) -> Result<Vec<Published>, String> {
        // The time before the cut: what counts as complete holds all that came until then.
        let now_us = self.clock.read().now_us;
        let complete = self.rule.is_closed(request.day, now_us) && !self.clock.is_doubtful();
        let excel = request.excel || self.parts.config.snapshots.excel;
        let sentence = |failure: Failure| match failure {
            Failure::Stopped => stopping(),
            Failure::Failed(error) => error,
        };
        let database = self.cut().map_err(sentence)?;
        let reader = self.view(&database)?;
        let summaries = match request.summary {
            Some(summary) => summary..summary + 1,
            None => 0..self.parts.config.schema.summaries.len(),
        };
        let mut all = Vec::new();
        for summary in summaries {
            let id = TableId { summary, day: request.day };
            all.extend(self.publish_one(&reader, id, complete, excel).map_err(sentence)?);
        }
        if all.is_empty() {
            let names = self.parts.config.schema.summaries.iter().map(|s| s.name.as_str());
            let of = match request.summary.and_then(|summary| names.clone().nth(summary)) {
                Some(name) => format!("summary \"{name}\" has"),
                None => "there are".to_owned(),
            };
            return Err(format!("{of} no rows of {}", date(request.day)));
        }
        Ok(all)
    }

    /// Publishes one day. None: it has no rows.
    fn publish_one(
        &mut self,
        reader: &Reader<'_>,
        id: TableId,
        complete: bool,
        excel: bool,
    ) -> Result<Option<Published>, Failure> {
        let order = Order { summary: id.summary, day: id.day, complete, excel };
        let result = self.parts.exporter.publish(reader, &order);
        let metrics = &self.parts.metrics;
        match &result {
            Ok(None) => {}
            Ok(Some(Published { summary, revision, rows, path, nul_cells_replaced, .. })) => {
                self.failed_us.remove(&id);
                match revision {
                    None => metrics.snapshots_unchanged.add(1),
                    Some(revision) => {
                        metrics.snapshots.add(1);
                        metrics.nul_cells_replaced.add(*nul_cells_replaced);
                        let path = path.display();
                        tracing::info!(summary, revision, rows, complete, %path, "published");
                    }
                }
                if complete {
                    self.awaited.remove(&id);
                    self.tell(Request::Published(id, reader.position.sequence));
                }
            }
            Err(Failure::Stopped) => {}
            Err(Failure::Failed(_)) => metrics.snapshots_failed.add(1),
        }
        result
    }

    /// The store, when it holds every event accepted so far.
    fn cut(&self) -> Result<Arc<Database>, Failure> {
        match self.ask(Request::Checkpoint) {
            None => Err(Failure::Stopped),
            Some(Err(error)) => {
                self.count_failure();
                Err(Failure::Failed(format!("the checkpoint before it failed: {error}")))
            }
            Some(Ok(_)) => Ok(self.parts.store.database().inspect_err(|_| self.count_failure())?),
        }
    }

    /// Counts what keeps days from being published, whichever they are.
    fn count_failure(&self) {
        self.parts.metrics.snapshots_failed.add(1);
    }

    /// A view to publish from.
    fn view<'d>(&mut self, database: &'d Database) -> Result<Reader<'d>, String> {
        let reader = database.reader().inspect_err(|_| self.count_failure());
        let reader = reader.map_err(|e| e.to_string())?;
        let noted = self.parts.origin.note(reader.position.sequence);
        noted.inspect_err(|_| self.count_failure()).map_err(|e| e.to_string())?;
        Ok(reader)
    }

    fn tell(&self, request: Request) -> bool {
        let sent = self.parts.requests_out.send(request).is_ok();
        self.parts.waker.wake();
        sent
    }

    /// Asks the sequencer. None: it or this thread is stopping.
    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = bounded(1);
        if !self.tell(request(reply)) {
            return None;
        }
        while !self.is_stopping() {
            match answer.recv_timeout(TICK) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}

fn stopping() -> String {
    "the server is stopping".to_owned()
}

#[cfg(test)]
mod tests;
