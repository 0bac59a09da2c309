//! Where the states of a summary's aggregates lie in a row in memory.
//!
//! A row is a stretch of words (key, marks, counters), and one of each kind of sketch and one
//! of texts. Counters need no heap; rows of one table have equal stretches, so that a
//! row's place follows from its number and can be fetched ahead of its use.

use sketches::quantile::{Kept, Quantile};
use sketches::sum::{ExactSum, Fraction, Units};
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::{Family, Unique};

use super::codec::{put_head, put_number};
use super::state::{self, OVERFLOWED, Scalar, ScalarRef, State};
use crate::config::{AggregateKind, FieldType, Schema, Summary, mapping};

/// Words before the first state: the marks, and the key. With a count and a sum, a row's
/// words are one cache line.
pub const HEAD_WORDS: usize = 1 + KEY_WORDS;
/// Word of the marks: bit n says that aggregate n has a value; the upper 16 bits belong to
/// the table.
pub const MARK_WORD: usize = 0;
/// First word of the key.
pub const KEY_WORD: usize = 1;
/// Words of the key.
pub const KEY_WORDS: usize = 4;

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
    /// Marks of a new row: what is zero, not null, before the first value.
    pub defined: u64,
    /// Number of the definition that new rows are made with.
    pub definition: u32,
    /// Permanent number of each aggregate.
    pub numbers: Vec<u32>,
    /// Aggregates in the order of their numbers.
    by_number: Vec<usize>,
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

/// A row in memory, looked at.
#[derive(Clone, Copy)]
pub struct RowView<'a> {
    /// Its words.
    pub words: &'a [u64],
    /// Its uniques.
    pub uniques: &'a [Unique],
    /// Its sets.
    pub thetas: &'a [Theta],
    /// Its lists of frequent values.
    pub tops: &'a [Top],
    /// Its quantiles.
    pub quantiles: &'a [Quantile],
    /// Its fractions of sums.
    pub fractions: &'a [Fraction],
    /// Its texts.
    pub texts: &'a [Box<[u8]>],
}

/// The sum in two words.
#[inline]
pub fn read_sum(words: &[u64], at: usize) -> i128 {
    (u128::from(words[at]) | u128::from(words[at + 1]) << 64) as i128
}

/// Writes a sum to two words.
#[inline]
pub fn write_sum(words: &mut [u64], at: usize, sum: i128) {
    words[at] = sum as u128 as u64;
    words[at + 1] = (sum as u128 >> 64) as u64;
}

/// The three words of a sum of floats.
///
/// # Panics
/// Where the row has none there.
#[inline]
pub fn units(words: &mut [u64], at: usize) -> &mut Units {
    words[at..].first_chunk_mut().expect("the layout has three words for a sum of floats")
}

impl<'a> RowView<'a> {
    /// Whether an aggregate has a value.
    #[inline]
    pub fn has(&self, aggregate: usize) -> bool {
        self.words[MARK_WORD] >> aggregate & 1 == 1
    }

    /// Bytes on the heap of its sketches and texts.
    pub fn heap_bytes(&self) -> usize {
        self.uniques.iter().map(Unique::heap_bytes).sum::<usize>()
            + self.thetas.iter().map(Theta::heap_bytes).sum::<usize>()
            + self.tops.iter().map(Top::heap_bytes).sum::<usize>()
            + self.quantiles.iter().map(Quantile::heap_bytes).sum::<usize>()
            + self.fractions.iter().map(Fraction::heap_bytes).sum::<usize>()
            + self.texts.iter().map(|text| text.len()).sum::<usize>()
    }

