//! Where a unique count keeps its content: 16 bytes that are either up to three coupons, or
//! a box of words, which are more coupons or four registers each. The box holds an array
//! whose length is part of its type, so that its pointer is thin and the whole stays 16
//! bytes without unsafe code. There is one variant per length, and all have the same
//! fields at the same places: the compiler makes of them one load and a table of lengths
//! (not of an enum that has the coupons inline as well, hence two).

use super::coupon::{Coupon, Shape};
use crate::prefetch::{prefetch, prefetch_all};

/// A coupon, least significant byte first, or four registers.
pub(super) type Word = [u8; 4];

/// A place for a coupon that has none.
pub(super) const FREE: Word = [0; 4];

/// Up to this length a box of coupons is a list in order of arrival, beyond a hash set.
const LIST: usize = 64;

/// How the content looks from outside.
pub(super) enum View<'a> {
    /// Coupons, [`FREE`] where a place has none; a list fills from the front.
    Coupons { len: u32, places: &'a [Word] },
    /// 2^log2m registers.
    Registers(&'a [u8]),
}

/// What a box holds, to be changed. Of registers, `len` has no meaning.
pub(super) struct Boxed<'a> {
    pub(super) shape: Shape,
    pub(super) len: &'a mut u32,
    pub(super) words: &'a mut [Word],
}

/// The content; see the head of this file.
#[derive(Clone)]
pub(super) enum Storage {
    Inline { shape: Shape, len: u8, places: [Word; 3] },
    Boxed(Boxes),
}

macro_rules! boxes {
    ($($length:literal $Box:ident)*) => {
        /// Boxes of all lengths.
        #[derive(Clone)]
        pub(super) enum Boxes {
            $($Box { shape: Shape, len: u32, words: Box<[Word; $length]> },)*
        }

        /// The lengths that a box can have.
        const LENGTHS: &[usize] = &[$($length),*];

        impl Boxes {
            /// `length` words of zeros, one of [`LENGTHS`].
            fn new(shape: Shape, length: usize) -> Self {
                match length {
                    $($length => Self::$Box { shape, len: 0, words: zeros() },)*
                    _ => unreachable!("{length} words is not one of the lengths"),
                }
            }

            /// The family, log2m, and whether there are registers.
            #[inline]
            fn shape(&self) -> Shape {
                match self {
                    $(Self::$Box { shape, .. } => *shape,)*
                }
            }

            /// How many coupons there are.
            #[inline]
            fn len(&self) -> u32 {
                match self {
                    $(Self::$Box { len, .. } => *len,)*
                }
            }

            /// The words.
            #[inline]
            fn words(&self) -> &[Word] {
                match self {
                    $(Self::$Box { words, .. } => &words[..],)*
                }
            }

            /// All of it, to be changed.
            #[inline]
            fn parts(&mut self) -> (&mut u32, &mut [Word]) {
                match self {
                    $(Self::$Box { len, words, .. } => (len, &mut words[..]),)*
                }
            }
        }
    };
}

boxes! {
    4 Box4 8 Box8 16 Box16 24 Box24 32 Box32 48 Box48 64 Box64 96 Box96 128 Box128
    192 Box192 256 Box256 384 Box384 512 Box512 768 Box768 1024 Box1024 1536 Box1536
    2048 Box2048 3072 Box3072 4096 Box4096 6144 Box6144 8192 Box8192 12288 Box12288
    16384 Box16384 24576 Box24576 32768 Box32768 49152 Box49152 65536 Box65536
}

impl Storage {
    /// Nothing yet.
    pub(super) const fn empty(shape: Shape) -> Self {
        Self::Inline { shape, len: 0, places: [FREE; 3] }
    }

    /// The shortest box that takes `count` coupons and has room for one more.
    pub(super) fn with_room(shape: Shape, count: usize) -> Self {
        let length = LENGTHS[1..].iter().find(|&&length| room(length) > count);
        let &length = length.expect("a count beyond the limit has become registers");
        Self::Boxed(Boxes::new(shape.hashed(length > LIST), length))
    }

    /// 2^log2m registers of zero.
    pub(super) fn registers(shape: Shape) -> Self {
        Self::Boxed(Boxes::new(shape.dense(), (1 << shape.log2m()) / size_of::<Word>()))
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Boxed(boxed) => size_of_val(boxed.words()),
        }
    }

    /// The family, log2m, and whether there are registers.
    #[inline]
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Inline { shape, .. } => *shape,
            Self::Boxed(boxed) => boxed.shape(),
        }
    }

    /// Inline, a list, a hash set or registers, as 0 to 3.
    #[inline]
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Boxed(boxed) => boxed.shape().kind(),
        }
    }

    /// Asks for what insertions would read first.
    #[inline]
    pub(super) fn prefetch_all(&self, coupons: &[Coupon]) {
        let Self::Boxed(boxed) = self else { return };
        let (shape, words) = (boxed.shape(), boxed.words());
        match shape.kind() {
            1 => prefetch_all(words),
            2 => coupons.iter().for_each(|coupon| {
                // A group need not begin where a line does.
                let group = super::set::home(coupon.to_bits(), words.len() / 16) * 16;
                prefetch(&words[group]);
                prefetch(&words[group + 15]);
            }),
            _ => coupons.iter().for_each(|coupon| {
                prefetch(&words[shape.register(coupon.to_bits()).0 / size_of::<Word>()]);
            }),
        }
    }

    /// What it holds.
    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        match self {
            Self::Inline { len, places, .. } => {
                View::Coupons { len: u32::from(*len), places: &places[..] }
            }
            Self::Boxed(boxed) if boxed.shape().is_dense() => {
                View::Registers(boxed.words().as_flattened())
            }
            Self::Boxed(boxed) => View::Coupons { len: boxed.len(), places: boxed.words() },
        }
    }

    /// What its box holds, if it is not inline.
    #[inline]
    pub(super) fn boxed_mut(&mut self) -> Option<Boxed<'_>> {
        match self {
            Self::Inline { .. } => None,
            Self::Boxed(boxed) => {
                let shape = boxed.shape();
                let (len, words) = boxed.parts();
                Some(Boxed { shape, len, words })
            }
        }
    }
}

/// How many coupons a box of `length` places takes: a list all, a hash set less.
fn room(length: usize) -> usize {
    if length <= LIST { length } else { room_of_set(length) }
}

/// A hash set takes seven eighths.
#[inline]
pub(super) fn room_of_set(length: usize) -> usize {
    length - length / 8
}

/// A boxed array of zeros that never lies on the stack.
fn zeros<const N: usize>() -> Box<[Word; N]> {
    match vec![FREE; N].into_boxed_slice().try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("a vector of N elements is an array of N"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes() {
        assert_eq!(size_of::<Storage>(), 16);
    }

    #[test]
    fn lengths_are_what_the_hash_set_needs() {
        assert!(LENGTHS.is_sorted());
        for &length in &LENGTHS[1..] {
            assert_eq!(length % if length <= LIST { 8 } else { 16 }, 0, "{length}");
        }
        // The most coupons that any log2m keeps, and one more.
        assert!(room(LENGTHS[LENGTHS.len() - 1]) > 49152);
    }
}
