//! Where a distribution keeps its content, in 16 bytes: up to eight values as they are
//! (one of them inline), a box of bins with counts in ascending order, or dense bins.
//! As with unique counts, boxes hold arrays whose length is part of their type, so that
//! their pointer is thin.

use super::head::{Head, PlainHead, Run};
use super::side::Side;
use super::{Kept, Sample};
use crate::prefetch::prefetch_all;
use crate::sum::has_fraction;

/// A few values as they are.
#[derive(Clone)]
pub(super) struct Few<const N: usize> {
    values: [f64; N],
    bins: [i32; N],
}

/// Bins in ascending order, [`FREE`] beyond the last.
#[derive(Clone)]
pub(super) struct Sparse<const N: usize> {
    head: PlainHead,
    bins: [i32; N],
    counts: [u16; N],
}

/// A place without a bin: higher than any.
pub(super) const FREE: i32 = i32::MAX;

/// All bins from the lowest to the highest; and fewer, where the sum has a fraction of a unit.
#[derive(Clone)]
pub(super) struct Dense {
    pub(super) head: Head,
    /// The count of zero's bin.
    pub(super) zero: u64,
    pub(super) positive: Side,
    /// Apart, since most distributions have no negative values.
    pub(super) negative: Option<Box<Side>>,
}