    fn scalar(&self, place: Place) -> ScalarRef<'a> {
        match place {
            Place::Word(at) => ScalarRef::Word(self.words[at] as i64),
            Place::Text(at) => ScalarRef::Text(&self.texts[at]),
        }
    }

    fn float_sum(&self, at: usize, fraction: usize) -> ExactSum {
        let units = [self.words[at], self.words[at + 1], self.words[at + 2]];
        ExactSum::from_parts(units, self.fractions[fraction].clone())
    }

    /// Appends the stored form of the row.
    pub fn encode(&self, layout: &Layout, out: &mut Vec<u8>) {
        let count = layout.by_number.iter().filter(|&&a| self.has(a)).count();
        put_head(layout.definition, count, out);
        for &aggregate in &layout.by_number {
            if !self.has(aggregate) {
                continue;
            }
            put_number(layout.numbers[aggregate], out);
            match layout.slots[aggregate] {
                Slot::Count(at) => state::encode_count(self.words[at] as i64, out),
                Slot::Sum(at) => state::encode_sum(read_sum(self.words, at), out),
                Slot::FloatSum(at, fraction) => {
                    state::encode_float_sum(&self.float_sum(at, fraction), out);
                }
                Slot::Min(place) => state::encode_min(self.scalar(place), out),
                Slot::Max(place) => state::encode_max(self.scalar(place), out),
                Slot::Last(time, place) => {
                    state::encode_last(self.words[time] as i64, self.scalar(place), out);
                }
                Slot::Unique(at) => state::encode_unique(&self.uniques[at], out),
                Slot::Theta(at) => state::encode_theta(&self.thetas[at], out),
                Slot::Top(at) => state::encode_top(&self.tops[at], out),
                Slot::Quantile(at) => state::encode_quantile(&self.quantiles[at], out),
            }
        }
    }

    /// Unites one aggregate of the row into a state of an answer.
    pub fn fold_into(&self, layout: &Layout, aggregate: usize, into: &mut Option<State>) {
        if !self.has(aggregate) {
            return;
        }
        // The states of an answer are made by this same layout: kinds agree.
        match (layout.slots[aggregate], into) {
            (Slot::Count(at), Some(State::Count(count))) => {
                *count = count.saturating_add(self.words[at] as i64);
            }
            (Slot::Sum(at), Some(State::Sum(sum))) => {
                *sum = state::add(*sum, read_sum(self.words, at));
            }
            (Slot::FloatSum(at, fraction), Some(State::FloatSum(sum))) => {
                sum.merge(&self.float_sum(at, fraction));
            }
            (Slot::Unique(at), Some(State::Unique(unique)))
                if unique.family() == self.uniques[at].family() =>
            {
                unique.merge(&self.uniques[at]);
            }
            (Slot::Theta(at), Some(State::Theta(theta))) => theta.merge(&self.thetas[at]),
            (Slot::Top(at), Some(State::Top(top))) => top.merge(&self.tops[at]),
            (Slot::Quantile(at), Some(State::Quantile(quantile))) => {
                quantile.merge(&self.quantiles[at]);
            }
            (Slot::Min(place), Some(State::Min(least))) => {
                let value = self.scalar(place);
                if value < least.as_ref() {
                    *least = value.to_owned();
                }
            }
            (Slot::Max(place), Some(State::Max(most))) => {
                let value = self.scalar(place);
                if value > most.as_ref() {
                    *most = value.to_owned();
                }
            }
            (Slot::Last(at, place), Some(State::Last(time, newest))) => {
                let (at, value) = (self.words[at] as i64, self.scalar(place));
                if (at, value) > (*time, newest.as_ref()) {
                    (*time, *newest) = (at, value.to_owned());
                }
            }
            (_, into) => *into = Some(self.state(layout, aggregate)),
        }
    }

    /// A copy of one aggregate's state.
    fn state(&self, layout: &Layout, aggregate: usize) -> State {
        match layout.slots[aggregate] {
            Slot::Count(at) => State::Count(self.words[at] as i64),
            Slot::Sum(at) => State::Sum(read_sum(self.words, at)),
            Slot::FloatSum(at, fraction) => State::FloatSum(self.float_sum(at, fraction)),
            Slot::Min(place) => State::Min(self.scalar(place).to_owned()),
            Slot::Max(place) => State::Max(self.scalar(place).to_owned()),
            Slot::Last(at, place) => {
                State::Last(self.words[at] as i64, self.scalar(place).to_owned())
            }
            Slot::Unique(at) => State::Unique(self.uniques[at].clone()),
            Slot::Theta(at) => State::Theta(self.thetas[at].clone()),
            Slot::Top(at) => State::Top(Box::new(self.tops[at].clone())),
            Slot::Quantile(at) => State::Quantile(self.quantiles[at].clone()),
        }
    }
}

