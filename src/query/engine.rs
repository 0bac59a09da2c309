//! Answers questions: the live part from the shards, the stored part from the store, both
//! as of one cut, folded into the same groups.
//!
//! First a view of the store is taken, then the shards are asked for everything that this
//! view does not hold. Where a checkpoint came in between, the shards no longer have that,
//! say so, and the question starts over with a newer view. So it does where the store is being
//! opened anew, which waits until nobody has a view of it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::Value;

use super::deadline::{Answers, Deadline};
use super::folded::all_folded;
use super::plan::{Column, QuestionPlan, distinct_columns};
use super::reply::{Answer, Failure};
use super::request::Question;
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::ingest::socket::Waker;
use crate::key::{KeyValue, take_piece};
use crate::metrics::Metrics;
use crate::output::{Cell, Finisher, key_cell};
use crate::partition::{Plan, plan::shard_of};
use crate::row::{GroupKey, Groups, Layout, State};
use crate::sequencer::{Request, Residences};
use crate::shard::{ShardQuestion, TableId};
use crate::store::{Database, Reader, Registry, Store, StoreError};

/// Times that a question starts over before it gives up.
const MAX_STARTS: usize = 20;

/// Stored rows between two looks at the time.
const CHECK_EVERY: u64 = 1024;

/// What answers questions; one per thread is cheap, all share the same parts.
#[derive(Clone)]
pub struct Engine {
    /// The configuration.
    pub config: Arc<Config>,
    /// For hashes of keys.
    pub plan: Arc<Plan>,
    /// Per summary.
    pub layouts: Vec<Arc<Layout>>,
    /// Per summary.
    pub finishers: Arc<Vec<Finisher>>,
    /// Permanent numbers.
    pub registry: Arc<Registry>,
    /// The store.
    pub store: Arc<Store>,
    /// To the sequencer.
    pub requests_out: Sender<Request>,
    /// Wakes the sequencer.
    pub waker: Waker,
    /// To the shards' side doors.
    pub asks_out: Vec<Sender<Arc<ShardQuestion>>>,
    /// Where the rows of days are.
    pub residences: Residences,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// For `as_of`.
    pub clock: Clock,
    /// Set when no question is answered any more.
    pub stop: Arc<AtomicBool>,
}

/// What is left to one of several questions.
struct Budget<'a> {
    /// Rows that those before it have read.
    scanned: u64,
    deadline: &'a Deadline<'a>,
}

/// When something was gathered, and of which events.
pub(super) struct Gathered {
    /// Microseconds since 1970.
    pub as_of_us: i64,
    /// Sequence number after the last event.
    pub sequence: u64,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new("store", error.to_string(), "see the log of the server")
    }
}

