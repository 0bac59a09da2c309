//! Where a unique count keeps its content: 16 bytes that are either up to three coupons,
//! a box of coupons, or a box of registers. The boxes hold arrays whose length is part
//! of their type, so that the pointer is thin and the whole stays 16 bytes without
//! unsafe code; one variant per length, all with their box at the same offset, which the
//! compiler turns into one load and a table of lengths.

use super::coupon::Shape;

/// Up to this length a box of coupons is a list in order of arrival, beyond a hash set.
pub(super) const LIST: usize = 64;

/// How the content looks from outside.
pub(super) enum View<'a> {
    /// Coupons, zero where a place is free; a list fills from the front.
    Coupons { shape: Shape, len: u32, places: &'a [u32] },
    /// 2^log2m registers.
    Registers { shape: Shape, registers: &'a [u8] },
}

/// The same, to be changed.
pub(super) enum ViewMut<'a> {
    Coupons { shape: Shape, len: &'a mut u32, places: &'a mut [u32] },
    Registers { shape: Shape, registers: &'a mut [u8] },
}

macro_rules! storage {
    ($($places:literal $set:ident)* ; $($log2m:literal $dense:ident)*) => {
        /// The content; see the head of this file.
        #[derive(Clone)]
        pub(super) enum Storage {
            Inline { shape: Shape, len: u8, places: [u32; 3] },
            $($set { shape: Shape, len: u32, places: Box<[u32; $places]> },)*
            $($dense { shape: Shape, registers: Box<[u8; 1 << $log2m]> },)*
        }

        /// The lengths that a box of coupons can have.
        const LENGTHS: &[usize] = &[$($places),*];

        impl Storage {
            /// Free places for coupons, `length` of them, one of [`LENGTHS`].
            fn coupons(shape: Shape, length: usize) -> Self {
                match length {
                    $($places => Self::$set { shape, len: 0, places: boxed() },)*
                    _ => unreachable!("{length} places is not one of the lengths"),
                }
            }

            /// 2^log2m registers of zero.
            pub(super) fn registers(shape: Shape) -> Self {
                match shape.log2m() {
                    $($log2m => Self::$dense { shape, registers: boxed() },)*
                    log2m => unreachable!("log2m {log2m} is not one of 4 to 18"),
                }
            }

            /// What a box of it holds, if it is not inline.
            #[inline]
            fn boxed_view(&self) -> Option<View<'_>> {
                Some(match self {
                    Self::Inline { .. } => return None,
                    $(Self::$set { shape, len, places } => {
                        View::Coupons { shape: *shape, len: *len, places: &places[..] }
                    })*
                    $(Self::$dense { shape, registers } => {
                        View::Registers { shape: *shape, registers: &registers[..] }
                    })*
                })
            }

            /// The same, to be changed.
            #[inline]
            pub(super) fn boxed_view_mut(&mut self) -> Option<ViewMut<'_>> {
                Some(match self {
                    Self::Inline { .. } => return None,
                    $(Self::$set { shape, len, places } => {
                        ViewMut::Coupons { shape: *shape, len, places: &mut places[..] }
                    })*
                    $(Self::$dense { shape, registers } => {
                        ViewMut::Registers { shape: *shape, registers: &mut registers[..] }
                    })*
                })
            }
        }
    };
}

storage! {
    8 Set8 16 Set16 24 Set24 32 Set32 48 Set48 64 Set64 96 Set96 128 Set128 192 Set192
    256 Set256 384 Set384 512 Set512 768 Set768 1024 Set1024 1536 Set1536 2048 Set2048
    3072 Set3072 4096 Set4096 6144 Set6144 8192 Set8192 12288 Set12288 16384 Set16384
    24576 Set24576 32768 Set32768 49152 Set49152 65536 Set65536 ;
    4 Dense4 5 Dense5 6 Dense6 7 Dense7 8 Dense8 9 Dense9 10 Dense10 11 Dense11
    12 Dense12 13 Dense13 14 Dense14 15 Dense15 16 Dense16 17 Dense17 18 Dense18
}

impl Storage {
    /// Nothing yet.
    pub(super) const fn empty(shape: Shape) -> Self {
        Self::Inline { shape, len: 0, places: [0; 3] }
    }

    /// The shortest box that takes `count` coupons and has room for one more.
    pub(super) fn with_room(shape: Shape, count: usize) -> Self {
        let length = LENGTHS.iter().find(|&&length| room(length) > count);
        Self::coupons(shape, *length.expect("a count beyond the limit has become registers"))
    }

    /// What it holds.
    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        match self {
            Self::Inline { shape, len, places } => {
                View::Coupons { shape: *shape, len: u32::from(*len), places: &places[..] }
            }
            _ => self.boxed_view().expect("what is not inline is boxed"),
        }
    }
}

/// How many coupons a box of `length` places takes: a list all, a hash set seven eighths.
#[inline]
pub(super) fn room(length: usize) -> usize {
    if length <= LIST { length } else { length - length / 8 }
}

/// A boxed array of zeros that never lies on the stack.
fn boxed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    match vec![T::default(); N].into_boxed_slice().try_into() {
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
        for &length in LENGTHS {
            assert_eq!(length % if length <= LIST { 8 } else { 16 }, 0, "{length}");
        }
        // The most coupons that any log2m keeps, and one more.
        assert!(room(LENGTHS[LENGTHS.len() - 1]) > 49152);
    }
}
