//! The dense bins of one sign: a run of counts of 16 bits, with what exceeds them in a
//! short list. The run covers at most the highest bin and the 2,047 below it; what lies
//! lower is counted in the lowest of these, and counted again as folded.

use super::BINS;
use crate::prefetch::prefetch;

/// The run is lengthened by at least so many bins, or an eighth, so that it seldom is.
const STEP: i32 = 16;

/// Counts by bin index.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// The index of the first of `counts`.
    base: i32,
    /// The greatest index with a count, meaningless while `counts` is empty.
    highest: i32,
    /// The low 16 bits.
    counts: Vec<u16>,
    /// Index and the rest in units of 2¹⁶, ascending: seldom any.
    carries: Vec<(i32, u64)>,
    folded: u64,
}

impl Side {
    /// How many values were counted higher than they belong.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// Whether no count is long and none was folded.
    pub(super) fn fits_sparse(&self) -> bool {
        self.carries.is_empty() && self.folded == 0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * 2 + self.carries.capacity() * size_of::<(i32, u64)>()
    }

    /// Asks for the count of `index`.
    #[inline]
    pub(super) fn prefetch(&self, index: i32) {
        if let Some(count) = self.counts.get(index.wrapping_sub(self.base) as usize) {
            prefetch(count);
        }
    }

    /// Counts one value; gives by how many bytes its heap memory grew.
    #[inline]
    pub(super) fn insert(&mut self, index: i32) -> isize {
        // One comparison for both ends; past the highest bin, the rest has to move.
        if let Some(count) = self.counts.get_mut(index.wrapping_sub(self.base) as usize)
            && index <= self.highest
            && *count < u16::MAX
            && index > self.highest - BINS
        {
            *count += 1;
            0
        } else {
            let before = self.heap_bytes();
            self.add(index, 1);
            self.heap_bytes().wrapping_sub(before) as isize
        }
    }

    /// Counts `count` values, at least one.
    pub(super) fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.highest = index;
        } else if index > self.highest {
            self.raise(index);
        }
        let lowest = self.highest - (BINS - 1);
        let index = if index < lowest {
            self.folded += count;
            lowest
        } else {
            index
        };
        self.cover(index);
        let place = &mut self.counts[(index - self.base) as usize];
        let sum = u64::from(*place) + (count & 0xffff);
        *place = sum as u16;
        self.carry(index, (sum >> 16) + (count >> 16));
    }

    /// Makes room for bins from `low` to `high`, of which the highest is sure to come.
    pub(super) fn expect(&mut self, low: i32, high: i32) {
        if self.counts.is_empty() {
            self.highest = high;
            self.cover(low.max(high - (BINS - 1)));
            self.cover(high);
        }
    }

    /// Counts what `other` counted.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        // From the highest down, so that the bins are moved once.
        other.each_down(|index, count| self.add(index, count));
        // Of a lower side, the bin that holds its folded values was folded as a whole.
        if self.highest == other.highest {
            self.folded += other.folded;
        }
    }

    /// Says that `folded` values of the lowest bin belong lower, if that can be.
    pub(super) fn set_folded(&mut self, folded: u64) -> bool {
        let lowest = self.highest - (BINS - 1);
        let possible = folded == 0 || (lowest >= self.base && self.get(lowest) >= folded);
        self.folded = folded;
        possible
    }

    /// Hands out index and count, ascending.
    pub(super) fn each(&self, mut take: impl FnMut(i32, u64)) {
        let mut carries = self.carries.iter().copied().peekable();
        for (index, &count) in (self.base..).zip(&self.counts) {
            let carry = carries.next_if(|&(at, _)| at == index).map_or(0, |(_, carry)| carry);
            let count = carry << 16 | u64::from(count);
            if count > 0 {
                take(index, count);
            }
        }
    }

    /// Hands out index and count, descending.
    pub(super) fn each_down(&self, mut take: impl FnMut(i32, u64)) {
        for (place, &count) in self.counts.iter().enumerate().rev() {
            let index = self.base + place as i32;
            if count > 0 || !self.carries.is_empty() {
                let count = self.get(index);
                if count > 0 {
                    take(index, count);
                }
            }
        }
    }

    /// The count at `index`, which is covered.
    fn get(&self, index: i32) -> u64 {
        let low = u64::from(self.counts[(index - self.base) as usize]);
        match self.carries.binary_search_by_key(&index, |&(at, _)| at) {
            Ok(at) => self.carries[at].1 << 16 | low,
            Err(_) => low,
        }
    }

    fn carry(&mut self, index: i32, carry: u64) {
        if carry > 0 {
            match self.carries.binary_search_by_key(&index, |&(at, _)| at) {
                Ok(at) => self.carries[at].1 += carry,
                Err(at) => self.carries.insert(at, (index, carry)),
            }
        }
    }

    /// Makes `highest` the highest bin and folds what now lies too low.
    fn raise(&mut self, highest: i32) {
        self.highest = highest;
        let lowest = highest - (BINS - 1);
        if self.base >= lowest {
            return;
        }
        let mut below = 0;
        self.each(|index, count| below += if index < lowest { count } else { 0 });
        let gone = ((lowest - self.base) as usize).min(self.counts.len());
        self.counts.drain(..gone);
        self.carries.retain(|&(index, _)| index >= lowest);
        self.base = lowest;
        if below > 0 {
            // What had been folded before lay in a bin that is now folded itself.
            self.folded = 0;
            self.cover(lowest);
            self.add(lowest - 1, below);
        }
    }

    /// Lengthens the run to cover `index`.
    fn cover(&mut self, index: i32) {
        if self.counts.is_empty() {
            self.base = index;
        }
        let lowest = self.highest - (BINS - 1);
        if index < self.base {
            let step = STEP.max(self.counts.len() as i32 / 8);
            let base = (index - index.rem_euclid(step)).max(lowest);
            let mut longer = Vec::with_capacity((self.base - base) as usize + self.counts.len());
            longer.resize((self.base - base) as usize, 0);
            longer.extend_from_slice(&self.counts);
            (self.base, self.counts) = (base, longer);
        }
        if index - self.base >= self.counts.len() as i32 {
            let step = STEP.max(self.counts.len() as i32 / 8);
            let length = (index - self.base + step) / step * step;
            self.counts.reserve_exact(length as usize - self.counts.len());
            self.counts.resize(length as usize, 0);
        }
    }
}
