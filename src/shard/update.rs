//! Applies a batch's updates to one table.
//!
//! A look-up in a large table is one miss after another: slot, row, key, sketch. So rows
//! go through in chunks, and several chunks are under way, each at another stage, which asks for
//! what the next one reads. Measured on two cores: 56 ns for a look-up by itself, 16 ns in stages,
//! in a table of ten million rows.
//!
//! Counters are words of the row. What an event brings to sketches waits in the row's buffer
//! (see [`crate::row::buffer`]) until a look at them pays.

use sketches::quantile::Quantile;
use sketches::sum::{self, Units};
use sketches::theta::Mark;

use super::cut::Watchers;
use super::keys::SoughtKey;
use super::table::{NONE, Table};
use crate::event::{Bitmap, Column, Value, Values};
use crate::partition::{Inputs, Number, Prepared, RouteRows, SummaryPlan, UpdateKind, Work};
use crate::row::RowMut;
use crate::row::buffer::Gathered;
use crate::row::layout::{MARK_WORD, Place, Slot};
use crate::row::state::{add, word_of_float};
use crate::row::view::{read_sum, units, write_sum};

/// Rows that go through a stage together.
const CHUNK: usize = 16;

/// Stages between the first and the last: what one asks for arrives while others are at work.
const STAGES: usize = 4;

/// A row and the events that change it.
#[derive(Clone, Copy, Default)]
struct Hit<'a> {
    row: u32,
    events: &'a [Number],
}

/// Changes rows of a table. `watchers` see each row before it changes.
pub fn apply(
    table: &mut Table,
    plan: &SummaryPlan,
    work: &Work,
    rows: RouteRows<'_>,
    watchers: &mut Watchers<'_>,
) {
    let counters = Counters::new(table, plan, work);
    let inputs = &work.prepared.inputs[plan.inputs];
    let mut gathered = [Gathered::new(table.layout.form), Gathered::new(table.layout.form)];
    let mut under_way = [[Hit::default(); CHUNK]; STAGES];
    for step in 0..rows.updates.len().div_ceil(CHUNK) + STAGES - 1 {
        // The chunk that is at a stage, if any is: its place among those under way, and its rows.
        let at_stage = |stage: usize| {
            let chunk = step.checked_sub(stage)?;
            let start = chunk * CHUNK;
            let end = (start + CHUNK).min(rows.updates.len());
            (start < end).then_some((chunk % STAGES, start..end))
        };
        if let Some((_, places)) = at_stage(0) {
            rows.updates[places].iter().for_each(|update| table.fetch_slot(update.hash));
        }
        if let Some((chunk, places)) = at_stage(1) {
            for (hit, update) in under_way[chunk].iter_mut().zip(&rows.updates[places]) {
                let events = &work.events[update.start as usize..][..update.events as usize];
                *hit = Hit { row: table.candidate(update.hash), events };
            }
        }
        if let Some((chunk, places)) = at_stage(2) {
            let hits = &mut under_way[chunk][..places.len()];
            find_rows(table, rows, places.start, hits);
            if !watchers.is_empty() {
                hits.iter().for_each(|hit| watchers.before_change(table, hit.row));
            }
            counters.update(table, hits);
            fetch_sketches(table, hits);
        }
        if let Some((chunk, places)) = at_stage(3) {
            let hits = &under_way[chunk][..places.len()];
            for (aggregate, update) in plan.updates.iter().enumerate() {
                let seen = Seen { hits, selected: selected(work, update.selection) };
                update_all(table, aggregate, update.kind, work, seen);
            }
            take_inputs(table, inputs, hits, &mut gathered);
        }
    }
}

/// Finds or makes the rows of the updates from `start` on.
fn find_rows(table: &mut Table, rows: RouteRows<'_>, start: usize, hits: &mut [Hit<'_>]) {
    table.reserve(hits.len());
    for (at, hit) in (start..).zip(hits) {
        let (packed, long) = rows.key(at);
        let key = SoughtKey::packed(packed, long);
        if hit.row == NONE || !table.has_key(hit.row, key) {
            // A new key, or a neighbour with equal hash.
            let hash = rows.updates[at].hash;
            hit.row = table.find(hash, key).unwrap_or_else(|| table.insert(hash, key));
        }
    }
}

