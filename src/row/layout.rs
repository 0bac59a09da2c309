//! Where the states of a summary's aggregates lie in a row in memory.
//!
//! A row is a stretch of words (key, marks, counters), and one of each kind of sketch and one
//! of texts. Counters need no heap; rows of one table have equal stretches, so that a
//! row's place follows from its number and can be fetched ahead of its use.

use sketches::quantile::{Kept, Quantile};
use sketches::sum::{ExactSum, Fraction};
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::{Family, Unique};

use super::buffer::Buffer;
use super::state::{OVERFLOWED, State};
use crate::config::{AggregateKind, FieldType, Schema, Summary, mapping};
use crate::key::PackedKey;
use crate::partition::InputForm;

/// Words before the first state: the marks, and the key. With a count and a sum, a row's
/// words are one cache line.
pub const HEAD_WORDS: usize = 1 + KEY_WORDS;
/// Word of the marks: bit n says that aggregate n has a value; the upper 16 bits belong to
/// the table.
pub const MARK_WORD: usize = 0;
/// First word of the key.
pub const KEY_WORD: usize = 1;
/// Words of the key.
const KEY_WORDS: usize = size_of::<PackedKey>() / size_of::<u64>();

/// Where a single value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a word.
    Word(usize),
    /// Among the texts.
    Text(usize),
}

/// Where one aggregate's state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// One word.
    Count(usize),
    /// Two words, low then high.
    Sum(usize),
    /// Three words, the lowest first, and place among the fractions.
    FloatSum(usize, usize),
    /// One value.
    Min(Place),
    /// One value.
    Max(Place),
    /// Time, then one value.
    Last(usize, Place),
    /// Place among the uniques.
    Unique(usize),
    /// Place among the sets.
    Theta(usize),
    /// Place among the lists of frequent values.
    Top(usize),
    /// Place among the quantiles.
    Quantile(usize),
}

/// The layout of one summary's rows.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Per aggregate.
    pub slots: Vec<Slot>,
    /// Words of a row.
    pub words: usize,
    /// Texts of a row.
    pub texts: usize,
    /// Fractions of sums of a row: seldom any is more than none.
    pub fractions: usize,
    /// Family and log2m of each unique of a row.
    pub uniques: Vec<(Family, u8)>,
    /// log2k of each set of a row.
    pub thetas: Vec<u8>,
    /// How many frequent values each list of a row is to have.
    pub tops: Vec<usize>,
    /// How many bins each distribution of a row keeps apart.
    pub quantiles: Vec<Kept>,
    /// What its sketches take of an event.
    pub form: InputForm,
    /// Marks of a new row: what is zero, not null, before the first value.
    pub defined: u64,
    /// Number of the definition that new rows are made with.
    pub definition: u32,
    /// Permanent number of each aggregate.
    pub numbers: Vec<u32>,
    /// Aggregates in the order of their numbers.
    pub(super) by_number: Vec<usize>,
}

