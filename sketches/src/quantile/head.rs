//! What a distribution keeps beside its bins: how many values, the least, the greatest,
//! and their exact sum.

use crate::sum::ExactSum;

/// Count, min, max and sum of at least one value, or of none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) count: u64,
    /// +∞ where there is no value.
    pub(super) min: f64,
    /// −∞ where there is no value.
    pub(super) max: f64,
    pub(super) sum: ExactSum,
}

impl Head {
    pub(super) const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: ExactSum::ZERO };

    /// Counts one value.
    #[inline]
    pub(super) fn insert(&mut self, value: f64, fixed: i128) {
        self.count += 1;
        // A new least or greatest value is rare: a branch does not wait for the last one.
        if value < self.min || value > self.max {
            self.widen(value);
        }
        self.sum.insert(value, fixed);
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
        self.sum.merge(&other.sum);
    }
}