/// How the content looks from outside.
pub(super) enum View<'a> {
    Few { values: &'a [f64], bins: &'a [i32] },
    Sparse { head: &'a PlainHead, bins: &'a [i32], counts: &'a [u16] },
    Dense(&'a Dense),
}

/// The same, to be changed; slices reach over the free places.
pub(super) enum ViewMut<'a> {
    Few {
        len: &'a mut u16,
        values: &'a mut [f64],
        bins: &'a mut [i32],
    },
    Sparse {
        kept: Kept,
        len: &'a mut u16,
        head: &'a mut PlainHead,
        bins: &'a mut [i32],
        counts: &'a mut [u16],
    },
    Dense(&'a mut Dense),
}

macro_rules! storage {
    ($($few:literal $Few:ident)* ; $($sparse:literal $Sparse:ident)*) => {
        /// The content; see the head of this file.
        #[derive(Clone)]
        pub(super) enum Storage {
            Inline { kept: Kept, len: u16, bins: [i32; 1], values: [f64; 1] },
            $($Few { kept: Kept, len: u16, body: Box<Few<$few>> },)*
            $($Sparse { kept: Kept, len: u16, body: Box<Sparse<$sparse>> },)*
            Dense { kept: Kept, body: Box<Dense> },
        }

        /// The lengths of a box of values.
        const FEW: &[usize] = &[$($few),*];
        /// The lengths of a box of bins.
        const SPARSE: &[usize] = &[$($sparse),*];

        impl Storage {
            /// Room for `length` values, one of [`FEW`].
            fn few(kept: Kept, length: usize) -> Self {
                match length {
                    $($few => {
                        let body = Few { values: [0.0; $few], bins: [0; $few] };
                        Self::$Few { kept, len: 0, body: Box::new(body) }
                    })*
                    _ => unreachable!("{length} is not a length of a box of values"),
                }
            }

            /// Room for `length` bins, one of [`SPARSE`].
            fn sparse(kept: Kept, head: PlainHead, length: usize) -> Self {
                match length {
                    $($sparse => {
                        let body = Sparse { head, bins: [FREE; $sparse], counts: [0; $sparse] };
                        Self::$Sparse { kept, len: 0, body: Box::new(body) }
                    })*
                    _ => unreachable!("{length} is not a length of a box of bins"),
                }
            }

            /// What it holds, without the free places.
            #[inline]
            pub(super) fn view(&self) -> View<'_> {
                match self {
                    Self::Inline { len, bins, values, .. } => {
                        let len = usize::from(*len);
                        View::Few { values: &values[..len], bins: &bins[..len] }
                    }
                    $(Self::$Few { len, body, .. } => {
                        let len = usize::from(*len);
                        View::Few { values: &body.values[..len], bins: &body.bins[..len] }
                    })*
                    $(Self::$Sparse { len, body, .. } => {
                        let len = usize::from(*len);
                        let (bins, counts) = (&body.bins[..len], &body.counts[..len]);
                        View::Sparse { head: &body.head, bins, counts }
                    })*
                    Self::Dense { body, .. } => View::Dense(body),
                }
            }

            /// What it holds, to be changed, with the free places.
            #[inline]
            pub(super) fn view_mut(&mut self) -> ViewMut<'_> {
                match self {
                    Self::Inline { len, bins, values, .. } => {
                        ViewMut::Few { len, values: &mut values[..], bins: &mut bins[..] }
                    }
                    $(Self::$Few { len, body, .. } => {
                        let Few { values, bins } = &mut **body;
                        ViewMut::Few { len, values: &mut values[..], bins: &mut bins[..] }
                    })*
                    $(Self::$Sparse { kept, len, body } => {
                        let Sparse { head, bins, counts } = &mut **body;
                        let (kept, bins, counts) = (*kept, &mut bins[..], &mut counts[..]);
                        ViewMut::Sparse { kept, len, head, bins, counts }
                    })*
                    Self::Dense { body, .. } => ViewMut::Dense(body),
                }
            }

            /// Asks for what inserting would read first.
            #[inline]
            pub(super) fn prefetch(&self) {
                match self {
                    Self::Inline { .. } => {}
                    $(Self::$Few { body, .. } => prefetch_all(&**body),)*
                    $(Self::$Sparse { body, .. } => prefetch_all(&**body),)*
                    Self::Dense { body, .. } => prefetch_all(&**body),
                }
            }

            /// How many bins of each sign are kept apart.
            #[inline]
            pub(super) fn kept(&self) -> Kept {
                match self {
                    Self::Inline { kept, .. } => *kept,
                    $(Self::$Few { kept, .. } => *kept,)*
                    $(Self::$Sparse { kept, .. } => *kept,)*
                    Self::Dense { kept, .. } => *kept,
                }
            }

            /// Keeps `more` bins apart from now on.
            pub(super) fn widen(&mut self, more: Kept) {
                let kept = match self {
                    Self::Inline { kept, .. } => kept,
                    $(Self::$Few { kept, .. } => kept,)*
                    $(Self::$Sparse { kept, .. } => kept,)*
                    Self::Dense { kept, body } => {
                        body.positive.widen(more);
                        body.negative.iter_mut().for_each(|side| side.widen(more));
                        kept
                    }
                };
                *kept = more.max(*kept);
            }

            /// Bytes on the heap.
            pub(super) fn heap_bytes(&self) -> usize {
                match self {
                    Self::Inline { .. } => 0,
                    $(Self::$Few { body, .. } => size_of_val(&**body),)*
                    $(Self::$Sparse { body, .. } => size_of_val(&**body),)*
                    Self::Dense { body, .. } => {
                        size_of::<Dense>() + body.head.sum.heap_bytes() + body.sides_heap_bytes()
                    }
                }
            }
        }
    };
}

storage! {
    2 Few2 4 Few4 8 Few8 ;
    8 Sparse8 16 Sparse16 32 Sparse32 64 Sparse64 96 Sparse96 128 Sparse128 192 Sparse192
    256 Sparse256 384 Sparse384 512 Sparse512
}

/// The most values that are kept as they are.
pub(super) const MOST_FEW: usize = FEW[FEW.len() - 1];

impl Storage {
    /// Nothing yet.
    pub(super) const fn empty(kept: Kept) -> Self {
        Self::Inline { kept, len: 0, bins: [0], values: [0.0] }
    }

    /// Room for at least `count` values, at most [`MOST_FEW`].
    pub(super) fn few_for(kept: Kept, count: usize) -> Self {
        let length = FEW.iter().find(|&&length| length >= count);
        Self::few(kept, *length.expect("more values are kept as bins"))
    }

