//! From a value to its bin and back: bins whose bounds grow by a constant factor, so that
//! a bin's representative is within a relative error of every value in it. A bin is found by
//! an approximate logarithm and, where a bound is nearer than that can tell, settled by
//! comparing with the exact bound. All of it is integer arithmetic, and sums and products of
//! floats that are the same on every machine.
//!
//! Source: Charles Masson, Jee E. Rim, Homin K. Lee, "DDSketch: a fast and fully-mergeable
//! quantile sketch with relative-error guarantees" (2019), with the bins of DataDog's
//! logarithmic mapping: bin i holds the magnitudes in [γⁱ, γⁱ⁺¹).

use std::fmt;

use super::powers::{Powers, Wide};

/// The least and greatest relative error; less would take more bins than one has use for.
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

    /// The bin of such a number in a word, which must be one.
    #[inline]
    pub(super) fn of_word(word: u32) -> Self {
        debug_assert!(Self::from_i32(word as i32).is_some(), "{word} is no bin");
        Self(word as i32)
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

/// How many bins of each sign are kept apart; what lies lower is folded into the lowest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept(u8);

impl Kept {
    /// The least: 2,048 bins, which at 1 % are 17 orders of magnitude.
    pub const LEAST: Self = Self(8);
    /// As many as the least relative error needs: 15,104.
    pub const MOST: Self = Self(59);
    /// They are counted in units of so many.
    const UNIT: i32 = 256;
    /// So far below the greatest value, values are kept apart whatever the error is: 1 beside
    /// 2⁴⁰, and more than twelve orders of magnitude.
    const SPAN: f64 = 1e13;

    /// The number of bins.
    #[inline]
    pub fn bins(self) -> i32 {
        i32::from(self.0) * Self::UNIT
    }

    /// The number that [`Kept::from_units`] reads.
    pub(super) fn units(self) -> u8 {
        self.0
    }

    /// As many units of 256 bins, if there can be so many.
    pub(super) fn from_units(units: u8) -> Option<Self> {
        Some(Self(units)).filter(|kept| (Self::LEAST..=Self::MOST).contains(kept))
    }

    /// At least so many bins.
    fn at_least(bins: i32) -> Self {
        let units = u8::try_from((bins + Self::UNIT - 1) / Self::UNIT).unwrap_or(u8::MAX);
        Self(units).clamp(Self::LEAST, Self::MOST)
    }
}

/// log2 of 1 + k / 2⁸, and what to add for each 2⁻³² of the way to the next.
static LOGARITHMS: [(f64, f64); 1 << TABLE_BITS] = logarithms();

/// By how much a logarithm from the table falls short of the truth: at most this, which is
/// (2⁻⁸)² / 8 · log2 e, since a chord lies below the curve.
const SHORT: f64 = 2.76e-6;

/// The bins of one relative error.
#[derive(Clone, Copy)]
pub struct Mapping {
    relative_error: f64,
    gamma: f64,
    /// Bins per doubling.
    per_octave: f64,
    /// What is added to a position that was computed, so that it is as likely too great as too
    /// small; and by how much it may then be either.
    shift: f64,
    doubt: f64,
    kept: Kept,
    powers: Powers,
}

impl Mapping {
    /// Bins whose representative is within `relative_error` of every value in them. Takes a
    /// microsecond, and 1.4 kB, whatever the error is.
    ///
    /// `None` where the error is not one of [`RELATIVE_ERROR`].
    pub fn new(relative_error: f64) -> Option<Self> {
        if !RELATIVE_ERROR.contains(&relative_error) {
            return None;
        }
        let gamma = (1.0 + relative_error) / (1.0 - relative_error);
        let powers = Powers::new(gamma);
        let per_octave = 1.0 / powers.log2();
        let shift = SHORT / 2.0 * per_octave;
        // The millionth is for what rounding does to positions of up to 400,000.
        let doubt = shift + 1e-6;
        let kept = Kept::LEAST;
        let mut mapping = Self { relative_error, gamma, per_octave, shift, doubt, kept, powers };
        // Of values whose ratio is SPAN, the bins are so far apart, or one further.
        mapping.kept = Kept::at_least(mapping.bin(Kept::SPAN).index() + 2);
        Some(mapping)
    }

    /// As it was given to [`Mapping::new`].
    pub fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// γ, the ratio of a bin's bounds.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// How many bins of each sign are kept apart.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// So many orders of magnitude below the greatest value of a sign (and more, but not one
    /// more), values are kept apart.
    pub fn orders_of_magnitude(&self) -> u32 {
        let octaves = f64::from(self.kept.bins() - 1) / self.per_octave;
        (octaves * std::f64::consts::LOG10_2) as u32
    }

    /// The bin of `value`, which must be finite. Magnitudes below [`LEAST`] are zero.
    #[inline]
    pub fn bin(&self, value: f64) -> Bin {
        let magnitude = value.abs();
        if magnitude < LEAST {
            return Bin::ZERO;
        }
        Bin::new(value < 0.0, self.index(magnitude))
    }

    /// The representative of `bin`: within the relative error of every value in it.
    pub fn value(&self, bin: Bin) -> f64 {
        if bin == Bin::ZERO {
            return 0.0;
        }
        // The bound is at most the greatest f64, but what it is multiplied by exceeds 1.
        let ratio = 2.0 * self.gamma / (1.0 + self.gamma);
        let magnitude = (self.powers.bound(bin.index()).max(LEAST) * ratio).min(f64::MAX);
        if bin.sign() < 0 { -magnitude } else { magnitude }
    }

    /// The index of the bin of `magnitude`.
    #[inline]
    fn index(&self, magnitude: f64) -> i32 {
        let bits = magnitude.to_bits();
        let exponent = (bits >> 52) as i32 - 1023;
        let entry = (bits >> (52 - TABLE_BITS)) as usize & ((1 << TABLE_BITS) - 1);
        let (start, slope) = LOGARITHMS[entry];
        // 32 bits are enough, and cutting them out needs no mask.
        let beyond = (bits >> (52 - TABLE_BITS - 32)) as u32;
        let log2 = f64::from(exponent) + (start + slope * f64::from(beyond));
        let position = log2 * self.per_octave + self.shift;
        // Adding 1.5 · 2⁵² leaves the nearest integer in the low bits, which is cheaper than a
        // conversion that minds all values.
        const INTEGERS: f64 = 6_755_399_441_055_744.0;
        let nearest = (position - 0.5) + INTEGERS;
        let guess = nearest.to_bits() as u32 as i32;
        // How far above the guess, less a half: near ±½ it may belong to a neighbour.
        let above = (position - 0.5) - (nearest - INTEGERS);
        if above.abs() < 0.5 - self.doubt { guess } else { self.settle(magnitude, guess) }
    }

    /// The index, by comparing with exact bounds, from one that is near.
    #[cold]
    fn settle(&self, magnitude: f64, mut index: i32) -> i32 {
        while self.powers.bound(index) > magnitude {
            index -= 1;
        }
        while self.powers.bound(index + 1) <= magnitude {
            index += 1;
        }
        index
    }
}

/// See [`LOGARITHMS`].
const fn logarithms() -> [(f64, f64); 1 << TABLE_BITS] {
    const STEPS: usize = 1 << TABLE_BITS;
    let mut all = [(0.0, 0.0); STEPS];
    // From the end, where log2 2 is 1, so that each is computed once.
    let (mut k, mut next) = (STEPS, 1.0);
    while k > 0 {
        k -= 1;
        let start = Wide::from_f64(1.0 + k as f64 / STEPS as f64).log2();
        all[k] = (start, (next - start) / (1u64 << 32) as f64);
        next = start;
    }
    all
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
    use super::super::powers;
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
            let (first, bounds) = powers::bounds(mapping.gamma(), LEAST);
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

    /// One is what an owner of thousands copies for each.
    #[test]
    fn a_mapping_is_small() {
        fn has_no_heap(_: &impl Copy) {}
        has_no_heap(&Mapping::new(0.001).unwrap());
        assert!(size_of::<Mapping>() < 1500);
    }

    #[test]
    fn twelve_orders_of_magnitude_are_kept_apart_at_every_error() {
        for (error, bins, orders) in
            [(0.001, 15_104, 13), (0.002, 7680, 13), (0.005, 3072, 13), (0.01, 2048, 17)]
        {
            let mapping = Mapping::new(error).unwrap();
            assert_eq!(mapping.kept().bins(), bins, "{error}");
            assert_eq!(mapping.orders_of_magnitude(), orders, "{error}");
        }
        for step in 0..500 {
            let mapping = Mapping::new(0.001 + f64::from(step) * 0.000_998).unwrap();
            assert!(mapping.orders_of_magnitude() >= 13, "{mapping:?}");
            for least in [1e-20, 1.0, 3e-7] {
                let apart = mapping.bin(least * 1e13).index() - mapping.bin(least).index();
                assert!(apart < mapping.kept().bins(), "{mapping:?}");
            }
        }
        assert_eq!(Mapping::new(0.001).unwrap().kept(), Kept::MOST);
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
