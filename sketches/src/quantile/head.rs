//! What a distribution keeps beside its bins: how many values, the least, the greatest,
//! and their exact sum.

use crate::sum::{ExactSum, Units, add_fixed, add_units, has_fraction};

/// Count, min, max and sum of at least one value, or of none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head<S = ExactSum> {
    pub(super) count: u64,
    /// +∞ where there is no value.
    pub(super) min: f64,
    /// −∞ where there is no value.
    pub(super) max: f64,
    pub(super) sum: S,
}

/// The same, of values whose sum is of whole units: a word less, which would make boxes of
/// sparse bins longer by a tenth.
pub(super) type PlainHead = Head<Units>;

impl<S> Head<S> {
    /// Counts one value; its sum is for the caller to change.
    #[inline]
    fn count(&mut self, value: f64) {
        self.count += 1;
        // A new least or greatest value is rare: a branch does not wait for the last one.
        if value < self.min || value > self.max {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }

    /// Counts the values of `other`; their sum is for the caller to add.
    fn count_all(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Head {
    pub(super) const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: ExactSum::ZERO };

    /// Counts one value.
    #[inline]
    pub(super) fn insert(&mut self, value: f64, fixed: i128) {
        self.count(value);
        self.sum.insert(value, fixed);
    }

    /// Counts one value, which has no fraction of a unit.
    #[inline]
    pub(super) fn insert_whole(&mut self, value: f64, fixed: i128) {
        self.count(value);
        self.sum.insert_whole(fixed);
    }

    /// Counts the values of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count_all(other);
        self.sum.merge(&other.sum);
    }

    /// The same, if its sum is of whole units.
    pub(super) fn plain(&self) -> Option<PlainHead> {
        let Self { count, min, max, ref sum } = *self;
        Some(Head { count, min, max, sum: sum.whole_units()? })
    }
}

impl PlainHead {
    /// Counts one value, which has no fraction of a unit.
    #[inline]
    pub(super) fn insert(&mut self, value: f64, fixed: i128) {
        debug_assert!(!has_fraction(value));
        self.count(value);
        add_fixed(&mut self.sum, fixed);
    }

    /// Counts the values of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count_all(other);
        add_units(&mut self.sum, &other.sum);
    }

    pub(super) fn full(&self) -> Head {
        let Self { count, min, max, sum } = *self;
        Head { count, min, max, sum: ExactSum::from_units(sum) }
    }
}
