//! Which value lies at a given part of all values, within a relative error: a DDSketch.
//! Values come in with their [`Bin`], which is found once per event by a [`Mapping`].
//!
//! Up to eight values are kept as they are, then the bins that occur with their counts,
//! then, where that is shorter, all bins from the lowest to the highest. Per sign, so many
//! bins are kept apart as [`Mapping::kept`] says, from the highest down: enough for thirteen
//! orders of magnitude. What lies lower is folded: counted in the lowest kept, and told by
//! [`Quantile::folded`]. Which those are depends on the values alone, not on their order.

mod datadog;
mod encoding;
mod head;
mod mapping;
mod powers;
mod side;
mod sparse;
mod storage;
#[cfg(test)]
mod tests;

use crate::sum::{has_fraction, to_fixed};
use head::Head;
pub use mapping::{Bin, Kept, LEAST, Mapping, RELATIVE_ERROR};
use sparse::{folds, open_place, position, span};
use storage::{MOST_FEW, Storage, View, ViewMut};

/// The distribution of values: 16 bytes, and no heap for a single value.
#[derive(Clone)]
pub struct Quantile(Storage);

impl Quantile {
    /// No values yet; `kept` is that of the [`Mapping`] that finds the bins of its values.
    pub const fn new(kept: Kept) -> Self {
        Self(Storage::empty(kept))
    }

    /// Counts `value`, which is finite, falls into `bin` and is `fixed` by [`to_fixed`].
    ///
    /// Every value of one distribution must have its bin from the same [`Mapping`].
    ///
    /// Gives by how many bytes its heap memory grew.
    #[inline]
    pub fn insert(&mut self, bin: Bin, value: f64, fixed: i128) -> isize {
        let value = value + 0.0; // −0 is 0.
        if has_fraction(value) {
            return self.insert_fraction(bin, value, fixed);
        }
        // The busiest first.
        if let Storage::Dense { body: dense, .. } = &mut self.0 {
            dense.head.insert_whole(value, fixed);
            return dense.insert(bin);
        }
        self.insert_small(bin, value, fixed)
    }

    /// As [`Quantile::insert`], of a value that has a fraction of a unit of the sum: beside bins,
    /// only dense ones have room for it.
    #[cold]
    #[inline(never)]
    fn insert_fraction(&mut self, bin: Bin, value: f64, fixed: i128) -> isize {
        self.growth(|q| {
            if matches!(q.0.view(), View::Few { values, .. } if values.len() < MOST_FEW)
                && is_plain(bin, value, fixed)
            {
                q.insert_small(bin, value, fixed);
                return;
            }
            q.make_dense();
            if let ViewMut::Dense(dense) = q.0.view_mut() {
                dense.head.insert(value, fixed);
                dense.add(bin, 1);
            }
        })
    }

    /// Asks for the memory that inserting will read first, once the sketch itself is near.
    #[inline]
    pub fn prefetch(&self) {
        self.0.prefetch();
    }

    /// Asks for the count of `bin`, once what [`Quantile::prefetch`] asked for is near.
    #[inline]
    pub fn prefetch_bin(&self, bin: Bin) {
        if let Storage::Dense { body: dense, .. } = &self.0 {
            dense.positive.prefetch(bin.index());
        }
    }

    /// As [`Quantile::insert`], while bins are not dense.
    #[inline(never)]
    fn insert_small(&mut self, bin: Bin, value: f64, fixed: i128) -> isize {
        match self.0.view_mut() {
            ViewMut::Dense(_) => unreachable!("dense bins were handled"),
            ViewMut::Sparse { kept, len, head, bins, counts } => {
                head.insert(value, fixed);
                let (at, used) = (position(bins, *len, bin), usize::from(*len));
                if at < used && bins[at] == bin.to_i32() {
                    match counts[at].checked_add(1) {
                        Some(count) => counts[at] = count,
                        None => return self.growth(|q| q.add(bin, 1)),
                    }
                } else if used < bins.len() && !folds(&bins[..used], bin, kept) {
                    open_place(bins, counts, at, used);
                    (bins[at], counts[at]) = (bin.to_i32(), 1);
                    *len += 1;
                } else {
                    return self.growth(|q| q.add(bin, 1));
                }
            }
            ViewMut::Few { len, values, bins } => {
                let at = usize::from(*len);
                let plain = is_plain(bin, value, fixed);
                if at < values.len() && plain {
                    (values[at], bins[at]) = (value, bin.to_i32());
                    *len += 1;
                } else if at < MOST_FEW && plain {
                    return self.growth(|q| q.lengthen(bin, value));
                } else {
                    return self.growth(|q| {
                        q.make_binned();
                        q.insert(bin, value, fixed);
                    });
                }
            }
        }
        0
    }

