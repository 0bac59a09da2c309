//! Which events of a batch have the same key: values of dimensions as small numbers, and tuples of
//! them as small numbers again.
//!
//! Each distinct value of a dimension is encoded and hashed once per batch, and a row is looked up
//! once for all events of its key. A tuple is made one dimension after the other, of a tuple that
//! another summary has already where there is one, so that comparing keys is comparing two numbers,
//! and exact.

use super::plan::{Grouping, Plan};
use crate::event::{Batch, Column, TextColumn, Values, equal};
use crate::key;

/// A number of a value or of a tuple in one batch: less than [`crate::limits::BATCH_EVENTS`].
pub type Number = u16;

const _: () = assert!(crate::limits::BATCH_EVENTS < 1 << Number::BITS);

/// Per event a number, the same where something is the same.
#[derive(Default)]
pub struct Numbering {
    /// Per event.
    pub numbers: Vec<Number>,
    /// Per number, the first event that has it.
    pub firsts: Vec<Number>,
}

/// The values of one dimension.
#[derive(Default)]
pub struct Dictionary {
    /// Which events have the same value.
    pub values: Numbering,
    /// Per value, its piece of a key.
    pieces: TextColumn,
    /// Per value, the hash of its piece.
    hashes: Vec<u64>,
}

impl Dictionary {
    /// An event's piece of a key.
    #[inline]
    pub fn piece(&self, event: usize) -> &[u8] {
        self.pieces.get(usize::from(self.values.numbers[event]))
    }

    /// The hash of an event's piece of a key.
    #[inline]
    pub fn hash(&self, event: usize) -> u64 {
        self.hashes[usize::from(self.values.numbers[event])]
    }
}

/// Numbers the values and tuples of batches, in memory that is reused.
#[derive(Default)]
pub struct Numberer {
    slots: Slots,
}

impl Numberer {
    /// Numbers the values of each dimension.
    pub fn number_values(&mut self, plan: &Plan, batch: &Batch, out: &mut Vec<Dictionary>) {
        out.resize_with(plan.dimensions.len(), Dictionary::default);
        for (dimension, dictionary) in plan.dimensions.iter().zip(out) {
            let column = &batch.fields[dimension.field];
            let Dictionary { values, pieces, hashes } = dictionary;
            self.number_column(plan, column, batch.len(), values);
            pieces.clear();
            hashes.clear();
            for &first in &values.firsts {
                let value = column.get(usize::from(first));
                key::push_piece(value, dimension.decimal, pieces.open());
                pieces.end();
            }
            hashes.extend((0..values.firsts.len()).map(|at| plan.hash_piece(pieces.get(at))));
        }
    }

    /// Numbers the tuples of each grouping of the plan, whose `dimensions` are numbered.
    pub fn number_tuples(
        &mut self,
        plan: &Plan,
        events: usize,
        dimensions: &[Dictionary],
        out: &mut Vec<Numbering>,
    ) {
        out.resize_with(plan.groupings.len(), Numbering::default);
        for (at, grouping) in plan.groupings.iter().enumerate() {
            let (before, rest) = out.split_at_mut(at);
            match *grouping {
                Grouping::Nothing => rest[0].fill(events),
                Grouping::Value(slot) => rest[0].copy_from(&dimensions[slot].values),
                Grouping::Tuple(shorter, slot) => {
                    self.slots.pair(plan, &before[shorter], &dimensions[slot].values, &mut rest[0]);
                }
            }
        }
    }

    fn number_column(&mut self, plan: &Plan, column: &Column, events: usize, out: &mut Numbering) {
        out.clear();
        self.slots.clear(events);
        // Null is a value like others, apart because it has none to compare.
        let mut null = None;
        let all_valid = column.valid.all();
        for event in 0..events {
            if !all_valid && !column.valid.get(event) {
                let number = *null.get_or_insert_with(|| out.add(event));
                out.numbers.push(number);
                continue;
            }
            let is_same = |first: Number| {
                let first = usize::from(first);
                match &column.values {
                    Values::Text(texts) => equal(texts.get(first), texts.get(event)),
                    Values::Int(ints) => ints[first] == ints[event],
                    Values::Bool(bools) => bools[first] == bools[event],
                    Values::Float(_) => unreachable!("the configuration allows no float dimension"),
                }
            };
            let hash = match &column.values {
                Values::Text(texts) => plan.hash_piece(texts.get(event)),
                Values::Int(ints) => plan.hash_int(ints[event]),
                Values::Bool(bools) => u64::from(bools[event]),
                Values::Float(_) => unreachable!("the configuration allows no float dimension"),
            };
            let number = self.slots.number(hash, event, is_same, out);
            out.numbers.push(number);
        }
    }
}

impl Numbering {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.firsts.clear();
    }

    /// The next number, that of an event which is the first to have it.
    #[inline]
    fn add(&mut self, event: usize) -> Number {
        self.firsts.push(event as Number);
        (self.firsts.len() - 1) as Number
    }

    /// The same for all.
    fn fill(&mut self, events: usize) {
        self.clear();
        self.numbers.resize(events, 0);
        if events > 0 {
            self.firsts.push(0);
        }
    }

    fn copy_from(&mut self, other: &Self) {
        self.numbers.clone_from(&other.numbers);
        self.firsts.clone_from(&other.firsts);
    }
}

/// A hash table of numbers with some bits that tell most others apart.
#[derive(Default)]
struct Slots {
    /// Tag in the upper half, number + 1 in the lower; 0 is free.
    slots: Vec<u32>,
}

impl Slots {
    /// Makes room for so many numbers, of which at most half the slots are taken.
    fn clear(&mut self, numbers: usize) {
        self.slots.clear();
        self.slots.resize((2 * numbers).next_power_of_two(), 0);
    }

    /// The number of what has this hash and `is_same` as the first event of that number; a new one
    /// where there is none.
    #[inline]
    fn number(
        &mut self,
        hash: u64,
        event: usize,
        is_same: impl Fn(Number) -> bool,
        out: &mut Numbering,
    ) -> Number {
        let mask = self.slots.len() - 1;
        let tag = (hash >> 48) as u32;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                let number = out.add(event);
                self.slots[at] = (tag << 16) | (u32::from(number) + 1);
                return number;
            }
            if slot >> 16 == tag {
                let number = (slot & 0xffff) as usize - 1;
                if is_same(out.firsts[number]) {
                    return number as Number;
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Numbers the pairs of two numbers that each event has.
    fn pair(&mut self, plan: &Plan, left: &Numbering, right: &Numbering, out: &mut Numbering) {
        out.clear();
        let events = left.numbers.len();
        self.clear(events);
        let pairs = left.numbers.iter().zip(&right.numbers).enumerate();
        // Where there is a slot for each pair that there could be, it tells the pair.
        if left.len() * right.len() <= self.slots.len() {
            for (event, (&a, &b)) in pairs {
                let slot = &mut self.slots[usize::from(a) * right.len() + usize::from(b)];
                if *slot == 0 {
                    *slot = u32::from(out.add(event)) + 1;
                }
                out.numbers.push((*slot - 1) as Number);
            }
            return;
        }
        for (event, (&a, &b)) in pairs {
            // Seeded, or a sender could choose pairs that all want one slot.
            let hash = plan.hash_int(i64::from(a) << 16 | i64::from(b));
            let is_same = |first: Number| {
                let first = usize::from(first);
                left.numbers[first] == a && right.numbers[first] == b
            };
            let number = self.number(hash, event, is_same, out);
            out.numbers.push(number);
        }
    }
}