/// Starts to fetch what the rows do with their inputs: where these are to wait, or the sketches
/// that take them.
fn fetch_sketches(table: &Table, hits: &[Hit<'_>]) {
    let form = table.layout.form;
    for hit in hits {
        let row = table.rows.view(hit.row);
        let Some(buffer) = row.buffers.first() else { return };
        if buffer.has_room(form, hit.events.len()) {
            buffer.prefetch_end();
        } else {
            buffer.prefetch();
            row.quantiles.iter().for_each(Quantile::prefetch);
        }
    }
}

/// Gives the rows their inputs: to wait, or if there are too many to wait, to the sketches. What
/// these will change is fetched while those of the row before change.
fn take_inputs(table: &mut Table, inputs: &Inputs, hits: &[Hit<'_>], gathered: &mut [Gathered; 2]) {
    let form = table.layout.form;
    let [now, before] = gathered;
    let (mut row_before, mut growth) = (None, 0);
    for hit in hits {
        let row = table.rows.view_mut(hit.row);
        let Some(buffer) = row.buffers.first_mut() else { return };
        let of_events = hit.events.iter().map(|&event| inputs.get(usize::from(event)));
        if buffer.has_room(form, hit.events.len()) {
            growth += buffer.push_all(form, hit.events.len(), of_events) as isize;
            continue;
        }
        now.gather(buffer, inputs.units(), hit.events.iter().map(|&event| usize::from(event)));
        buffer.clear();
        now.prefetch(row.uniques, row.quantiles);
        if let Some(row) = row_before.replace(hit.row) {
            let row = table.rows.view_mut(row);
            growth += before.insert(row.uniques, row.quantiles);
        }
        std::mem::swap(now, before);
    }
    if let Some(row) = row_before {
        let row = table.rows.view_mut(row);
        growth += before.insert(row.uniques, row.quantiles);
    }
    table.heap_bytes = table.heap_bytes.wrapping_add_signed(growth);
}

/// The events that an aggregate sees of the rows that are hit.
#[derive(Clone, Copy)]
struct Seen<'a> {
    hits: &'a [Hit<'a>],
    selected: Selected<'a>,
}

/// Which events are seen; none: all.
type Selected<'a> = Option<&'a Bitmap>;

fn selected(work: &Work, selection: usize) -> Selected<'_> {
    let Prepared { selected, all_selected, .. } = &work.prepared;
    (!all_selected[selection]).then(|| &selected[selection])
}

impl<'a> Hit<'a> {
    /// Its events that are seen, as places in the batch.
    #[inline]
    fn seen(&self, selected: Selected<'a>) -> impl Iterator<Item = usize> + Clone + use<'a> {
        let events = self.events.iter().map(|&event| usize::from(event));
        events.filter(move |&event| selected.is_none_or(|s| s.get(event)))
    }
}

impl<'a> Seen<'a> {
    /// Each row, and each of its events.
    #[inline]
    fn each(self, mut take: impl FnMut(u32, usize)) {
        for hit in self.hits {
            hit.seen(self.selected).for_each(|event| take(hit.row, event));
        }
    }
}

/// The aggregates that are words of the row itself, updated in one pass.
struct Counters<'a>(Vec<Counter<'a>>);

struct Counter<'a> {
    at: usize,
    amount: Amount<'a>,
    selected: Selected<'a>,
}

enum Amount<'a> {
    One,
    Int(&'a [i64]),
    /// Values in whole units of a sum of floats, and where any has a fraction of one, themselves
    /// and the place of the fraction.
    Fixed(&'a [i128], Option<(&'a [f64], usize)>),
}

