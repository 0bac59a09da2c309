//! From a value to its bin and back: bins whose bounds grow by a constant factor, so that
//! a bin's representative is within a relative error of every value in it. A bin is found
//! by an approximate logarithm and then settled by comparing with exact bounds, so that it
//! is the same on every machine, whatever its logarithm does.
//!
//! Source: Charles Masson, Jee E. Rim, Homin K. Lee, "DDSketch: a fast and fully-mergeable
//! quantile sketch with relative-error guarantees" (2019), with the bins of DataDog's
//! logarithmic mapping: bin i holds the magnitudes in [γⁱ, γⁱ⁺¹).

use std::fmt;
use std::sync::Arc;

use super::powers;

/// The least and greatest relative error; less would make bounds by the million for a
/// span of values too short to be of use.
pub const RELATIVE_ERROR: std::ops::RangeInclusive<f64> = 0.001..=0.5;

/// The least magnitude that is told from zero: the least normal `f64`.
pub const LEAST: f64 = f64::MIN_POSITIVE;

/// Bits of the mantissa that look up the logarithm.
const TABLE_BITS: u32 = 8;

/// Where a value falls. The integer order of bins is the order of values: negative
/// values, zero, positive values.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bin(i32);

impl Bin {
    /// The bin of zero, and of what is too small to be told from it.
    pub const ZERO: Self = Self(0);
    /// What is added to the index of a positive value's bin. The least relative error has
    /// indexes from −354,200 to 354,900.
    const OFFSET: i32 = 1 << 20;
    /// No index has this magnitude or a greater one.
    pub(super) const INDEX_LIMIT: i32 = 1 << 19;

    /// The bin of magnitudes [γ^`index`, γ^(`index` + 1)) of one sign.
    #[inline]
    pub(super) fn new(negative: bool, index: i32) -> Self {
        let magnitude = Self::OFFSET + index;
        Self(if negative { -magnitude } else { magnitude })
    }

    /// The number that orders bins.
    #[inline]
    pub fn to_i32(self) -> i32 {
        self.0
    }

    /// The bin of such a number, if there can be one.
    #[inline]
    pub fn from_i32(number: i32) -> Option<Self> {
        let index = i64::from(number).abs() - i64::from(Self::OFFSET);
        let known = number == 0 || index.abs() < i64::from(Self::INDEX_LIMIT);
        known.then_some(Self(number))
    }

    /// −1, 0 or 1.
    #[inline]
    pub(super) fn sign(self) -> i32 {
        self.0.signum()
    }

    /// The index among the bins of its sign; meaningless for zero.
    #[inline]
    pub(super) fn index(self) -> i32 {
        self.0.abs() - Self::OFFSET
    }
}

/// The bins of one relative error. A clone shares the bounds.
#[derive(Clone)]
pub struct Mapping {
    relative_error: f64,
    gamma: f64,
    /// Bins per doubling.
    per_octave: f64,
    /// The index of the bin whose lower bound stands first in `bounds`.
    first: i32,
    /// The least `f64` that is not below γⁱ, for each index in turn; at last infinity.
    bounds: Arc<[f64]>,
    /// log2 of 1 + k / 2⁸, and what to add for each 2⁻³² of the way to the next.
    logarithms: Arc<[(f64, f64); 1 << TABLE_BITS]>,
}

impl Mapping {
    /// Bins whose representative is within `relative_error` of every value in them. Takes
    /// about a millisecond: make one and clone it.
    ///
    /// `None` where the error is not one of [`RELATIVE_ERROR`].
    pub fn new(relative_error: f64) -> Option<Self> {
        if !RELATIVE_ERROR.contains(&relative_error) {
            return None;
        }
        let gamma = (1.0 + relative_error) / (1.0 - relative_error);
        let (first, mut bounds) = powers::bounds(gamma, LEAST);
        bounds.push(f64::INFINITY);
        let logarithms = std::array::from_fn(|k| {
            let at = |k: usize| (1.0 + k as f64 / f64::from(1 << TABLE_BITS)).log2();
            (at(k), (at(k + 1) - at(k)) / (1u64 << 32) as f64)
        });
        Some(Self {
            relative_error,
            gamma,
            per_octave: 1.0 / gamma.log2(),
            first,
            bounds: bounds.into(),
            logarithms: Arc::new(logarithms),
        })
    }

    /// As it was given to [`Mapping::new`].
    pub fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// γ, the ratio of a bin's bounds.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// The bin of `value`, which must be finite. Magnitudes below [`LEAST`] are zero.
    #[inline]
    pub fn bin(&self, value: f64) -> Bin {
        let magnitude = value.abs();
        if magnitude < LEAST {
            return Bin::ZERO;
        }
        let position = self.position(magnitude);
        Bin::new(value < 0.0, self.first + position as i32)
    }

