//! Which value lies at a given part of all values, within a relative error: a DDSketch.
//! Values come in with their [`Bin`], which is found once per event by a [`Mapping`].
//!
//! Per sign, bins up to 2,047 below the highest are kept apart; what lies lower is counted
//! in the lowest kept. Which those are depends on the values alone, not on their order.

mod mapping;
mod powers;

use std::collections::BTreeMap;

use crate::codec::{self, DecodeError, Reader};
pub use mapping::{Bin, LEAST, Mapping, RELATIVE_ERROR};

/// How many bins of each sign are kept apart.
pub const BINS: i32 = 2048;

/// The distribution of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantile {
    bins: BTreeMap<i32, u64>,
    folded: [u64; 2],
    count: u64,
    min: f64,
    max: f64,
    sum: i128,
    carry: i64,
}

const VERSION: u8 = 0;

impl Quantile {
    /// No values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `value`, which is finite, falls into `bin` and is `fixed` units of 2⁻⁶⁴.
    pub fn insert(&mut self, bin: Bin, value: f64, fixed: i128) {
        let value = value + 0.0;
        self.widen(value, value);
        self.add_sum(fixed, 0);
        self.count += 1;
        let highest = self.highest();
        *self.bins.entry(bin.to_i32()).or_default() += 1;
        self.fold(highest);
    }

    /// Counts the values of `other` as well; both must be of the same [`Mapping`].
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.widen(other.min, other.max);
        self.add_sum(other.sum, other.carry);
        self.count += other.count;
        let mut highest = self.highest();
        for (sign, theirs) in other.highest().into_iter().enumerate() {
            // Folded values of the side with the lower bins lie in a bin that folds now.
            if theirs >= highest[sign] {
                let mine = if theirs > highest[sign] { 0 } else { self.folded[sign] };
                self.folded[sign] = mine + other.folded[sign];
                highest[sign] = theirs;
            }
        }
        for (&bin, &count) in &other.bins {
            *self.bins.entry(bin).or_default() += count;
        }
        self.fold(highest);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least value.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The sum of all values in units of 2⁻⁶⁴ (see [`crate::fixed`]); `None` where it
    /// does not fit, which depends on the sum alone, not on the order of its parts.
    pub fn sum(&self) -> Option<i128> {
        (self.carry == 0).then_some(self.sum)
    }

    /// How many values were counted in the lowest kept bin of their sign though they
    /// belong lower; quantiles that fall there are too far from zero.
    pub fn folded(&self) -> u64 {
        self.folded[0] + self.folded[1]
    }

    /// The value below which a part `q` (0 to 1) of all values lies: within the relative
    /// error of the value of rank ⌊q · (count − 1)⌋, and within min and max.
    pub fn quantile(&self, q: f64, mapping: &Mapping) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let last = self.count - 1;
        let rank = (q.clamp(0.0, 1.0) * last as f64) as u64;
        if rank == 0 {
            return Some(self.min);
        }
        if rank >= last {
            return Some(self.max);
        }
        let mut below = 0;
        for (&bin, &count) in &self.bins {
            below += count;
            if below > rank {
                let value = mapping.value(Bin::from_i32(bin).unwrap_or(Bin::ZERO));
                return Some(value.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bins.len() * 24
    }

    /// Appends the stored form. Equal content gives equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        codec::put_u64(out, self.bins.len() as u64);
        if self.count == 0 {
            return;
        }
        let mut before = 0;
        for (&bin, &count) in &self.bins {
            codec::put_i64(out, i64::from(bin) - before);
            codec::put_u64(out, count);
            before = i64::from(bin);
        }
        codec::put_f64(out, self.min);
        codec::put_f64(out, self.max);
        codec::put_i128(out, self.sum);
        codec::put_i64(out, self.carry);
        codec::put_u64(out, self.folded[0]);
        codec::put_u64(out, self.folded[1]);
    }

    /// Reads a stored form, which must be all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not what [`Quantile::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let mut read = Self::new();
        let bins = reader.u64()?;
        if bins == 0 {
            reader.finish()?;
            return Ok(read);
        }
        let mut before = None;
        for _ in 0..bins {
            let bin = reader.i64()?.checked_add(before.unwrap_or(0));
            let bin = bin.filter(|&bin| before.is_none_or(|before| before < bin));
            let bin = bin.and_then(|bin| i32::try_from(bin).ok()).and_then(Bin::from_i32);
            let bin = bin.ok_or(DecodeError::Invalid("bins are not ascending and possible"))?;
            let count = reader.u64()?;
            let total = read.count.checked_add(count).filter(|_| count > 0);
            read.count = total.ok_or(DecodeError::Invalid("the count of a bin is impossible"))?;
            read.bins.insert(bin.to_i32(), count);
            before = Some(i64::from(bin.to_i32()));
        }
        (read.min, read.max) = (reader.f64()?, reader.f64()?);
        if !(read.min.is_finite() && read.max.is_finite() && read.min <= read.max) {
            return Err(DecodeError::Invalid("min and max are not finite and in order"));
        }
        read.sum = reader.i128()?;
        read.carry = reader.i64()?;
        read.folded = [reader.u64()?, reader.u64()?];
        reader.finish()?;
        let len = read.bins.len();
        read.fold(read.highest());
        if len != read.bins.len() || read.folded[0].checked_add(read.folded[1]).is_none() {
            return Err(DecodeError::Invalid("more bins than are kept"));
        }
        Ok(read)
    }