impl<'a> Counters<'a> {
    fn new(table: &Table, plan: &SummaryPlan, work: &'a Work) -> Self {
        let counters = plan.updates.iter().zip(&table.layout.slots).filter_map(|(update, slot)| {
            let (at, amount) = match (update.kind, *slot) {
                (UpdateKind::Count, Slot::Count(at)) => (at, Amount::One),
                (UpdateKind::SumInt(field), Slot::Sum(at)) => {
                    let Values::Int(values) = &work.batch.fields[field].values else { return None };
                    (at, Amount::Int(values))
                }
                (UpdateKind::SumFloat(number), Slot::FloatSum(at, fraction)) => {
                    let Prepared { fixed, fractions, numbers, .. } = &work.prepared;
                    let small = fractions[number].then(|| (&numbers[number][..], fraction));
                    (at, Amount::Fixed(&fixed[number], small))
                }
                _ => return None,
            };
            Some(Counter { at, amount, selected: selected(work, update.selection) })
        });
        Self(counters.collect())
    }

    /// Notes that the rows change, and counts.
    fn update(&self, table: &mut Table, hits: &[Hit<'a>]) {
        for hit in hits {
            let words = table.touch(hit.row);
            self.0.iter().for_each(|counter| counter.update(words, hit));
        }
        for counter in &self.0 {
            counter.add_fractions(table, hits);
        }
    }
}

impl<'a> Counter<'a> {
    /// Counts the events of one row; the row is written once.
    #[inline]
    fn update(&self, words: &mut [u64], hit: &Hit<'a>) {
        match (&self.amount, self.selected) {
            (Amount::One, None) => words[self.at] += hit.events.len() as u64,
            (Amount::One, Some(_)) => words[self.at] += hit.seen(self.selected).count() as u64,
            (Amount::Int(values), None) => {
                let all = hit.events.iter().map(|&event| i128::from(values[usize::from(event)]));
                self.add_int(words, all.sum());
            }
            (Amount::Int(values), Some(_)) => {
                let seen = hit.seen(self.selected).map(|event| i128::from(values[event]));
                self.add_int(words, seen.sum());
            }
            (Amount::Fixed(values, _), _) => {
                let units = units(words, self.at);
                if sum::is_overflowed(units) {
                    return;
                }
                let mut more: Units = [0; 3];
                let events = hit.seen(self.selected);
                events.for_each(|event| sum::add_fixed(&mut more, values[event]));
                sum::add_units(units, &more);
            }
        }
    }

    /// Adds to a sum of ints. A batch's events cannot leave 128 bits.
    #[inline]
    fn add_int(&self, words: &mut [u64], more: i128) {
        write_sum(words, self.at, add(read_sum(words, self.at), more));
    }