/// A row in memory, to be changed.
pub struct RowMut<'a> {
    /// Its words.
    pub words: &'a mut [u64],
    /// Its uniques.
    pub uniques: &'a mut [Unique],
    /// Its sets.
    pub thetas: &'a mut [Theta],
    /// Its lists of frequent values.
    pub tops: &'a mut [Top],
    /// Its quantiles.
    pub quantiles: &'a mut [Quantile],
    /// Its fractions of sums.
    pub fractions: &'a mut [Fraction],
    /// Its texts.
    pub texts: &'a mut [Box<[u8]>],
}

impl RowMut<'_> {
    /// Unites a stored state into the row.
    pub fn absorb(&mut self, slot: Slot, aggregate: usize, state: &State) {
        let had = self.words[MARK_WORD] >> aggregate & 1 == 1;
        let matched = match (slot, state) {
            (Slot::Count(at), State::Count(count)) => {
                self.words[at] = (self.words[at] as i64).saturating_add(*count) as u64;
                true
            }
            (Slot::Sum(at), State::Sum(sum)) => {
                write_sum(self.words, at, state::add(read_sum(self.words, at), *sum));
                true
            }
            (Slot::FloatSum(at, fraction), State::FloatSum(sum)) => {
                let (units, fraction) = (units(self.words, at), &mut self.fractions[fraction]);
                let mut all = ExactSum::from_parts(*units, std::mem::take(fraction));
                all.merge(sum);
                (*units, *fraction) = all.into_parts();
                true
            }
            (Slot::Min(place), State::Min(value)) => {
                if !had || value.as_ref() < self.scalar(place) {
                    self.set(place, value);
                }
                true
            }
            (Slot::Max(place), State::Max(value)) => {
                if !had || value.as_ref() > self.scalar(place) {
                    self.set(place, value);
                }
                true
            }
            (Slot::Last(time, place), State::Last(at, value)) => {
                let newest = (self.words[time] as i64, self.scalar(place));
                if !had || (*at, value.as_ref()) > newest {
                    self.words[time] = *at as u64;
                    self.set(place, value);
                }
                true
            }
            (Slot::Unique(at), State::Unique(unique))
                if unique.family() == self.uniques[at].family() =>
            {
                self.uniques[at].merge(unique);
                true
            }
            (Slot::Theta(at), State::Theta(theta)) => {
                self.thetas[at].merge(theta);
                true
            }
            (Slot::Top(at), State::Top(top)) => {
                self.tops[at].merge(top);
                true
            }
            (Slot::Quantile(at), State::Quantile(quantile)) => {
                self.quantiles[at].merge(quantile);
                true
            }
            _ => false,
        };
        if matched {
            self.words[MARK_WORD] |= 1 << aggregate;
        }
    }

    fn scalar(&self, place: Place) -> ScalarRef<'_> {
        match place {
            Place::Word(at) => ScalarRef::Word(self.words[at] as i64),
            Place::Text(at) => ScalarRef::Text(&self.texts[at]),
        }
    }

    fn set(&mut self, place: Place, value: &Scalar) {
        match (place, value) {
            (Place::Word(at), Scalar::Word(word)) => self.words[at] = *word as u64,
            (Place::Text(at), Scalar::Text(text)) => self.texts[at].clone_from(text),
            // A stored value of another type: the store refuses such a configuration.
            _ => {}
        }
    }
}

/// Whether a sum has left 128 bits.
pub fn overflowed(sum: i128) -> bool {
    sum == OVERFLOWED
}
