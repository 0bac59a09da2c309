//! A value on its way into distributions: what is the same for all of them is found once.

use super::{Bin, Mapping};
use crate::sum::is_possible;

/// A value, and the bin that a [`Mapping`] finds for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    bin: Bin,
    value: f64,
}

impl Sample {
    /// The sample of a value.
    ///
    /// `None` for NaN, the infinities and magnitudes of [`crate::sum::LIMIT`] and above.
    #[inline]
    pub fn new(value: f64, mapping: &Mapping) -> Option<Self> {
        Self::with_bin(value, mapping.bin(value))
    }

    /// The sample of a value whose bin is known; `None` where it cannot be.
    #[inline]
    pub(super) fn with_bin(value: f64, bin: Bin) -> Option<Self> {
        let value = value + 0.0; // −0 is 0.
        let sign = i32::from(value > 0.0) - i32::from(value < 0.0);
        let fits = is_possible(value) && (bin == Bin::ZERO || bin.sign() == sign);
        fits.then_some(Self { bin, value })
    }

    /// The bin.
    #[inline]
    pub fn bin(self) -> Bin {
        self.bin
    }

    /// The value, never −0.
    #[inline]
    pub fn value(self) -> f64 {
        self.value
    }

    /// As words: the bin, which is never `u32::MAX`, then the value, lower half first.
    #[inline]
    pub fn to_words(self) -> [u32; 3] {
        let bits = self.value.to_bits();
        [self.bin.to_i32() as u32, bits as u32, (bits >> 32) as u32]
    }

    /// The inverse of [`Sample::to_words`]; of other words, a sample that never was.
    #[inline]
    pub fn from_words([bin, low, high]: [u32; 3]) -> Self {
        let value = f64::from_bits(u64::from(low) | u64::from(high) << 32);
        Self { bin: Bin::of_word(bin), value }
    }
}
