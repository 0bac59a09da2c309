//! What a distribution keeps beside its bins: how many values, the least, the greatest,
//! and their exact sum.

use crate::sum::{ExactSum, Units, add_fixed, add_units, whole_units};

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

/// A run of values, gathered before a head changes, so that each value takes no memory.
pub(super) struct Run {
    count: u64,
    min: f64,
    max: f64,
    units: Units,
}

impl Run {
    pub(super) const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, units: [0; 3] };

    /// Adds one value, which has no fraction of a unit.
    #[inline]
    pub(super) fn insert(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        add_fixed(&mut self.units, whole_units(value));
    }
}

impl<S> Head<S> {
    /// Counts the values of a run; their sum is for the caller to add.
    #[inline]
    fn count_run(&mut self, run: &Run) {
        self.count += run.count;
        self.min = self.min.min(run.min);
        self.max = self.max.max(run.max);
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
    pub(super) fn insert(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum.insert(value);
    }

    /// Counts the values of a run.
    #[inline]
    pub(super) fn insert_run(&mut self, run: &Run) {
        self.count_run(run);
        self.sum.insert_units(&run.units);
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
    /// Counts the values of a run.
    #[inline]
    pub(super) fn insert_run(&mut self, run: &Run) {
        self.count_run(run);
        add_units(&mut self.sum, &run.units);
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