    /// The representative of `bin`: within the relative error of every value in it.
    pub fn value(&self, bin: Bin) -> f64 {
        if bin == Bin::ZERO {
            return 0.0;
        }
        let position = (bin.index() - self.first).clamp(0, self.bounds.len() as i32 - 2);
        // The bound is at most the greatest f64, but what it is multiplied by exceeds 1.
        let ratio = 2.0 * self.gamma / (1.0 + self.gamma);
        let magnitude = (self.bounds[position as usize] * ratio).min(f64::MAX);
        if bin.sign() < 0 { -magnitude } else { magnitude }
    }

    /// The bin's place in `bounds`: of the last bound that is not above `magnitude`.
    #[inline]
    fn position(&self, magnitude: f64) -> usize {
        let bits = magnitude.to_bits();
        let exponent = (bits >> 52) as i32 - 1023;
        let entry = (bits >> (52 - TABLE_BITS)) as usize & ((1 << TABLE_BITS) - 1);
        let (start, slope) = self.logarithms[entry];
        // 32 bits are enough, and cutting them out needs no mask.
        let beyond = (bits >> (52 - TABLE_BITS - 32)) as u32;
        let log2 = f64::from(exponent) + (start + slope * f64::from(beyond));
        // The logarithm is at most 3e-6 off, which is a hundredth of the narrowest bin:
        // the guess is the bin or a neighbour. Adding 1.5 · 2⁵² leaves the nearest integer
        // in the low bits, which is cheaper than a conversion that minds all values.
        let nearest = (log2 * self.per_octave - 0.5) + 6_755_399_441_055_744.0;
        let guess = (nearest.to_bits() as u32 as i32).wrapping_sub(self.first) as usize;
        match self.bounds.get(guess..).and_then(|bounds| bounds.first_chunk()) {
            Some(&[low, high]) if low <= magnitude && magnitude < high => guess,
            _ => self.search(magnitude),
        }
    }

    /// As [`Mapping::position`], without a guess.
    #[cold]
    fn search(&self, magnitude: f64) -> usize {
        self.bounds.partition_point(|&bound| bound <= magnitude).max(1) - 1
    }

    /// The index of the first bin and the lower bounds of it and all that follow.
    #[cfg(test)]
    fn bounds(&self) -> (i32, &[f64]) {
        (self.first, &self.bounds[..self.bounds.len() - 1])
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("relative_error", &self.relative_error).finish()
    }
}

impl PartialEq for Mapping {
    /// Equal relative errors: everything else follows from it.
    fn eq(&self, other: &Self) -> bool {
        self.gamma == other.gamma
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_errors_out_of_range() {
        for error in [0.0, 0.0009, 0.51, 1.0, -0.01, f64::NAN, f64::INFINITY] {
            assert!(Mapping::new(error).is_none(), "{error}");
        }
    }

    /// At every bound, the value itself and its two neighbours.
    #[test]
    fn every_bound_and_its_neighbours() {
        for error in [0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 1.0 / 3.0, 0.5] {
            let mapping = Mapping::new(error).unwrap();
            let (first, bounds) = mapping.bounds();
            assert!(bounds.is_sorted_by(|a, b| a < b));
            for (position, &bound) in bounds.iter().enumerate() {
                let index = first + position as i32;
                for (value, expected) in
                    [(bound.next_down(), index - 1), (bound, index), (bound.next_up(), index)]
                {
                    if value >= LEAST && value.is_finite() {
                        assert_eq!(mapping.bin(value), Bin::new(false, expected), "{value:e}");
                        assert_eq!(mapping.bin(-value), Bin::new(true, expected), "{value:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn ends_of_the_range() {
        let mapping = Mapping::new(0.01).unwrap();
        for value in [0.0, -0.0, f64::from_bits(1), -LEAST.next_down()] {
            assert_eq!(mapping.bin(value), Bin::ZERO);
        }
        for value in [LEAST, f64::MAX, 1.0] {
            let back = mapping.value(mapping.bin(value));
            assert!((back - value).abs() <= value * 0.01 * (1.0 + 1e-12), "{value:e} {back:e}");
            assert_eq!(mapping.value(mapping.bin(-value)), -back);
        }
        assert_eq!(mapping.bin(1.0), Bin::new(false, 0));
        assert_eq!(mapping.bin(mapping.gamma()), Bin::new(false, 1));
        assert_eq!(mapping.bin(mapping.gamma().next_down()), Bin::new(false, 0));
        assert_eq!(Bin::from_i32(i32::MIN), None);
        assert_eq!(Bin::from_i32(5), None);
    }

    proptest! {
        #[test]
        fn representatives_are_near(bits: u64, error in 0.001..0.5f64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite() && value.abs() >= LEAST);
            let mapping = Mapping::new(error).unwrap();
            let bin = mapping.bin(value);
            let back = mapping.value(bin);
            prop_assert!(((back - value) / value).abs() <= error * (1.0 + 1e-12));
            prop_assert_eq!(Bin::from_i32(bin.to_i32()), Some(bin));
        }

        #[test]
        fn order_is_kept(a: f64, b: f64) {
            prop_assume!(a.is_finite() && b.is_finite() && a <= b);
            let mapping = Mapping::new(0.01).unwrap();
            prop_assert!(mapping.bin(a) <= mapping.bin(b));
        }
    }
}