    /// Changes the sketch; gives by how many bytes its heap memory grew.
    #[cold]
    #[inline(never)]
    fn growth(&mut self, change: impl FnOnce(&mut Self)) -> isize {
        let before = self.heap_bytes();
        change(self);
        self.heap_bytes().wrapping_sub(before) as isize
    }

    /// Counts the values of `other` as well. Where one keeps more bins, so does the result:
    /// what the other has folded stays so, and is told.
    pub fn merge(&mut self, other: &Self) {
        self.keep_at_least(other.0.kept());
        match other.0.view() {
            View::Few { values, bins } => {
                for (&value, &bin) in values.iter().zip(bins) {
                    let bin = Bin::from_i32(bin).unwrap_or(Bin::ZERO);
                    self.insert(bin, value, to_fixed(value).unwrap_or(0));
                }
            }
            _ if matches!(self.0.view(), View::Few { .. }) => {
                let mine = std::mem::replace(self, other.clone());
                self.merge(&mine);
            }
            View::Sparse { head, bins, counts } => {
                match self.0.view_mut() {
                    ViewMut::Few { .. } => {}
                    ViewMut::Sparse { head: mine, .. } => mine.merge(head),
                    ViewMut::Dense(dense) => dense.head.merge(&head.full()),
                }
                for (&bin, &count) in bins.iter().zip(counts) {
                    self.add(Bin::from_i32(bin).unwrap_or(Bin::ZERO), u64::from(count));
                }
            }
            View::Dense(theirs) => {
                self.make_dense();
                if let ViewMut::Dense(mine) = self.0.view_mut() {
                    mine.head.merge(&theirs.head);
                    mine.zero += theirs.zero;
                    mine.positive.merge(&theirs.positive);
                    if let Some(theirs) = &theirs.negative {
                        mine.side_mut(true).merge(theirs);
                    }
                }
            }
        }
    }

    /// Folds no value from now on that lies within so many bins of the greatest: for a sketch
    /// of before a time when more were kept.
    pub fn keep_at_least(&mut self, kept: Kept) {
        if self.0.kept() < kept {
            self.0.widen(kept);
        }
    }