    /// Room for at least `count` bins, unless dense bins over `span` would be shorter.
    pub(super) fn sparse_for(
        kept: Kept,
        head: PlainHead,
        count: usize,
        span: impl FnOnce() -> usize,
    ) -> Option<Self> {
        /// What dense bins add to two bytes a bin, beyond what a box of bins adds to six.
        const DENSE: usize = size_of::<Dense>() - size_of::<PlainHead>();
        let length = *SPARSE.iter().find(|&&length| length >= count)?;
        // Six bytes a bin here. The span takes longer to know than all else.
        let short = 6 * length < DENSE || 6 * length < 2 * span() + DENSE;
        short.then(|| Self::sparse(kept, head, length))
    }

    /// Dense bins, none yet.
    pub(super) fn dense(kept: Kept, head: Head) -> Self {
        let body = Dense { head, zero: 0, positive: Side::new(kept), negative: None };
        Self::Dense { kept, body: Box::new(body) }
    }
}

impl Dense {
    /// Whether it could be kept as bins with short counts.
    pub(super) fn fits_sparse(&self) -> bool {
        self.zero <= u64::from(u16::MAX) && self.sides().all(Side::fits_sparse)
    }

    /// The sides that have values, in ascending order.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Side> {
        self.negative.iter().map(|side| &**side).chain([&self.positive])
    }

    /// The side of negative or of positive values.
    pub(super) fn side_mut(&mut self, negative: bool) -> &mut Side {
        match negative {
            true => self.negative.get_or_insert_with(|| Box::new(self.positive.empty())),
            false => &mut self.positive,
        }
    }

    fn sides_heap_bytes(&self) -> usize {
        let negative = self.negative.as_ref().map_or(0, |_| size_of::<Side>());
        negative + self.sides().map(Side::heap_bytes).sum::<usize>()
    }

    /// Counts values; gives by how many bytes the heap memory grew.
    #[inline]
    pub(super) fn insert_all(&mut self, samples: &[Sample]) -> isize {
        let (mut run, mut growth) = (Run::EMPTY, 0);
        for sample in samples {
            if has_fraction(sample.value()) {
                growth += self.insert_fraction(sample.value());
            } else {
                run.insert(sample.value());
            }
            growth += self.insert(sample.bin());
        }
        self.head.insert_run(&run);
        growth
    }

    /// Adds a value that has a fraction of a unit to the head.
    #[cold]
    #[inline(never)]
    fn insert_fraction(&mut self, value: f64) -> isize {
        let before = self.head.sum.heap_bytes();
        self.head.insert(value);
        self.head.sum.heap_bytes().wrapping_sub(before) as isize
    }

    /// Counts one value; the head is for the caller to change. Gives by how many bytes the heap
    /// memory grew.
    #[inline]
    fn insert(&mut self, bin: super::Bin) -> isize {
        if bin.sign() > 0 {
            return self.positive.insert(bin.index());
        }
        self.insert_rare(bin)
    }

    /// See [`Dense::insert`].
    #[inline(never)]
    fn insert_rare(&mut self, bin: super::Bin) -> isize {
        if bin.sign() == 0 {
            self.zero += 1;
            return 0;
        }
        if let Some(side) = &mut self.negative {
            return side.insert(bin.index());
        }
        let before = self.sides_heap_bytes();
        self.add(bin, 1);
        self.sides_heap_bytes().wrapping_sub(before) as isize
    }

    /// Counts `count` values in a bin; the head is for the caller to change.
    #[inline]
    pub(super) fn add(&mut self, bin: super::Bin, count: u64) {
        match bin.sign() {
            0 => self.zero += count,
            sign => self.side_mut(sign < 0).add(bin.index(), count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes() {
        assert_eq!(size_of::<Storage>(), 16);
        assert_eq!(size_of::<Few<2>>(), 24);
        assert_eq!(size_of::<Dense>(), 120);
    }
}