impl Engine {
    /// Answers a question about rows, which was asked at `asked`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn answer(&self, question: &Question, asked: Stopwatch) -> Result<Answer, Failure> {
        let plan = self.plan(question)?;
        let (mut groups, gathered) =
            self.gather_all(std::slice::from_ref(&plan), question, asked)?;
        let mut answer = self.finish(&plan, groups.remove(0));
        (answer.as_of_us, answer.events) = (gathered.as_of_us, gathered.sequence);
        Ok(answer)
    }

    /// What a question means.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(&self, question: &Question) -> Result<QuestionPlan, Failure> {
        QuestionPlan::new(question, &self.config.schema, self.config.query.max_rows)
    }

    /// Folds the rows of each plan, all as of one cut, as soon and as long as `question` says,
    /// which was asked at `asked`.
    pub(super) fn gather_all(
        &self,
        plans: &[QuestionPlan],
        question: &Question,
        asked: Stopwatch,
    ) -> Result<(Vec<Groups>, Gathered), Failure> {
        let limit = self.time_limit(question);
        let deadline = Deadline { watch: asked, limit, stop: &self.stop };
        let (visible, wanted) = (self.visible(question.is_fresh()), question.min_events);
        if let Some(wanted) = wanted.filter(|&wanted| visible < wanted) {
            let message = format!("{visible} of {wanted} events within {limit:?}");
            return Err(Failure::new("timeout", message, "ask for fewer, or raise timeout_ms"));
        }
        for _ in 0..MAX_STARTS {
            deadline.check()?;
            let as_of_us = self.clock.now_us();
            let database = self.store.database()?;
            match self.gather(&database, plans, question, &deadline) {
                Ok(Some((groups, sequence))) => {
                    return Ok((groups, Gathered { as_of_us, sequence }));
                }
                Ok(None) => {}
                Err(_) if database.is_closing() => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new("busy", "checkpoints kept coming in between", "ask again"))
    }

    /// All counters, as of every event accepted so far.
    ///
    /// # Errors
    /// Where the server is stopping.
    pub fn stats(&self) -> Result<Value, Failure> {
        let (reply, refreshed) = bounded(1);
        self.request(Request::Refresh(reply))?;
        refreshed.recv().map_err(|_| Failure::stopping())?;
        Ok(self.metrics.to_json())
    }

    /// Sends a request to the sequencer.
    ///
    /// # Errors
    /// Where the server is stopping.
    pub fn request(&self, request: Request) -> Result<(), Failure> {
        self.requests_out.send(request).map_err(|_| Failure::stopping())?;
        self.waker.wake();
        Ok(())
    }

    /// Events that a question would see: those of the open batch only if it is fresh.
    pub fn visible(&self, fresh: bool) -> u64 {
        // In this order: the open batch is emptied before its events are accepted.
        let accepted = self.metrics.sequence.get();
        let open = if fresh { self.metrics.open_batch_events.get() } else { 0 };
        u64::try_from(accepted + open).unwrap_or(0)
    }

    /// How long a question may take.
    pub fn time_limit(&self, question: &Question) -> Duration {
        let most = u64::try_from(self.config.query.timeout_us).unwrap_or(0);
        let most = Duration::from_micros(most);
        question.timeout_ms.map(Duration::from_millis).map_or(most, |asked| asked.min(most))
    }

    /// Folds live and stored rows, per plan. None: start over.
    fn gather(
        &self,
        database: &Database,
        plans: &[QuestionPlan],
        question: &Question,
        deadline: &Deadline<'_>,
    ) -> Result<Option<(Vec<Groups>, u64)>, Failure> {
        // The order matters: the view of the store, then where days are, then the shards.
        let reader = database.reader()?;
        let checkpoint = reader.position.checkpoint;
        let stored = plans
            .iter()
            .map(|plan| self.stored_days(&reader, plan))
            .collect::<Result<Vec<_>, Failure>>()?;
        let (cancel, answers) = self.ask_shards(plans, checkpoint, question, deadline)?;
        let (mut all, mut sequence, mut scanned) = (Vec::with_capacity(plans.len()), u64::MAX, 0);
        for ((plan, stored), answers) in plans.iter().zip(stored).zip(answers) {
            let layout = Arc::clone(&self.layouts[plan.summary]);
            let mut groups = Groups::new(layout, Arc::clone(&plan.grouping));
            let budget = Budget { scanned, deadline };
            self.fold_stored(&reader, plan, &stored, &mut groups, &budget)?;
            let mut of_shards = Vec::with_capacity(self.asks_out.len());
            for _ in 0..self.asks_out.len() {
                let Some(answer) = deadline.receive(&answers, database)? else { return Ok(None) };
                of_shards.push(answer);
            }
            // The most frequent values depend on the order, which should not be that of arrival.
            of_shards.sort_unstable_by_key(|answer| answer.shard);
            for answer in of_shards {
                sequence = sequence.min(answer.sequence);
                groups.merge(answer.groups);
            }
            self.check_limits(&groups, scanned)?;
            scanned += groups.visited();
            all.push(groups);
        }
        drop(cancel);
        Ok(Some((all, sequence)))
    }

    /// The days of which the store is read.
    fn stored_days(&self, reader: &Reader<'_>, plan: &QuestionPlan) -> Result<Vec<i32>, Failure> {
        let checkpoint = reader.position.checkpoint;
        let mut days = reader.days(self.number(plan), plan.days.0, plan.days.1)?;
        days.retain(|&day| {
            self.residences.reads_store(TableId { summary: plan.summary, day }, checkpoint)
        });
        Ok(days)
    }

    /// The permanent number of the summary that is asked.
    fn number(&self, plan: &QuestionPlan) -> u32 {
        let name = &self.config.schema.summaries[plan.summary].name;
        self.registry.summary(name).map_or(0, |s| s.number)
    }

    /// An error where there are too many groups, or too many rows together with those that
    /// were `scanned` before.
    fn check_limits(&self, groups: &Groups, scanned: u64) -> Result<(), Failure> {
        if groups.is_overfull() {
            let message = format!("more than {} groups", self.config.query.max_rows);
            return Err(Failure::new(
                "too_many_rows",
                message,
                "group by fewer dimensions or narrow where",
            ));
        }
        if scanned + groups.visited() > self.config.query.max_scan {
            let message = format!("more than {} rows would be read", self.config.query.max_scan);
            return Err(Failure::new(
                "too_much_scan",
                message,
                "ask for fewer days, or for single keys",
            ));
        }
        Ok(())
    }

    /// Asks the shards what the store, as of checkpoint `stored`, does not hold; gives the
    /// answers per plan.
    fn ask_shards(
        &self,
        plans: &[QuestionPlan],
        stored: u64,
        question: &Question,
        deadline: &Deadline<'_>,
    ) -> Result<(CancelOnDrop, Vec<Answers>), Failure> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let ask = |plan: &QuestionPlan| {
            let (reply, answers) = bounded(self.asks_out.len());
            let question = ShardQuestion {
                summary: plan.summary,
                days: plan.days,
                points: plan.points.as_ref().map(|points| self.route_points(points)),
                grouping: Arc::clone(&plan.grouping),
                layout: Arc::clone(&self.layouts[plan.summary]),
                stored,
                reply,
                cancelled: Arc::clone(&cancelled),
            };
            (Arc::new(question), answers)
        };
        // The questions themselves go: only the shards may keep the other ends of `answers`.
        let (questions, answers): (Vec<_>, Vec<_>) = plans.iter().map(ask).unzip();
        // Who asks at the side door may overtake events that the shards were given.
        let fresh = question.is_fresh();
        if fresh || question.min_events.is_some() {
            deadline.send(&self.requests_out, Request::Ask { questions, flush: fresh })?;
            self.waker.wake();
        } else {
            for question in questions {
                for ask in &self.asks_out {
                    deadline.send(ask, Arc::clone(&question))?;
                }
            }
        }
        Ok((CancelOnDrop(cancelled), answers))
    }

    /// Sorts single keys by the shard that owns them.
    fn route_points(&self, points: &[Vec<KeyValue>]) -> Vec<Vec<(u32, Vec<u8>)>> {
        let mut routed = vec![Vec::new(); self.asks_out.len()];
        for point in points {
            let mut key = Vec::new();
            let mut hashes = Vec::with_capacity(point.len());
            for value in point {
                let start = key.len();
                value.push(&mut key);
                hashes.push(self.plan.hash_piece(&key[start..]));
            }
            let hash = Plan::hash_key(hashes.into_iter());
            routed[shard_of(hash, self.asks_out.len())].push((hash as u32, key));
        }
        routed
    }

    /// Folds the rows of days that are read from the store.
    fn fold_stored(
        &self,
        reader: &Reader<'_>,
        plan: &QuestionPlan,
        days: &[i32],
        groups: &mut Groups,
        budget: &Budget<'_>,
    ) -> Result<(), Failure> {
        let damaged = |e: String| {
            Failure::new("store", format!("a stored row is damaged: {e}"), "see the log")
        };
        let number = self.number(plan);
        if let Some(points) = &plan.points {
            for (&day, point) in days.iter().flat_map(|day| points.iter().map(move |p| (day, p))) {
                budget.deadline.check()?;
                let mut key = Vec::new();
                point.iter().for_each(|value| value.push(&mut key));
                if let Some(row) = reader.row(number, day, &key)? {
                    groups.fold_stored(&key, day, &row).map_err(damaged)?;
                }
            }
            return Ok(());
        }
        let mut leading = Vec::new();
        plan.leading.iter().for_each(|value| value.push(&mut leading));
        for &day in days {
            let mut rows = reader.rows(number, day, &leading);
            let mut count = 0u64;
            while let Some((key, row)) = rows.next()? {
                groups.fold_stored(key, day, row).map_err(damaged)?;
                count += 1;
                if count.is_multiple_of(CHECK_EVERY) {
                    self.check_limits(groups, budget.scanned)?;
                    budget.deadline.check()?;
                }
            }
        }
        Ok(())
    }

    /// From groups to rows of cells, in order, with totals and bounds.
    fn finish(&self, plan: &QuestionPlan, groups: Groups) -> Answer {
        let summary = &self.config.schema.summaries[plan.summary];
        let layout = &self.layouts[plan.summary];
        let mut totals = groups.total();
        let nothing = groups.rows() == 0;
        let mut sorted = groups.into_sorted();
        // Where no key was seen, counts are zero and not unknown.
        if nothing {
            let zero = |states: &mut Vec<Option<State>>| {
                for (state, &aggregate) in states.iter_mut().zip(&plan.grouping.aggregates) {
                    *state = layout.zero(aggregate);
                }
            };
            zero(&mut totals);
            if plan.grouping.by.is_empty() {
                sorted.push((Box::default(), totals.clone()));
            }
        }
        let mut places: Vec<usize> = (0..sorted.len()).collect();
        if let Some((column, descending)) = plan.order {
            let only = &plan.columns[column..=column];
            let cell = |(key, states): &(Box<[u8]>, Vec<Option<State>>)| {
                self.cells(plan, only, Some(key), states).pop().unwrap_or(Cell::Null)
            };
            let cells: Vec<Cell> = sorted.iter().map(cell).collect();
            places.sort_by(|&a, &b| {
                let (a, b) = (&cells[a], &cells[b]);
                match (a, b, descending) {
                    (Cell::Null, _, _) | (_, Cell::Null, _) | (_, _, false) => a.compare(b),
                    (_, _, true) => b.compare(a),
                }
            });
        }
        places.truncate(plan.limit);
        let rows: Vec<(Vec<Cell>, &Vec<Option<State>>)> = places
            .into_iter()
            .map(|at| &sorted[at])
            .map(|(key, states)| (self.cells(plan, &plan.columns, Some(key), states), states))
            .collect();
        let bounds = distinct_columns(plan, summary).map(|(name, aggregate)| {
            let at = plan.grouping.aggregates.iter().position(|&a| a == aggregate);
            let of_row = |states: &Vec<Option<State>>| {
                let estimate = at.and_then(|at| states[at].as_ref()).and_then(State::distinct);
                estimate.map(|e| (e.lower.round(), e.upper.round()))
            };
            (name.to_owned(), rows.iter().map(|(_, states)| of_row(states)).collect())
        });
        Answer {
            bounds: bounds.collect(),
            folded: all_folded(plan, summary, rows.iter().map(|(_, states)| *states), &totals),
            columns: plan.columns.iter().map(|(name, _)| name.clone()).collect(),
            totals: self.cells(plan, &plan.columns, None, &totals),
            since: self.since(plan),
            rows: rows.into_iter().map(|(cells, _)| cells).collect(),
            as_of_us: 0,
            events: 0,
        }
    }

    fn cells(
        &self,
        plan: &QuestionPlan,
        columns: &[(String, Column)],
        key: Option<&[u8]>,
        states: &[Option<State>],
    ) -> Vec<Cell> {
        let summary = &self.config.schema.summaries[plan.summary];
        let mut rest = key.unwrap_or(&[]);
        let values: Vec<KeyValue> = std::iter::from_fn(|| take_piece(&mut rest)).collect();
        let state = |aggregate: usize| {
            let at = plan.grouping.aggregates.iter().position(|&a| a == aggregate)?;
            states[at].as_ref()
        };
        let finisher = &self.finishers[plan.summary];
        let cell = |column: &Column| match column {
            Column::Key(at) => match (values.get(*at), plan.grouping.by[*at]) {
                (None, _) => Cell::Null,
                (Some(KeyValue::Int(day)), GroupKey::Day) => Cell::Day(*day as i32),
                (Some(value), GroupKey::Dimension(d)) => {
                    let kind = self.config.schema.fields[summary.dimensions[d]].kind;
                    key_cell(value.clone(), kind)
                }
                (Some(_), GroupKey::Day) => Cell::Null,
            },
            Column::Output(output) => finisher.cell(*output, state(output.aggregate)),
            Column::Derived(formula) => finisher.derived(formula, &state),
        };
        columns.iter().map(|(_, column)| cell(column)).collect()
    }

    /// The aggregates of the answer that do not count from the beginning.
    pub(super) fn since(&self, plan: &QuestionPlan) -> Vec<(String, i64)> {
        let summary = &self.config.schema.summaries[plan.summary];
        let Some(registered) = self.registry.summary(&summary.name) else { return Vec::new() };
        let names = plan.grouping.aggregates.iter().map(|&a| &summary.aggregates[a].name);
        names
            .filter_map(|name| registered.aggregate(name).map(|r| (name, r)))
            .filter(|(_, registered)| registered.since_us > 0)
            .map(|(name, registered)| (name.clone(), registered.since_us))
            .collect()
    }
}

/// Tells the shards that nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
