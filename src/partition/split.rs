//! Lists, per shard, which rows a batch changes, and by which events.
//!
//! A key belongs to one shard, by its hash. Events are taken together by summary, day and key,
//! so that a shard works on one table at a time and finds each row once.

use std::ops::Range;

use super::Work;
use super::grouping::Number;
use super::plan::{self, Plan};
use super::prepare::{Prepared, Preparer};
use crate::config::Schema;
use crate::event::{Batch, Bitmap};
use crate::key::{self, PackedKey};
use crate::metrics::Metrics;

/// A row that changes, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowUpdate {
    /// Lower half of the key's hash.
    pub hash: u32,
    /// Its events, at least one, are so many of [`Work::events`] from here on.
    pub start: u32,
    /// See `start`.
    pub events: u32,
}

/// A table that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// The day.
    pub day: i32,
    /// Whether the store has rows of this day that are not in memory.
    pub partial: bool,
    /// Its rows among those of the route.
    pub rows: Range<usize>,
}

/// What one shard has to do for a batch.
#[derive(Default)]
pub struct Route {
    /// Tables, with their rows.
    pub tables: Vec<TableUpdate>,
    /// Rows of all tables.
    pub rows: Vec<RowUpdate>,
    /// The key of each; of one that is too long to be packed, where its bytes begin and end.
    pub keys: Vec<PackedKey>,
    /// The bytes of those.
    pub long_keys: Vec<u8>,
}

/// Some of the rows of a route.
#[derive(Clone, Copy)]
pub struct RouteRows<'a> {
    /// The rows.
    pub updates: &'a [RowUpdate],
    keys: &'a [PackedKey],
    long_keys: &'a [u8],
}

impl<'a> RouteRows<'a> {
    /// The key of a row, and where it is too long to be packed, its bytes.
    #[inline]
    pub fn key(&self, at: usize) -> (PackedKey, Option<&'a [u8]>) {
        let key = self.keys[at];
        let place = key::unpack(&key).err();
        (key, place.map(|place| &self.long_keys[place as u32 as usize..(place >> 32) as usize]))
    }
}

