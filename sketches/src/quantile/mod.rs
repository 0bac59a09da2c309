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
mod sample;
mod side;
mod sparse;
mod storage;
#[cfg(test)]
mod tests;

use crate::sum::has_fraction;
use head::{Head, Run};
pub use mapping::{Bin, Kept, LEAST, Mapping, RELATIVE_ERROR};
pub use sample::Sample;
use sparse::{folds, open_place, position, span};
use storage::{MOST_FEW, Storage, View, ViewMut};

/// For so many values that are at hand, at most, room is made ahead.
const MOST_AHEAD: usize = 16;

/// The distribution of values: 16 bytes, and no heap for a single value.
#[derive(Clone)]
pub struct Quantile(Storage);

impl Quantile {
    /// No values yet; `kept` is that of the [`Mapping`] that finds the bins of its values.
    pub const fn new(kept: Kept) -> Self {
        Self(Storage::empty(kept))
    }

    /// Counts a value.
    ///
    /// Every value of one distribution must have its bin from the same [`Mapping`].
    ///
    /// Gives by how many bytes its heap memory grew.
    #[inline]
    pub fn insert(&mut self, sample: Sample) -> isize {
        self.insert_all(&[sample])
    }

    /// Counts values, as [`Quantile::insert`] does one by one.
    #[inline]
    pub fn insert_all(&mut self, samples: &[Sample]) -> isize {
        // The busiest first.
        match &mut self.0 {
            Storage::Dense { body: dense, .. } => dense.insert_all(samples),
            _ => self.insert_small(samples),
        }
    }

    /// Asks for the memory that inserting will read first, once the sketch itself is near.
    #[inline]
    pub fn prefetch(&self) {
        self.0.prefetch();
    }

    /// Asks for the counts of samples, once what [`Quantile::prefetch`] asked for is near.
    #[inline]
    pub fn prefetch_bins(&self, samples: &[Sample]) {
        if let Storage::Dense { body: dense, .. } = &self.0 {
            samples.iter().for_each(|sample| dense.positive.prefetch(sample.bin().index()));
        }
    }

    /// As [`Quantile::insert_all`], while bins are not dense.
    #[inline(never)]
    fn insert_small(&mut self, mut samples: &[Sample]) -> isize {
        let mut growth = 0;
        loop {
            let taken = match self.0.view_mut() {
                ViewMut::Dense(dense) => return growth + dense.insert_all(samples),
                ViewMut::Few { len, values, bins } => {
                    let used = usize::from(*len);
                    let places = values[used..].iter_mut().zip(&mut bins[used..]);
                    for ((value, bin), sample) in places.zip(samples) {
                        (*value, *bin) = (sample.value(), sample.bin().to_i32());
                    }
                    let taken = samples.len().min(values.len() - used);
                    *len += taken as u16;
                    taken
                }
                ViewMut::Sparse { kept, len, head, bins, counts } => {
                    let (mut run, mut taken) = (Run::EMPTY, 0);
                    for sample in samples {
                        let is_counted = !has_fraction(sample.value())
                            && count_bin(kept, len, bins, counts, sample.bin());
                        if !is_counted {
                            break;
                        }
                        run.insert(sample.value());
                        taken += 1;
                    }
                    head.insert_run(&run);
                    taken
                }
            };
            let [sample, more @ ..] = &samples[taken..] else { return growth };
            growth += self.growth(|q| q.insert_beyond(*sample, more.len().min(MOST_AHEAD)));
            samples = more;
        }
    }

    /// Counts a value for which there is no room, and makes some for so many more.
    fn insert_beyond(&mut self, sample: Sample, more: usize) {
        if let View::Few { values, .. } = self.0.view() {
            match values.len() + 1 {
                wanted if wanted <= MOST_FEW => return self.lengthen(sample, more),
                wanted => self.make_binned(wanted + more),
            }
        }
        if has_fraction(sample.value()) {
            self.make_dense();
        }
        match self.0.view_mut() {
            ViewMut::Few { .. } => unreachable!("bins were made"),
            ViewMut::Dense(dense) => _ = dense.insert_all(&[sample]),
            ViewMut::Sparse { head, .. } => {
                let mut run = Run::EMPTY;
                run.insert(sample.value());
                head.insert_run(&run);
                self.add(sample.bin(), 1);
            }
        }
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
                    self.insert(few(value, bin));
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
                    head.insert(value);
                }
                head
            }
            View::Sparse { head, .. } => head.full(),
            View::Dense(dense) => dense.head.clone(),
        }
    }

    /// Moves values that are kept as they are to a longer box, and adds one; there is room for
    /// `more` as well, if so many can be kept.
    fn lengthen(&mut self, sample: Sample, more: usize) {
        let View::Few { values, bins } = self.0.view() else {
            unreachable!("values are kept as they are")
        };
        let used = values.len();
        let mut longer = Storage::few_for(self.0.kept(), (used + 1 + more).min(MOST_FEW));
        if let ViewMut::Few { len, values: new_values, bins: new_bins } = longer.view_mut() {
            new_values[..used].copy_from_slice(values);
            new_bins[..used].copy_from_slice(bins);
            (new_values[used], new_bins[used]) = (sample.value(), sample.bin().to_i32());
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

    /// From values as they are to bins, with room for so many.
    fn make_binned(&mut self, bins: usize) {
        let room = |head| Storage::sparse_for(self.0.kept(), head, bins, || usize::MAX / 4);
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

/// One of a few values, as it was kept.
fn few(value: f64, bin: i32) -> Sample {
    let sample = Bin::from_i32(bin).and_then(|bin| Sample::with_bin(value, bin));
    sample.expect("a few values are kept as they came")
}

/// Counts a value in its bin, if the bin is there and its count is not full, or has room.
#[inline]
fn count_bin(kept: Kept, len: &mut u16, bins: &mut [i32], counts: &mut [u16], bin: Bin) -> bool {
    let (at, used) = (position(bins, *len, bin), usize::from(*len));
    if at < used && bins[at] == bin.to_i32() {
        let count = counts[at].checked_add(1);
        counts[at] = count.unwrap_or(counts[at]);
        return count.is_some();
    }
    let has_room = used < bins.len() && !folds(&bins[..used], bin, kept);
    if has_room {
        open_place(bins, counts, at, used);
        (bins[at], counts[at]) = (bin.to_i32(), 1);
        *len += 1;
    }
    has_room
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