    /// Counts the values of a stored form as well.
    ///
    /// # Errors
    /// Where the bytes are not what [`Quantile::encode`] writes; nothing is then changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.merge(&Self::decode(bytes)?);
        Ok(())
    }

    fn widen(&mut self, min: f64, max: f64) {
        if self.count == 0 {
            (self.min, self.max) = (min, max);
        } else {
            (self.min, self.max) = (self.min.min(min), self.max.max(max));
        }
    }

    /// Adds with 64 more bits than an `i128`, so that a sum that passes the limits and
    /// comes back is right in the end.
    fn add_sum(&mut self, sum: i128, carry: i64) {
        let (total, overflowed) = self.sum.overflowing_add(sum);
        self.sum = total;
        self.carry += carry;
        if overflowed {
            self.carry += if sum < 0 { -1 } else { 1 };
        }
    }

    /// The highest bin of each sign, by magnitude; 0 for none.
    fn highest(&self) -> [i32; 2] {
        let ends = [self.bins.first_key_value(), self.bins.last_key_value()];
        let [low, high] = ends.map(|end| end.map_or(0, |(&bin, _)| bin));
        [(-low).max(0), high.max(0)]
    }

    /// Counts what lies too far below the highest bin of its sign in the lowest kept.
    /// `folded` is true for bins up to `highest_before`.
    fn fold(&mut self, highest_before: [i32; 2]) {
        for (sign, highest) in self.highest().into_iter().enumerate() {
            let lowest = (highest - (BINS - 1)).max(1);
            let (direction, below) = match sign {
                0 => (-1, self.bins.range(1 - lowest..0)),
                _ => (1, self.bins.range(1..lowest)),
            };
            let below: Vec<i32> = below.map(|(&bin, _)| bin).collect();
            if highest > highest_before[sign] {
                self.folded[sign] = 0;
            }
            let below: u64 = below.iter().filter_map(|bin| self.bins.remove(bin)).sum();
            if below > 0 {
                self.folded[sign] += below;
                *self.bins.entry(lowest * direction).or_default() += below;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::to_fixed;
    use proptest::prelude::*;

    fn of(values: &[f64], mapping: &Mapping) -> Quantile {
        let mut quantile = Quantile::new();
        for &value in values {
            quantile.insert(mapping.bin(value), value, to_fixed(value).unwrap());
        }
        quantile
    }

    fn bytes(quantile: &Quantile) -> Vec<u8> {
        let mut out = Vec::new();
        quantile.encode(&mut out);
        out
    }

    /// Magnitudes from 1e-30 to 1e12: far more bins than are kept.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![Just(0.0), Just(1.0), (-69.0..27.0f64).prop_map(f64::exp)]
            .prop_flat_map(|value| prop_oneof![Just(value), Just(-value)])
    }

    proptest! {
        #[test]
        fn any_order_and_split(
            values in proptest::collection::vec(value(), 0..200),
            split: prop::sample::Index,
        ) {
            let mapping = Mapping::new(0.01).unwrap();
            let whole = of(&values, &mapping);
            let (left, right) = values.split_at(split.index(values.len() + 1));
            let mut merged = of(right, &mapping);
            merged.merge(&of(left, &mapping));
            prop_assert_eq!(bytes(&merged), bytes(&whole));
            prop_assert_eq!(&Quantile::decode(&bytes(&whole)).unwrap(), &whole);
            // The definition: bins below the highest 2,048 of a sign are folded.
            let folded: usize = [-1, 1].into_iter().map(|sign| {
                let indexes: Vec<i32> = values.iter().map(|&value| mapping.bin(value))
                    .filter(|bin| bin.sign() == sign).map(Bin::index).collect();
                let highest = indexes.iter().max().copied().unwrap_or(0);
                indexes.iter().filter(|&&index| index < highest - 2047).count()
            }).sum();
            prop_assert_eq!(whole.folded(), folded as u64);
            prop_assert_eq!(whole.count(), values.len() as u64);
            let sum: i128 = values.iter().map(|&value| to_fixed(value).unwrap()).sum();
            prop_assert_eq!(whole.sum(), Some(sum));
        }

        #[test]
        fn within_the_relative_error(
            mut values in proptest::collection::vec(-1000.0..1000.0f64, 1..200),
            q in 0.0..=1.0f64,
        ) {
            let mapping = Mapping::new(0.02).unwrap();
            let quantile = of(&values, &mapping);
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            let ours = quantile.quantile(q, &mapping).unwrap();
            prop_assert!((ours - exact).abs() <= exact.abs() * 0.02 * (1.0 + 1e-12));
            prop_assert_eq!(quantile.min(), values.first().copied());
            prop_assert_eq!(quantile.max(), values.last().copied());
        }

        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            if let Ok(read) = Quantile::decode(&bytes) {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn a_sum_may_pass_the_limit_and_come_back() {
        let mapping = Mapping::new(0.01).unwrap();
        let greatest = crate::fixed::LIMIT.next_down();
        let mut sums = of(&[greatest], &mapping);
        for _ in 0..23 {
            let copy = sums.clone();
            sums.merge(&copy);
        }
        assert!(sums.sum().is_some());
        let mut negative = of(&[-greatest], &mapping);
        for _ in 0..24 {
            let copy = negative.clone();
            negative.merge(&copy);
        }
        let copy = sums.clone();
        sums.merge(&copy);
        assert_eq!(sums.sum(), None);
        sums.merge(&negative);
        assert_eq!(sums.sum(), Some(0));
    }
}