impl Layout {
    /// The layout of a summary whose aggregates have these permanent numbers.
    pub fn new(schema: &Schema, summary: &Summary, definition: u32, numbers: Vec<u32>) -> Self {
        let mut layout = Self {
            slots: Vec::new(),
            words: HEAD_WORDS,
            texts: 0,
            fractions: 0,
            uniques: Vec::new(),
            thetas: Vec::new(),
            tops: Vec::new(),
            quantiles: Vec::new(),
            form: InputForm::default(),
            defined: 0,
            definition,
            by_number: (0..numbers.len()).collect(),
            numbers,
        };
        let Self { by_number, numbers, .. } = &mut layout;
        by_number.sort_by_key(|&a| numbers[a]);
        for (at, aggregate) in summary.aggregates.iter().enumerate() {
            let kind = |field: usize| schema.fields[field].kind;
            let slot = match aggregate.kind {
                AggregateKind::Count => Slot::Count(layout.words(1)),
                AggregateKind::Sum(f) if kind(f) == FieldType::Float => {
                    layout.fractions += 1;
                    Slot::FloatSum(layout.words(3), layout.fractions - 1)
                }
                AggregateKind::Sum(_) => Slot::Sum(layout.words(2)),
                AggregateKind::Min(f) => Slot::Min(layout.place(kind(f))),
                AggregateKind::Max(f) => Slot::Max(layout.place(kind(f))),
                AggregateKind::Last(f) => Slot::Last(layout.words(1), layout.place(kind(f))),
                AggregateKind::Unique { family, log2m, .. } => {
                    layout.uniques.push((family, log2m));
                    Slot::Unique(layout.uniques.len() - 1)
                }
                AggregateKind::Theta { log2k, .. } => {
                    layout.thetas.push(log2k);
                    Slot::Theta(layout.thetas.len() - 1)
                }
                AggregateKind::Top { k, .. } => {
                    layout.tops.push(k);
                    Slot::Top(layout.tops.len() - 1)
                }
                AggregateKind::Quantile { error, .. } => {
                    layout.quantiles.push(mapping(error).kept());
                    Slot::Quantile(layout.quantiles.len() - 1)
                }
            };
            if !matches!(slot, Slot::Min(_) | Slot::Max(_) | Slot::Last(..)) {
                layout.defined |= 1 << at;
            }
            layout.slots.push(slot);
        }
        layout.form = InputForm::new(layout.uniques.len(), layout.quantiles.len());
        layout
    }

    fn words(&mut self, count: usize) -> usize {
        self.words += count;
        self.words - count
    }

    fn place(&mut self, kind: FieldType) -> Place {
        if kind == FieldType::String {
            self.texts += 1;
            return Place::Text(self.texts - 1);
        }
        Place::Word(self.words(1))
    }

    /// Buffers of a row: one, if it has sketches that take inputs.
    pub fn buffers(&self) -> usize {
        usize::from(self.form.units() > 0)
    }

    /// The place of an aggregate by its permanent number; none where it is configured no more.
    pub fn position(&self, number: u32) -> Option<usize> {
        let at = self.by_number.binary_search_by_key(&number, |&a| self.numbers[a]).ok()?;
        Some(self.by_number[at])
    }

    /// Bytes of memory that a row takes before its first value, but for its place in an index.
    pub fn empty_row_bytes(&self) -> usize {
        let tops = self.tops.iter().map(|&k| size_of::<Top>() + Top::new(k).heap_bytes());
        self.words * size_of::<u64>()
            + self.uniques.len() * size_of::<Unique>()
            + self.thetas.len() * size_of::<Theta>()
            + self.quantiles.len() * size_of::<Quantile>()
            + self.buffers() * size_of::<Buffer>()
            + self.fractions * size_of::<Fraction>()
            + self.texts * size_of::<Box<[u8]>>()
            + tops.sum::<usize>()
    }

    /// An empty state for an aggregate, or none where it begins as null.
    pub fn zero(&self, aggregate: usize) -> Option<State> {
        match self.slots[aggregate] {
            Slot::Count(_) => Some(State::Count(0)),
            Slot::Sum(_) => Some(State::Sum(0)),
            Slot::FloatSum(..) => Some(State::FloatSum(ExactSum::ZERO)),
            Slot::Unique(at) => {
                let (family, log2m) = self.uniques[at];
                Some(State::Unique(Unique::with_family(family, log2m)))
            }
            Slot::Theta(at) => Some(State::Theta(Theta::new(self.thetas[at]))),
            Slot::Top(at) => Some(State::Top(Box::new(Top::new(self.tops[at])))),
            Slot::Quantile(at) => Some(State::Quantile(Quantile::new(self.quantiles[at]))),
            Slot::Min(_) | Slot::Max(_) | Slot::Last(..) => None,
        }
    }

    /// A state that was stored, as those of today are: one of a time when fewer bins were kept
    /// keeps as many, before it is united with others.
    pub fn renew(&self, aggregate: usize, mut stored: State) -> State {
        if let (Slot::Quantile(at), State::Quantile(quantile)) =
            (self.slots[aggregate], &mut stored)
        {
            quantile.keep_at_least(self.quantiles[at]);
        }
        stored
    }
}

/// Whether a sum has left 128 bits.
pub fn overflowed(sum: i128) -> bool {
    sum == OVERFLOWED
}
