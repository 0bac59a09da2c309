//! Bins in ascending order: where one belongs, and whether they may stay sparse.

use super::{Bin, Kept};

/// The first of `len` ascending bins that is not below `bin`.
#[inline]
pub(super) fn position(bins: &[i32], len: u16, bin: Bin) -> usize {
    const SHORT: usize = 64;
    if bins.len() <= SHORT {
        // Comparing all of a short list takes no branch; free places are higher than any.
        bins.iter().map(|&place| u32::from(place < bin.to_i32())).sum::<u32>() as usize
    } else {
        bins[..usize::from(len)].partition_point(|&place| place < bin.to_i32())
    }
}

/// Moves the bins from `at` up to `used` by one place.
#[inline]
pub(super) fn open_place(bins: &mut [i32], counts: &mut [u16], at: usize, used: usize) {
    bins.copy_within(at..used, at + 1);
    counts.copy_within(at..used, at + 1);
}

/// Whether `bin` and one of the ascending `bins` of its sign are too far apart.
pub(super) fn folds(bins: &[i32], bin: Bin, kept: Kept) -> bool {
    let (Some(&first), Some(&last)) = (bins.first(), bins.last()) else { return false };
    let (low, high) = (first.min(bin.to_i32()), last.max(bin.to_i32()));
    if i64::from(high) - i64::from(low) < i64::from(kept.bins()) || bin == Bin::ZERO {
        return false;
    }
    let (end, start) = match bin.sign() {
        1 => (high, bins.get(bins.partition_point(|&place| place <= 0))),
        _ => (-low, bins[..bins.partition_point(|&place| place < 0)].last()),
    };
    start.is_some_and(|&start| end - start.abs().min(bin.to_i32().abs()) >= kept.bins())
}

/// How many dense bins would hold the ascending `bins` and `bin`.
pub(super) fn span(bins: &[i32], bin: Bin) -> usize {
    let of_sign = |sign: i32| {
        let indexes = bins.iter().copied().chain([bin.to_i32()]);
        let mut indexes = indexes.filter(|index| index.signum() == sign);
        let first = indexes.next();
        let ends = first.map(|first| {
            indexes.fold((first, first), |(low, high), index| (low.min(index), high.max(index)))
        });
        ends.map_or(0, |(low, high)| (high - low) as usize + 1)
    };
    of_sign(-1) + of_sign(1)
}
