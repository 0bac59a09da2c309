//! A value as one number of 32 bits: what a unique count keeps of it. Computed once per
//! event, used by every summary that counts the field. Two families make it differently,
//! and turn it into a register differently; their coupons must not be mixed.

use crate::hash::murmur3_x64_128;

/// Bits of the slot.
pub(crate) const SLOT_BITS: u32 = 26;
/// The seed of the hash in Apache DataSketches.
const DATASKETCHES_SEED: u64 = 9001;

/// Whose unique counts these are to be united with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Aggregate Knowledge's: PostgreSQL's `hll` type and its relatives (see [`crate::ak`]).
    #[default]
    Ak,
    /// Apache DataSketches': Druid, Spark, BigQuery, the Python package (see
    /// [`crate::datasketches`]).
    DataSketches,
}

/// The slot (low 26 bits) and rank (high 6 bits) of a hashed value.
///
/// In the family [`Family::Ak`], of a 64-bit hash, the slot is the low 26 bits, and the
/// rank the number of zeros below the lowest bit set in the rest, plus one: 1 to 39. A
/// coupon is enough to find the register and value of a HyperLogLog sketch with any log2m
/// up to 26. In the family [`Family::DataSketches`], of a 128-bit hash, the slot is the low
/// 26 bits of the first half, and the rank the number of leading zeros of the second, at
/// most 62, plus one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coupon(u32);

impl Coupon {
    /// The coupon of a string, as PostgreSQL's `hll_hash_text` hashes it: the first 64
    /// bits of Murmur3 x64 128, seed 0.
    #[inline]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(murmur3_x64_128(bytes, 0).0)
    }

    /// The coupon of an integer, as PostgreSQL's `hll_hash_bigint` hashes it: its 8
    /// bytes, least significant first.
    #[inline]
    pub fn of_i64(value: i64) -> Self {
        Self::of_bytes(&value.to_le_bytes())
    }

    /// The coupon of a value that was hashed already. The hash must be good: 64 bits,
    /// each as random as the other.
    #[inline]
    pub fn of_hash(hash: u64) -> Self {
        let slot = hash as u32 & ((1 << SLOT_BITS) - 1);
        // The bit set beyond the hash gives a rest of zeros the greatest rank.
        let rank = (hash >> SLOT_BITS | 1 << (64 - SLOT_BITS)).trailing_zeros() + 1;
        Self(rank << SLOT_BITS | slot)
    }

    /// The coupon of a string or of other bytes in the family [`Family::DataSketches`].
    #[inline]
    pub fn datasketches_of_bytes(bytes: &[u8]) -> Self {
        let (first, second) = murmur3_x64_128(bytes, DATASKETCHES_SEED);
        let rank = second.leading_zeros().min(62) + 1;
        Self(rank << SLOT_BITS | first as u32 & ((1 << SLOT_BITS) - 1))
    }

    /// The coupon of an integer in the family [`Family::DataSketches`].
    #[inline]
    pub fn datasketches_of_i64(value: i64) -> Self {
        Self::datasketches_of_bytes(&value.to_le_bytes())
    }

    /// The 32 bits, never 0.
    #[inline]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The coupon of the bits of one.
    #[inline]
    pub(super) fn of_bits(bits: u32) -> Self {
        debug_assert!(bits >> SLOT_BITS > 0, "{bits} is no coupon");
        Self(bits)
    }

    /// The coupon of `bits`; `None` where its rank is 0.
    #[inline]
    pub fn from_bits(bits: u32) -> Option<Self> {
        (bits >> SLOT_BITS > 0).then_some(Self(bits))
    }
}

/// What the coupons of a sketch become: its family, the log2m of its registers; and what
/// they are now: a list, a hash set, or registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape(u8);

impl Shape {
    const DATASKETCHES: u8 = 0x80;
    const DENSE: u8 = 0x40;
    const HASHED: u8 = 0x20;
    const LOG2M: u8 = 0x1f;

    pub(crate) const fn new(family: Family, log2m: u8) -> Self {
        match family {
            Family::Ak => Self(log2m),
            Family::DataSketches => Self(log2m | Self::DATASKETCHES),
        }
    }

