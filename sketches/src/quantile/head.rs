//! What a distribution keeps beside its bins: how many values, the least, the greatest,
//! and their exact sum.

/// Count, min, max and sum of at least one value, or of none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) count: u64,
    /// +∞ where there is no value.
    pub(super) min: f64,
    /// −∞ where there is no value.
    pub(super) max: f64,
    pub(super) sum: Sum,
}

impl Head {
    pub(super) const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: Sum::ZERO };

    /// Counts one value.
    #[inline]
    pub(super) fn insert(&mut self, value: f64, fixed: i128) {
        self.count += 1;
        // A new least or greatest value is rare: a branch does not wait for the last one.
        if value < self.min || value > self.max {
            self.widen(value);
        }
        self.sum.add(Sum::of(fixed));
    }

    #[inline]
    fn widen(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Counts the values of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum.add(other.sum);
    }
}

/// A sum of `i128`s in 192 bits, least significant word first, two's complement: it may
/// leave the range of an `i128` and come back, so that whether it overflows depends on
/// the total alone. 2⁶⁴ values cannot overflow it. Words of 64 bits, because an `i128`
/// would align, and so lengthen, all that holds it to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sum([u64; 3]);

impl Sum {
    pub(super) const ZERO: Self = Self([0; 3]);

    #[inline]
    pub(super) fn of(fixed: i128) -> Self {
        Self([fixed as u64, (fixed >> 64) as u64, (fixed >> 127) as u64])
    }

    #[inline]
    pub(super) fn add(&mut self, other: Self) {
        let mut carry = false;
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            let (sum, over) = mine.overflowing_add(theirs);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*mine, carry) = (sum, over || again);
        }
    }

    /// The low 128 bits as a signed number, and what is to be added in units of 2¹²⁸.
    pub(super) fn parts(self) -> (i128, i64) {
        let [low, middle, high] = self.0;
        let fixed = (u128::from(middle) << 64 | u128::from(low)) as i128;
        (fixed, (high as i64).wrapping_add(i64::from(fixed < 0)))
    }

    /// The inverse of [`Sum::parts`].
    pub(super) fn from_parts(fixed: i128, carry: i64) -> Self {
        let mut sum = Self::of(fixed);
        sum.0[2] = sum.0[2].wrapping_add(carry as u64);
        sum
    }

    /// The sum, if it fits.
    pub(super) fn get(self) -> Option<i128> {
        let (fixed, carry) = self.parts();
        (carry == 0).then_some(fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn past_the_limit_and_back() {
        for (limit, step) in [(i128::MAX, 1), (i128::MIN, -1)] {
            let mut sum = Sum::of(limit);
            sum.add(Sum::of(step));
            assert_eq!(sum.get(), None);
            assert_eq!(Sum::from_parts(sum.parts().0, sum.parts().1), sum);
            sum.add(Sum::of(-step));
            assert_eq!(sum.get(), Some(limit));
        }
    }

    proptest! {
        #[test]
        fn adds(a in i128::MIN / 2..i128::MAX / 2, b in i128::MIN / 2..i128::MAX / 2) {
            let mut sum = Sum::of(a);
            sum.add(Sum::of(b));
            prop_assert_eq!(sum.get(), Some(a + b));
            prop_assert_eq!(Sum::from_parts(a + b, 0), sum);
        }
    }
}
