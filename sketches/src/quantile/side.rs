//! The dense bins of one sign: a run of counts of 16 bits, with what exceeds them in a
//! short list. The run covers at most as many bins as are kept, from the highest down; what
//! lies lower is counted in the lowest of these, and counted again as folded.

use super::Kept;
use crate::prefetch::prefetch;

/// The run is lengthened by at least so many bins, or an eighth, so that it seldom is.
const STEP: i32 = 16;

/// Counts by bin index.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// The index of the first of `counts`.
    base: i32,
    /// The greatest index with a count, meaningless while `counts` is empty.
    highest: i32,
    /// The low 16 bits. None lies below the lowest kept bin.
    counts: Vec<u16>,
    /// How many bins are kept.
    kept: i32,
    rare: Option<Box<Rare>>,
}

/// What few sides have, apart, so that the others are short.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// Index and what exceeds the count there, in units of 2¹⁶, ascending.
    carries: Vec<(i32, u64)>,
    /// Index, and how many of the values there belong lower, ascending: those of the lowest
    /// kept bin, and of bins that were the lowest where fewer were kept.
    folded: Vec<(i32, u64)>,
}

impl Side {
    /// No counts yet.
    pub(super) fn new(kept: Kept) -> Self {
        Self { base: 0, highest: 0, counts: Vec::new(), kept: kept.bins(), rare: None }
    }

    /// One that keeps as many bins, without counts.
    pub(super) fn empty(&self) -> Self {
        Self { base: 0, highest: 0, counts: Vec::new(), kept: self.kept, rare: None }
    }

    /// Keeps more bins from now on.
    pub(super) fn widen(&mut self, kept: Kept) {
        self.kept = self.kept.max(kept.bins());
    }

    /// Where values were counted that belong lower, and how many.
    pub(super) fn folded(&self) -> &[(i32, u64)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.folded)
    }

    fn carries(&self) -> &[(i32, u64)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.carries)
    }

    /// The lowest bin that is kept; meaningless while there is no count.
    pub(super) fn lowest(&self) -> i32 {
        self.highest - (self.kept - 1)
    }

    /// Whether no count is long and none was folded.
    pub(super) fn fits_sparse(&self) -> bool {
        self.carries().is_empty() && self.folded().is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let rare = self.rare.as_ref().map_or(0, |rare| {
            let pairs = rare.carries.capacity() + rare.folded.capacity();
            size_of::<Rare>() + pairs * size_of::<(i32, u64)>()
        });
        self.counts.capacity() * 2 + rare
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
        {
            *count += 1;
            return 0;
        }
        self.insert_rare(index)
    }

    /// See [`Side::insert`].
    #[cold]
    #[inline(never)]
    fn insert_rare(&mut self, index: i32) -> isize {
        let before = self.heap_bytes();
        self.add(index, 1);
        self.heap_bytes().wrapping_sub(before) as isize
    }

    /// Counts `count` values, at least one.
    pub(super) fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.highest = index;
        } else if index > self.highest {
            self.raise(index);
        }
        let lowest = self.lowest();
        if index < lowest {
            self.fold(lowest, count);
        }
        let index = index.max(lowest);
        self.cover(index);
        let place = &mut self.counts[(index - self.base) as usize];
        let sum = u64::from(*place) + (count & 0xffff);
        *place = sum as u16;
        let carry = (sum >> 16) + (count >> 16);
        if carry > 0 {
            put(&mut self.rare.get_or_insert_default().carries, index, carry);
        }
    }

    /// Notes that `count` values at `index` belong lower.
    fn fold(&mut self, index: i32, count: u64) {
        if count > 0 {
            put(&mut self.rare.get_or_insert_default().folded, index, count);
        }
    }

    /// Makes room for bins from `low` to `high`, of which the highest is sure to come.
    pub(super) fn expect(&mut self, low: i32, high: i32) {
        if self.counts.is_empty() {
            self.highest = high;
            self.cover(low.max(self.lowest()));
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
        // Of bins that lie too low now, all values were counted as folded just now.
        let lowest = self.lowest();
        for &(index, count) in other.folded().iter().filter(|&&(index, _)| index >= lowest) {
            self.fold(index, count);
        }
    }

    /// Says that `folded` values at `index` belong lower, if that can be.
    pub(super) fn set_folded(&mut self, index: i32, folded: u64) -> bool {
        let covered = index >= self.base && index <= self.highest;
        let possible = covered && self.get(index) >= folded;
        if possible {
            self.fold(index, folded);
        }
        possible
    }

    /// Hands out index and count, ascending.
    pub(super) fn each(&self, mut take: impl FnMut(i32, u64)) {
        let mut carries = self.carries().iter().copied().peekable();
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
            if count > 0 || !self.carries().is_empty() {
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
        let carries = self.carries();
        match carries.binary_search_by_key(&index, |&(at, _)| at) {
            Ok(at) => carries[at].1 << 16 | low,
            Err(_) => low,
        }
    }

    /// Makes `highest` the highest bin and folds what now lies too low.
    fn raise(&mut self, highest: i32) {
        self.highest = highest;
        let lowest = self.lowest();
        if self.base >= lowest {
            return;
        }
        let mut below = 0;
        self.each(|index, count| below += if index < lowest { count } else { 0 });
        let gone = ((lowest - self.base) as usize).min(self.counts.len());
        self.counts.drain(..gone);
        if let Some(rare) = &mut self.rare {
            rare.carries.retain(|&(index, _)| index >= lowest);
            // What had been folded into bins that lie too low now is folded with them.
            rare.folded.retain(|&(index, _)| index >= lowest);
        }
        self.base = lowest;
        if below > 0 {
            self.cover(lowest);
            self.add(lowest - 1, below);
        }
    }

    /// Lengthens the run to cover `index`.
    fn cover(&mut self, index: i32) {
        if self.counts.is_empty() {
            self.base = index;
        }
        let lowest = self.lowest();
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
            let length = ((index - self.base + step) / step * step).min(self.kept);
            self.counts.reserve_exact(length as usize - self.counts.len());
            self.counts.resize(length as usize, 0);
        }
    }
}

/// Adds `count` to that of `index` in an ascending list.
fn put(list: &mut Vec<(i32, u64)>, index: i32, count: u64) {
    match list.binary_search_by_key(&index, |&(at, _)| at) {
        Ok(at) => list[at].1 += count,
        Err(at) => list.insert(at, (index, count)),
    }
}