    #[inline]
    pub(crate) fn family(self) -> Family {
        if self.0 & Self::DATASKETCHES == 0 { Family::Ak } else { Family::DataSketches }
    }

    #[inline]
    pub(crate) fn log2m(self) -> u8 {
        self.0 & Self::LOG2M
    }

    /// Whether there are registers.
    #[inline]
    pub(crate) fn is_dense(self) -> bool {
        self.0 & Self::DENSE != 0
    }

    /// Whether the coupons are a hash set rather than a list.
    #[inline]
    pub(crate) fn is_hashed(self) -> bool {
        self.0 & Self::HASHED != 0
    }

    /// A list, a hash set or registers, as 1 to 3.
    #[inline]
    pub(crate) fn kind(self) -> usize {
        1 + usize::from(self.0 >> 5 & 3)
    }

    /// The same, with registers.
    pub(crate) fn dense(self) -> Self {
        Self(self.0 & !Self::HASHED | Self::DENSE)
    }

    /// The same, with coupons as a hash set or as a list.
    pub(crate) fn hashed(self, hashed: bool) -> Self {
        Self(self.0 & !Self::HASHED | if hashed { Self::HASHED } else { 0 })
    }

    /// The greatest rank of a coupon.
    pub(crate) fn greatest_rank(self) -> u32 {
        match self.family() {
            Family::Ak => 64 - SLOT_BITS + 1,
            Family::DataSketches => 63,
        }
    }

    /// The greatest value of a register.
    pub(crate) fn greatest_register(self) -> u8 {
        match self.family() {
            Family::Ak => 65 - self.log2m(),
            Family::DataSketches => 63,
        }
    }

    /// The register of a coupon, and its value.
    #[inline]
    pub(crate) fn register(self, bits: u32) -> (usize, u8) {
        let (slot, rank) = (bits & ((1 << SLOT_BITS) - 1), bits >> SLOT_BITS);
        let log2m = u32::from(self.log2m());
        let index = slot & ((1 << log2m) - 1);
        let rest = slot >> log2m;
        let value = if self.family() == Family::DataSketches {
            rank
        } else if rest != 0 {
            rest.trailing_zeros() + 1
        } else {
            // The least guards against a coupon of the other family.
            (SLOT_BITS - log2m + rank).min(65 - log2m)
        };
        (index as usize, value as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_as_postgresql_does() {
        // PostgreSQL: SELECT hll_hash_integer(1), which hashes four bytes.
        let of_one = Coupon::of_hash(-8604791237420463362i64 as u64);
        assert_eq!(Coupon::of_bytes(&1i32.to_le_bytes()), of_one);
        assert_eq!(Coupon::of_i64(1), Coupon::of_bytes(&[1, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(Coupon::of_bytes("é".as_bytes()), Coupon::of_bytes(&[0xc3, 0xa9]));
        assert_eq!(Coupon::of_bytes(b""), Coupon::of_hash(0));
        assert_eq!(Coupon::of_hash(0).to_bits(), 39 << 26);
    }

    #[test]
    fn refuses_impossible_ranks() {
        assert_eq!(Coupon::from_bits(5), None);
        assert!(Coupon::from_bits(1 << 26).is_some());
    }

    proptest! {
        /// A register from the coupon is the register from the hash.
        #[test]
        fn folds_like_the_hash(hash: u64, zeros in 0u32..64, log2m in 4u8..=18) {
            let hash = hash & u64::MAX << zeros;
            let rest = hash >> log2m;
            let rank = if rest == 0 { 65 - u32::from(log2m) } else { rest.trailing_zeros() + 1 };
            let expected = ((hash & ((1 << log2m) - 1)) as usize, rank as u8);
            let bits = Coupon::of_hash(hash).to_bits();
            prop_assert_eq!(Shape::new(Family::Ak, log2m).register(bits), expected);
            prop_assert_eq!(Coupon::from_bits(bits).map(Coupon::to_bits), Some(bits));
        }
    }
}
