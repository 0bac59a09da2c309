//! Answers questions: has rows gathered and folded into groups, and makes cells of them, in order,
//! with totals.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::Value;

use super::folded::all_folded;
use super::gather::{Gathered, Terms};
use super::plan::{Column, QuestionPlan, distinct_columns};
use super::reply::{Answer, Failure};
use super::request::Question;
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::ingest::socket::Waker;
use crate::key::{KeyValue, take_piece};
use crate::metrics::Metrics;
use crate::output::{Cell, Finisher, key_cell};
use crate::partition::Plan;
use crate::row::{GroupKey, Groups, Layout, State};
use crate::sequencer::{Request, Residences, Watermark};
use crate::shard::Door;
use crate::store::{Registry, Store, StoreError};

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
    /// To the shards.
    pub shards: Vec<Door>,
    /// Where the rows of days are.
    pub residences: Residences,
    /// Which events were accepted.
    pub watermark: Arc<Watermark>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// For `as_of`.
    pub clock: Clock,
    /// Set when no question is answered any more.
    pub stop: Arc<AtomicBool>,
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
        let terms = self.terms(question, asked);
        let (mut groups, gathered) = self.gather_all(std::slice::from_ref(&plan), &terms)?;
        Ok(self.finish(&plan, groups.remove(0), &gathered))
    }

    /// Answers a question for few single keys, if that takes no waiting and nothing is wrong.
    pub fn answer_at_once(&self, question: &Question) -> Option<Answer> {
        let Question { set, get, export, min_events, timeout_ms, .. } = question;
        let is_usual = set.is_none()
            && export.is_none()
            && get.as_deref() != Some("stats")
            && min_events.is_none()
            && timeout_ms.is_none();
        let plan = is_usual.then(|| self.plan(question))?.ok()?;
        let (groups, gathered) = self.gather_at_once(&plan, question.is_fresh())?;
        Some(self.finish(&plan, groups, &gathered))
    }

    /// On which terms a question, which was asked at `asked`, is answered.
    pub(super) fn terms(&self, question: &Question, asked: Stopwatch) -> Terms {
        let (fresh, min_events) = (question.is_fresh(), question.min_events);
        Terms { fresh, min_events, limit: self.time_limit(question), asked }
    }

    /// What a question means.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plan(&self, question: &Question) -> Result<QuestionPlan, Failure> {
        QuestionPlan::new(question, &self.config.schema, self.config.query.max_rows)
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
        if fresh { self.watermark.accepted() } else { self.watermark.sent() }
    }

    /// How long a question may take.
    pub fn time_limit(&self, question: &Question) -> Duration {
        let most = u64::try_from(self.config.query.timeout_us).unwrap_or(0);
        let most = Duration::from_micros(most);
        question.timeout_ms.map(Duration::from_millis).map_or(most, |asked| asked.min(most))
    }

    /// From groups to rows of cells, in order, with totals and bounds.
    fn finish(&self, plan: &QuestionPlan, groups: Groups, gathered: &Gathered) -> Answer {
        let summary = &self.config.schema.summaries[plan.summary];
        let layout = &self.layouts[plan.summary];
        // Without dimensions there is one row at most, and that is the total.
        let is_total = plan.grouping.by.is_empty();
        let mut totals = if is_total { Vec::new() } else { groups.total() };
        let nothing = groups.rows() == 0;
        let mut sorted = groups.into_sorted();
        // Where no key was seen, counts are zero and not unknown.
        if nothing {
            let zero = |&aggregate| layout.zero(aggregate);
            totals = plan.grouping.aggregates.iter().map(zero).collect();
            if is_total {
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
        let total_states = if is_total { &sorted[0].1 } else { &totals };
        let totals = match rows.first() {
            Some((cells, _)) if is_total => cells.clone(),
            _ => self.cells(plan, &plan.columns, None, total_states),
        };
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
            folded: all_folded(plan, summary, rows.iter().map(|(_, states)| *states), total_states),
            columns: plan.columns.iter().map(|(name, _)| name.clone()).collect(),
            totals,
            since: self.since(plan),
            rows: rows.into_iter().map(|(cells, _)| cells).collect(),
            as_of_us: gathered.as_of_us,
            events: gathered.sequence,
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