    /// Adds what values have below the units of their sum, if any has.
    fn add_fractions(&self, table: &mut Table, hits: &[Hit<'a>]) {
        let Amount::Fixed(_, Some((values, place))) = self.amount else { return };
        for hit in hits {
            if sum::is_overflowed(units(table.rows.words_mut(hit.row), self.at)) {
                continue;
            }
            let small = hit.seen(self.selected).filter(|&event| sum::has_fraction(values[event]));
            small.for_each(|event| add_fraction(table, hit.row, self.at, place, values[event]));
        }
    }
}

/// Adds what a value has below the units of the sum at `at`.
#[cold]
fn add_fraction(table: &mut Table, row: u32, at: usize, place: usize, value: f64) {
    let row = table.rows.view_mut(row);
    let fraction = &mut row.fractions[place];
    let before = fraction.heap_bytes();
    fraction.add_value(units(row.words, at), value);
    table.heap_bytes = table.heap_bytes + fraction.heap_bytes() - before;
}

/// Updates one aggregate of the rows that were hit.
fn update_all(table: &mut Table, aggregate: usize, kind: UpdateKind, work: &Work, seen: Seen<'_>) {
    let prepared = &work.prepared;
    match (kind, table.layout.slots[aggregate]) {
        // Counted already, or taken as inputs.
        (UpdateKind::Count | UpdateKind::SumInt(_) | UpdateKind::SumFloat(_), _) => {}
        (UpdateKind::Unique(_) | UpdateKind::Quantile(_), _) => {}
        (UpdateKind::Theta(slot), Slot::Theta(at)) => {
            update_thetas(table, at, &prepared.marks[slot], seen);
        }
        (UpdateKind::Top(field), Slot::Top(at)) => {
            update_tops(table, at, &work.batch.fields[field], seen);
        }
        (UpdateKind::Min(field), Slot::Min(place)) => {
            let column = &work.batch.fields[field];
            keep(table, aggregate, place, None, column, work, seen, |new, old| new < old);
        }
        (UpdateKind::Max(field), Slot::Max(place)) => {
            let column = &work.batch.fields[field];
            keep(table, aggregate, place, None, column, work, seen, |new, old| new > old);
        }
        (UpdateKind::Last(field), Slot::Last(time, place)) => {
            let column = &work.batch.fields[field];
            keep(table, aggregate, place, Some(time), column, work, seen, |new, old| new > old);
        }
        (kind, slot) => unreachable!("{kind:?} with {slot:?}: plan and layout are of one schema"),
    }
}

/// Apart from the other updates, which are more frequent.
#[inline(never)]
fn update_thetas(table: &mut Table, at: usize, marks: &[Mark], seen: Seen<'_>) {
    seen.each(|row, event| {
        let theta = &mut table.rows.thetas_mut(row)[at];
        let before = theta.heap_bytes();
        theta.insert(marks[event]);
        table.heap_bytes = table.heap_bytes + theta.heap_bytes() - before;
    });
}

/// See [`update_thetas`].
#[inline(never)]
fn update_tops(table: &mut Table, at: usize, column: &Column, seen: Seen<'_>) {
    seen.each(|row, event| {
        let top = &mut table.rows.tops_mut(row)[at];
        let before = top.heap_bytes();
        match column.get(event) {
            // The decoder has checked that it is UTF-8.
            Value::Text(text) => top.insert(std::str::from_utf8(text).unwrap_or_default()),
            Value::Int(int) => top.insert(&int.to_string()),
            _ => {}
        }
        table.heap_bytes = table.heap_bytes + top.heap_bytes() - before;
    });
}

/// What decides which value is kept: the time (0 where none counts), then the value.
type Rank<'a> = (i64, i64, &'a [u8]);

/// Keeps one value per row: the new one where there is none or where it `wins`.
#[allow(clippy::too_many_arguments)] // one loop for three aggregates
fn keep(
    table: &mut Table,
    aggregate: usize,
    place: Place,
    time_word: Option<usize>,
    column: &Column,
    work: &Work,
    seen: Seen<'_>,
    wins: impl Fn(Rank<'_>, Rank<'_>) -> bool,
) {
    seen.each(|row, event| {
        let time = time_word.map_or(0, |_| work.batch.time_us[event]);
        let (word, text): (i64, &[u8]) = match column.get(event) {
            Value::Null => return,
            Value::Text(text) => (0, text),
            Value::Int(i) => (i, b""),
            Value::Float(f) => (word_of_float(f), b""),
            Value::Bool(b) => (i64::from(b), b""),
        };
        let RowMut { words, texts, .. } = table.rows.view_mut(row);
        let has = words[MARK_WORD] >> aggregate & 1 == 1;
        let old_time = time_word.map_or(0, |at| words[at] as i64);
        let (old_word, old_text): (i64, &[u8]) = match place {
            Place::Word(at) => (words[at] as i64, b""),
            Place::Text(at) => (0, &texts[at]),
        };
        if has && !wins((time, word, text), (old_time, old_word, old_text)) {
            return;
        }
        words[MARK_WORD] |= 1 << aggregate;
        if let Some(at) = time_word {
            words[at] = time as u64;
        }
        match place {
            Place::Word(at) => words[at] = word as u64,
            Place::Text(at) => {
                table.heap_bytes = table.heap_bytes + text.len() - old_text.len();
                texts[at] = text.into();
            }
        }
    });
}