    /// How many bins of each sign are kept apart.
    pub fn kept(&self) -> Kept {
        self.0.kept()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Storage::Inline { len: 0, .. })
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.head().count
    }

    /// The least value.
    pub fn min(&self) -> Option<f64> {
        Some(self.head()).filter(|head| head.count > 0).map(|head| head.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<f64> {
        Some(self.head()).filter(|head| head.count > 0).map(|head| head.max)
    }

    /// The sum of all values, rounded once.
    pub fn sum(&self) -> f64 {
        self.head().sum.get().unwrap_or(0.0)
    }

    /// How many values were counted in the lowest kept bin of their sign though they
    /// belong lower; quantiles that fall there are too far from zero. None of up to eight
    /// values: these are kept as they are.
    pub fn folded(&self) -> u64 {
        match self.0.view() {
            View::Dense(dense) => {
                let of_side =
                    |side: &side::Side| side.folded().iter().map(|(_, count)| count).sum::<u64>();
                dense.sides().map(of_side).sum()
            }
            _ => 0,
        }
    }

    /// The value of rank ⌊q · (count − 1)⌋ in ascending order (`q` from 0 to 1): within
    /// the relative error, exact for q 0 and 1 and up to eight values.
    pub fn quantile(&self, q: f64, mapping: &Mapping) -> Option<f64> {
        let head = self.head();
        let last = head.count.checked_sub(1)?;
        let rank = (q.clamp(0.0, 1.0) * last as f64) as u64;
        if rank == 0 {
            return Some(head.min);
        }
        if rank >= last {
            return Some(head.max);
        }
        if let View::Few { values, .. } = self.0.view() {
            let mut sorted = values.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            return sorted.get(rank as usize).copied();
        }
        let (mut below, mut found) = (0, None);
        self.each(|bin, count| {
            below += count;
            if below > rank && found.is_none() {
                found = Some(bin);
            }
        });
        Some(mapping.value(found?).clamp(head.min, head.max))
    }

    /// Bytes on the heap; the sketch itself is 16 more.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// Hands out bins and their counts, ascending.
    fn each(&self, mut take: impl FnMut(Bin, u64)) {
        match self.0.view() {
            View::Few { bins, .. } => {
                let mut sorted = [0; MOST_FEW];
                for equal in sort(bins, &mut sorted).chunk_by(|a, b| a == b) {
                    take(Bin::from_i32(equal[0]).unwrap_or(Bin::ZERO), equal.len() as u64);
                }
            }
            View::Sparse { bins, counts, .. } => {
                for (&bin, &count) in bins.iter().zip(counts) {
                    take(Bin::from_i32(bin).unwrap_or(Bin::ZERO), u64::from(count));
                }
            }
            View::Dense(dense) => {
                if let Some(negative) = &dense.negative {
                    negative.each_down(|index, count| take(Bin::new(true, index), count));
                }
                if dense.zero > 0 {
                    take(Bin::ZERO, dense.zero);
                }
                dense.positive.each(|index, count| take(Bin::new(false, index), count));
            }
        }
    }

    /// Count, min, max and sum.
    fn head(&self) -> Head {
        match self.0.view() {
            View::Few { values, .. } => {
                let mut head = Head::EMPTY;
                for &value in values {
                    head.insert(value, to_fixed(value).unwrap_or(0));
                }
                head
            }
            View::Sparse { head, .. } => head.full(),
            View::Dense(dense) => dense.head.clone(),
        }
    }

    /// Moves values that are kept as they are to a longer box, and adds one.
    fn lengthen(&mut self, bin: Bin, value: f64) {
        let View::Few { values, bins } = self.0.view() else { return };
        let used = values.len();
        let mut longer = Storage::few_for(self.0.kept(), used + 1);
        if let ViewMut::Few { len, values: new_values, bins: new_bins } = longer.view_mut() {
            new_values[..used].copy_from_slice(values);
            new_bins[..used].copy_from_slice(bins);
            (new_values[used], new_bins[used]) = (value, bin.to_i32());
            *len = used as u16 + 1;
        }
        self.0 = longer;
    }

    /// Counts `count` values in `bin`, where bins are kept; the head has them already.
    fn add(&mut self, bin: Bin, count: u64) {
        match self.0.view_mut() {
            ViewMut::Few { .. } => {}
            ViewMut::Dense(dense) => dense.add(bin, count),
            ViewMut::Sparse { kept, len, head, bins, counts } => {
                let at = position(bins, *len, bin);
                let used = usize::from(*len);
                let known = at < used && bins[at] == bin.to_i32();
                let sum = count + if known { u64::from(counts[at]) } else { 0 };
                if let (Ok(sum), true) = (u16::try_from(sum), known) {
                    counts[at] = sum;
                } else if let (Ok(sum), false) =
                    (u16::try_from(sum), folds(&bins[..used], bin, kept))
                {
                    if used == bins.len() {
                        let span = || span(&bins[..used], bin);
                        match Storage::sparse_for(kept, head.clone(), used + 1, span) {
                            Some(longer) => self.move_bins(longer),
                            None => self.make_dense(),
                        }
                        return self.add(bin, count);
                    }
                    open_place(bins, counts, at, used);
                    (bins[at], counts[at]) = (bin.to_i32(), sum);
                    *len += 1;
                } else {
                    self.make_dense();
                    self.add(bin, count);
                }
            }
        }
    }

    /// From values as they are to bins.
    fn make_binned(&mut self) {
        let room = |head| Storage::sparse_for(self.0.kept(), head, MOST_FEW + 1, || usize::MAX / 4);
        match self.head().plain().and_then(room) {
            Some(room) => self.move_bins(room),
            None => self.make_dense(),
        }
    }

    /// Makes all bins dense.
    fn make_dense(&mut self) {
        if !matches!(self.0, Storage::Dense { .. }) {
            self.move_bins(Storage::dense(self.0.kept(), self.head()));
        }
    }

    /// Moves all bins to `storage`, which has the head already and keeps bins.
    fn move_bins(&mut self, mut storage: Storage) {
        if let View::Sparse { bins, counts, .. } = self.0.view() {
            match storage.view_mut() {
                ViewMut::Sparse { len, bins: new_bins, counts: new_counts, .. } => {
                    *len = bins.len() as u16;
                    new_bins[..bins.len()].copy_from_slice(bins);
                    new_counts[..counts.len()].copy_from_slice(counts);
                    self.0 = storage;
                    return;
                }
                ViewMut::Dense(dense) => expect(dense, bins),
                ViewMut::Few { .. } => {}
            }
        }
        if let (View::Few { bins, .. }, ViewMut::Sparse { len, bins: places, counts, .. }) =
            (self.0.view(), storage.view_mut())
        {
            let mut sorted = [0; MOST_FEW];
            let sorted = sort(bins, &mut sorted);
            // So near to each other that none can fold: then they are copied at once.
            let kept = i64::from(self.0.kept().bins());
            let near = |low: i32, high: i32| i64::from(high) - i64::from(low) < kept;
            if let [low, .., high] = sorted
                && near(*low, *high)
            {
                for equal in sorted.chunk_by(|a, b| a == b) {
                    let at = usize::from(*len);
                    (places[at], counts[at]) = (equal[0], equal.len() as u16);
                    *len += 1;
                }
                self.0 = storage;
                return;
            }
        }
        let mut moved = Self(storage);
        self.each(|bin, count| moved.add(bin, count));
        *self = moved;
    }
}

/// Makes room for the ascending `bins`.
fn expect(dense: &mut storage::Dense, bins: &[i32]) {
    let index = |&bin: &i32| Bin::from_i32(bin).unwrap_or(Bin::ZERO).index();
    let negative = &bins[..bins.partition_point(|&bin| bin < 0)];
    let positive = &bins[bins.partition_point(|&bin| bin <= 0)..];
    if let (Some(high), Some(low)) = (negative.first(), negative.last()) {
        dense.side_mut(true).expect(index(low), index(high));
    }
    if let (Some(low), Some(high)) = (positive.first(), positive.last()) {
        dense.positive.expect(index(low), index(high));
    }
}

/// The bins of a few values, ascending, in `room`.
fn sort<'a>(bins: &[i32], room: &'a mut [i32; MOST_FEW]) -> &'a [i32] {
    let sorted = &mut room[..bins.len()];
    sorted.copy_from_slice(bins);
    sorted.sort_unstable();
    sorted
}

/// Whether a value tells all there is to know: then it can be kept as it is.
#[inline]
fn is_plain(bin: Bin, value: f64, fixed: i128) -> bool {
    let sign = i32::from(value > 0.0) - i32::from(value < 0.0);
    to_fixed(value) == Some(fixed) && (bin == Bin::ZERO || bin.sign() == sign)
}

impl PartialEq for Quantile {
    /// Equal content, in whatever order it came.
    fn eq(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        self.encode(&mut mine);
        other.encode(&mut theirs);
        mine == theirs
    }
}

impl std::fmt::Debug for Quantile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bins = Vec::new();
        self.each(|bin, count| bins.push((bin.to_i32(), count)));
        f.debug_struct("Quantile").field("head", &self.head()).field("bins", &bins).finish()
    }
}