impl Route {
    /// Rows at some places.
    pub fn rows(&self, places: Range<usize>) -> RouteRows<'_> {
        let (updates, keys) = (&self.rows[places.clone()], &self.keys[places]);
        RouteRows { updates, keys, long_keys: &self.long_keys }
    }

    fn clear(&mut self) {
        self.tables.clear();
        self.rows.clear();
        self.keys.clear();
        self.long_keys.clear();
    }

    /// Adds a row of a key that is made of pieces.
    #[inline]
    fn push<'a>(&mut self, row: RowUpdate, pieces: impl Iterator<Item = &'a [u8]> + Clone) {
        self.rows.push(row);
        let key = key::pack(pieces.clone()).unwrap_or_else(|| {
            let start = self.long_keys.len();
            pieces.for_each(|piece| self.long_keys.extend_from_slice(piece));
            key::pack_long(start as u64 | (self.long_keys.len() as u64) << 32)
        });
        self.keys.push(key);
    }

    /// How often an event changes a row.
    pub fn events(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.events)).sum()
    }
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
    order: Vec<Number>,
    touched: Vec<Touched>,
    gatherer: Gatherer,
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
            gatherer: Gatherer::default(),
        }
    }

    /// Fills `work` from its batch. Returns the tables that it changes.
    pub fn split(&mut self, plan: &Plan, work: &mut Work, metrics: &Metrics) -> &[Touched] {
        let Work { batch, prepared, events, routes } = work;
        self.preparer.prepare(plan, batch, prepared);
        routes.iter_mut().for_each(Route::clear);
        events.clear();
        self.touched.clear();
        self.sort_by_day(batch);
        for at in 0..plan.summaries.len() {
            let all = self.see(plan, at, batch.len(), prepared);
            let mut rest = &self.order[..];
            while let [first, ..] = *rest {
                let day = batch.day[usize::from(first)];
                let same_day = |event: &Number| batch.day[usize::from(*event)] == day;
                let end = rest.iter().position(|e| !same_day(e)).unwrap_or(rest.len());
                let (run, after) = rest.split_at(end);
                rest = after;
                let is_seen = |event: &Number| all || self.seen.get(usize::from(*event));
                if day < batch.first_days[at] {
                    let count = run.iter().filter(|e| is_seen(e)).count();
                    metrics.summaries[at].1.expired.add(count as u64);
                    continue;
                }
                begin_tables(at, day, routes);
                let run = run.iter().copied();
                // Twice the same, so that the usual case asks nothing of each event.
                let count = if all {
                    self.gatherer.gather(plan, at, run, prepared, events, routes)
                } else {
                    let seen = run.filter(|event| self.seen.get(usize::from(*event)));
                    self.gatherer.gather(plan, at, seen, prepared, events, routes)
                };
                end_tables(routes);
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
        self.order.extend((0..batch.len()).map(|event| event as Number));
        if batch.day.windows(2).any(|pair| pair[0] > pair[1]) {
            self.order.sort_by_key(|&e| batch.day[usize::from(e)]);
        }
    }

    /// Which events the summary takes and at least one of its aggregates sees; gives whether it
    /// is all of them.
    fn see(&mut self, plan: &Plan, summary: usize, len: usize, prepared: &Prepared) -> bool {
        let summary = &plan.summaries[summary];
        let selections = || summary.updates.iter().map(|u| u.selection);
        let one_sees_all = selections().any(|s| prepared.all_selected[s]);
        match summary.filter {
            Some(p) => self.seen.copy_from(&prepared.truths[p].is_true),
            None if one_sees_all => return true,
            None => self.seen.fill(len, true),
        }
        if one_sees_all {
            return false;
        }
        self.scratch.fill(len, false);
        selections().for_each(|s| self.scratch.or(&prepared.selected[s]));
        self.seen.and(&self.scratch);
        false
    }
}

/// Brings the events of equal keys together, in memory that is reused.
#[derive(Default)]
struct Gatherer {
    /// Per number of a tuple: at first how many events have it, then where the next of them goes.
    places: Vec<u32>,
    /// The tuples that occur.
    tuples: Vec<Number>,
}

impl Gatherer {
    /// Appends the rows of one summary, which take these events, to the shards' routes; returns
    /// how many events there are.
    fn gather(
        &mut self,
        plan: &Plan,
        summary: usize,
        events_in: impl Iterator<Item = Number> + Clone,
        prepared: &Prepared,
        events_out: &mut Vec<Number>,
        routes: &mut [Route],
    ) -> u64 {
        let summary = &plan.summaries[summary];
        let grouping = &prepared.groupings[summary.grouping];
        self.tuples.clear();
        if self.places.len() < grouping.len() {
            self.places.resize(grouping.len(), 0);
        }
        let places = &mut self.places[..grouping.len()];
        for event in events_in.clone() {
            let number = grouping.numbers[usize::from(event)];
            let count = &mut places[usize::from(number)];
            if *count == 0 {
                self.tuples.push(number);
            }
            *count += 1;
        }
        let shards = routes.len();
        let (from, mut start) = (events_out.len(), events_out.len() as u32);
        for &number in &self.tuples {
            let first = usize::from(grouping.firsts[usize::from(number)]);
            let dimensions = summary.dimensions.iter().map(|&d| &prepared.dimensions[d]);
            let hash = Plan::hash_key(dimensions.clone().map(|d| d.hash(first)));
            let place = &mut places[usize::from(number)];
            let events = std::mem::replace(place, start);
            let route = &mut routes[plan::shard_of(hash, shards)];
            let row = RowUpdate { hash: hash as u32, start, events };
            route.push(row, dimensions.map(|d| d.piece(first)));
            start += events;
        }
        events_out.resize(start as usize, 0);
        for event in events_in {
            let place = &mut places[usize::from(grouping.numbers[usize::from(event)])];
            events_out[*place as usize] = event;
            *place += 1;
        }
        self.tuples.iter().for_each(|&number| places[usize::from(number)] = 0);
        (events_out.len() - from) as u64
    }
}

/// Lets each route go on with a table.
fn begin_tables(summary: usize, day: i32, routes: &mut [Route]) {
    for route in routes {
        let rows = route.rows.len()..route.rows.len();
        route.tables.push(TableUpdate { summary, day, partial: false, rows });
    }
}

/// Gives the table of each route the rows that have been added since, or takes it back where
/// there are none.
fn end_tables(routes: &mut [Route]) {
    for route in routes {
        if let Some(table) = route.tables.last_mut() {
            table.rows.end = route.rows.len();
        }
        route.tables.pop_if(|table| table.rows.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;
    use crate::event::Value;
    use crate::key;

    const CONFIG: &str = r#"
        event = { time = { field = "t", format = "unix_s" } }
        field = [
            { name = "text" }, { name = "int", type = "int" }, { name = "bool", type = "bool" },
            { name = "other" },
        ]
        [[summary]]
        name = "all"
        dimensions = []
        aggregates = [{ name = "n", count = true }]
        [[summary]]
        name = "three"
        dimensions = ["bool", "text", "int"]
        aggregates = [{ name = "n", count = true }]
        [[summary]]
        name = "two"
        dimensions = ["int", "text"]
        aggregates = [{ name = "n", count = true }]
        [[summary]]
        name = "one"
        dimensions = ["text"]
        where = "int = 3 or bool"
        aggregates = [{ name = "n", count = true }]
        [[summary]]
        name = "some"
        dimensions = ["other", "text"]
        aggregates = [{ name = "users", unique = "other", where = "int > 1" }]
    "#;

    /// Numbers that look random, the same each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % end
        }
    }

    /// Events of a few days, some of their fields null.
    fn fill(batch: &mut Batch, events: usize, values: u64, numbers: &mut Numbers) {
        for _ in 0..events {
            let is_null = |numbers: &mut Numbers| numbers.below(8) == 0;
            let text = format!("v{}", numbers.below(values));
            let other = "x".repeat(numbers.below(40) as usize);
            let int = numbers.below(values.min(9)) as i64;
            let values = [
                Value::Text(text.as_bytes()),
                Value::Int(int),
                Value::Bool(numbers.below(2) == 1),
                Value::Text(other.as_bytes()),
            ];
            for (column, value) in batch.fields.iter_mut().zip(values) {
                column.push(if is_null(numbers) { Value::Null } else { value });
            }
            batch.day.push(100 - numbers.below(3) as i32);
            batch.time_us.push(0);
        }
    }

    /// Each row's key, by summary and day, and its events, made one event after the other.
    type Rows = BTreeMap<(usize, i32, Vec<u8>), Vec<Number>>;

    fn expected(schema: &Schema, plan: &Plan, work: &Work) -> Rows {
        let mut rows = Rows::new();
        for (at, summary) in plan.summaries.iter().enumerate() {
            for event in 0..work.batch.len() {
                let is_true = |p: usize| work.prepared.truths[p].is_true.get(event);
                let is_seen =
                    |update: &plan::Update| work.prepared.selected[update.selection].get(event);
                let day = work.batch.day[event];
                if !summary.filter.is_none_or(is_true)
                    || !summary.updates.iter().any(is_seen)
                    || day < work.batch.first_days[at]
                {
                    continue;
                }
                let mut key = Vec::new();
                for &field in &schema.summaries[at].dimensions {
                    key::push_piece(work.batch.fields[field].get(event), false, &mut key);
                }
                rows.entry((at, day, key)).or_default().push(event as Number);
            }
        }
        rows
    }

    #[test]
    fn each_event_changes_the_rows_of_its_keys() {
        let config = Config::parse(CONFIG, "test.toml".as_ref()).unwrap();
        let schema = &config.schema;
        let plan = Plan::new(schema, 7);
        let names: Vec<String> = schema.summaries.iter().map(|s| s.name.clone()).collect();
        let metrics = Metrics::new(&[], 3, &names);
        let mut splitter = Splitter::new(schema);
        let mut numbers = Numbers(1);
        let mut work = Work::new(Batch::new(schema), 3);
        let full = crate::limits::BATCH_EVENTS;
        for (events, values) in
            [(1, 1), (300, 2), (2000, 40), (full, 1_000_000), (0, 1), (full, 60)]
        {
            work.batch.clear();
            fill(&mut work.batch, events, values, &mut numbers);
            work.batch.first_days = vec![98, 99, 98, 98, 100];
            let touched: u64 =
                splitter.split(&plan, &mut work, &metrics).iter().map(|t| t.events).sum();
            let mut rows = Rows::new();
            for (shard, route) in work.routes.iter().enumerate() {
                for table in &route.tables {
                    let of_table = route.rows(table.rows.clone());
                    for (at, row) in of_table.updates.iter().enumerate() {
                        let places = row.start as usize..(row.start + row.events) as usize;
                        let (of_row, first) =
                            (&work.events[places.clone()], work.events[places.start]);
                        let summary = &plan.summaries[table.summary];
                        let dimensions =
                            summary.dimensions.iter().map(|&slot| &work.prepared.dimensions[slot]);
                        let pieces = dimensions.map(|d| d.piece(usize::from(first)));
                        let hash = Plan::hash_key(pieces.clone().map(|p| plan.hash_piece(p)));
                        assert_eq!((hash as u32, plan::shard_of(hash, 3)), (row.hash, shard));
                        let bytes = pieces.collect::<Vec<_>>().concat();
                        let (packed, long) = of_table.key(at);
                        assert_eq!(long.or(key::unpack(&packed).ok()), Some(&bytes[..]));
                        let key = (table.summary, table.day, bytes);
                        assert_eq!(rows.insert(key, of_row.to_vec()), None, "a row twice");
                    }
                }
            }
            assert_eq!(touched, rows.values().map(|events| events.len() as u64).sum::<u64>());
            assert_eq!(rows, expected(schema, &plan, &work), "{events} events");
        }
    }
}
