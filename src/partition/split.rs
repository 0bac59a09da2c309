//! Lists, per shard, which events of a batch go to which summary and day.
//!
//! A key belongs to one shard, by its hash. Events are grouped by (day, summary) so that a
//! shard works on one table at a time.

use super::Work;
use super::plan::{self, Plan};
use super::prepare::{Prepared, Preparer};
use crate::config::Schema;
use crate::event::{Batch, Bitmap};
use crate::metrics::Metrics;

/// One event for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place of the event in the batch.
    pub event: u32,
    /// Lower half of the key's hash.
    pub hash: u32,
}

/// Entries for one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// The day.
    pub day: i32,
    /// Whether the store has rows of this day that are not in memory.
    pub partial: bool,
    /// Its entries are `entries[start..end]`.
    pub start: usize,
    /// See `start`.
    pub end: usize,
}

/// What one shard has to do for a batch.
#[derive(Default)]
pub struct Route {
    /// Tables, with their entries.
    pub groups: Vec<Group>,
    /// Entries of all groups.
    pub entries: Vec<Entry>,
}

/// A table that a batch changes, and by how many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// The day.
    pub day: i32,
    /// Events.
    pub events: u64,
}

/// Prepares and splits batches of one schema.
pub struct Splitter {
    preparer: Preparer,
    seen: Bitmap,
    scratch: Bitmap,
    order: Vec<u32>,
    touched: Vec<Touched>,
}

impl Splitter {
    /// A splitter for a schema.
    pub fn new(schema: &Schema) -> Self {
        Self {
            preparer: Preparer::new(schema),
            seen: Bitmap::default(),
            scratch: Bitmap::default(),
            order: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Fills `work` from its batch. Returns the tables that it changes.
    pub fn split(&mut self, plan: &Plan, work: &mut Work, metrics: &Metrics) -> &[Touched] {
        let Work { batch, prepared, routes } = work;
        self.preparer.prepare(plan, batch, prepared);
        for route in routes.iter_mut() {
            route.groups.clear();
            route.entries.clear();
        }
        self.touched.clear();
        self.sort_by_day(batch);
        for at in 0..plan.summaries.len() {
            self.see(plan, at, batch.len(), prepared);
            let mut start = 0;
            while start < self.order.len() {
                let day = batch.day[self.order[start] as usize];
                let run = &self.order[start..];
                let end = start
                    + run.iter().position(|&e| batch.day[e as usize] != day).unwrap_or(run.len());
                let events = &self.order[start..end];
                start = end;
                let seen = events.iter().filter(|&&e| self.seen.get(e as usize));
                if day < batch.first_days[at] {
                    metrics.summaries[at].1.expired.add(seen.count() as u64);
                    continue;
                }
                let count = route_run(plan, at, day, seen.copied(), prepared, routes);
                if count > 0 {
                    metrics.summaries[at].1.events.add(count);
                    self.touched.push(Touched { summary: at, day, events: count });
                }
            }
        }
        &self.touched
    }

    /// The events of the batch, by day, in their order within a day.
    fn sort_by_day(&mut self, batch: &Batch) {
        self.order.clear();
        self.order.extend(0..batch.len() as u32);
        if batch.day.windows(2).any(|pair| pair[0] > pair[1]) {
            self.order.sort_by_key(|&e| batch.day[e as usize]);
        }
    }

    /// Which events the summary takes and at least one of its aggregates sees.
    fn see(&mut self, plan: &Plan, summary: usize, len: usize, prepared: &Prepared) {
        let summary = &plan.summaries[summary];
        match summary.filter {
            Some(p) => self.seen.copy_from(&prepared.truths[p].is_true),
            None => self.seen.fill(len, true),
        }
        let selections = || summary.updates.iter().map(|u| u.selection);
        if selections().any(|s| prepared.all_selected[s]) {
            return;
        }
        self.scratch.fill(len, false);
        selections().for_each(|s| self.scratch.or(&prepared.selected[s]));
        self.seen.and(&self.scratch);
    }
}

/// Appends the entries of one summary and day to the shards' routes; returns how many.
fn route_run(
    plan: &Plan,
    at: usize,
    day: i32,
    events: impl Iterator<Item = u32>,
    prepared: &Prepared,
    routes: &mut [Route],
) -> u64 {
    let dimensions = &plan.summaries[at].dimensions;
    for route in routes.iter_mut() {
        let start = route.entries.len();
        route.groups.push(Group { summary: at, day, partial: false, start, end: start });
    }
    let mut count = 0;
    for event in events {
        let pieces = dimensions.iter().map(|&slot| prepared.hashes[slot][event as usize]);
        let hash = Plan::hash_key(pieces);
        let route = &mut routes[plan::shard_of(hash, routes.len())];
        route.entries.push(Entry { event, hash: hash as u32 });
        count += 1;
    }
    for route in routes.iter_mut() {
        let end = route.entries.len();
        match route.groups.last_mut() {
            Some(group) if group.start < end => group.end = end,
            _ => {
                route.groups.pop();
            }
        }
    }
    count
}
