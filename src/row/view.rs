//! A row in memory: its states looked at, stored, folded into an answer, and united with those of a
//! stored row.

use std::borrow::Cow;

use sketches::quantile::Quantile;
use sketches::sum::{ExactSum, Fraction, Units};
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::Unique;

use super::buffer::Buffer;
use super::codec::{put_head, put_number};
use super::layout::{Layout, MARK_WORD, Place, Slot};
use super::state::{self, Scalar, ScalarRef, State};

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
    /// What its uniques and quantiles have not taken yet.
    pub buffers: &'a [Buffer],
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
            + self.buffers.iter().map(Buffer::heap_bytes).sum::<usize>()
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

    /// A unique count, with what waits for it.
    fn unique(&self, layout: &Layout, at: usize) -> Cow<'a, Unique> {
        self.buffers[0].unique(layout.form, at, &self.uniques[at])
    }

    /// A distribution, with what waits for it.
    fn quantile(&self, layout: &Layout, at: usize) -> Cow<'a, Quantile> {
        self.buffers[0].quantile(layout.form, at, &self.quantiles[at])
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
                Slot::Unique(at) => state::encode_unique(&self.unique(layout, at), out),
                Slot::Theta(at) => state::encode_theta(&self.thetas[at], out),
                Slot::Top(at) => state::encode_top(&self.tops[at], out),
                Slot::Quantile(at) => state::encode_quantile(&self.quantile(layout, at), out),
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
                self.buffers[0].add_coupons(layout.form, at, unique);
            }
            (Slot::Theta(at), Some(State::Theta(theta))) => theta.merge(&self.thetas[at]),
            (Slot::Top(at), Some(State::Top(top))) => top.merge(&self.tops[at]),
            (Slot::Quantile(at), Some(State::Quantile(quantile))) => {
                quantile.merge(&self.quantiles[at]);
                self.buffers[0].add_samples(layout.form, at, quantile);
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
            Slot::Unique(at) => State::Unique(self.unique(layout, at).into_owned()),
            Slot::Theta(at) => State::Theta(self.thetas[at].clone()),
            Slot::Top(at) => State::Top(Box::new(self.tops[at].clone())),
            Slot::Quantile(at) => State::Quantile(self.quantile(layout, at).into_owned()),
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
    /// What its uniques and quantiles have not taken yet.
    pub buffers: &'a mut [Buffer],
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
