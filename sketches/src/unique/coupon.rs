//! A value as one number of 32 bits: what a unique count keeps of it. Computed once per
//! event, used by every summary that counts the field.

use crate::hash::murmur3_x64_128;

/// Bits of the slot.
pub(crate) const SLOT_BITS: u32 = 26;
/// The greatest rank: none of the 38 bits that follow the slot is set.
pub(crate) const MAX_RANK: u32 = 64 - SLOT_BITS + 1;

/// The slot (low 26 bits) and rank (high 6 bits) of a hashed value.
///
/// Of a 64-bit hash, the slot is the low 26 bits, and the rank the number of zeros below
/// the lowest bit set in the rest, plus one: 1 to 39. A coupon is enough to find the
/// register and value of a HyperLogLog sketch with any log2m up to 26.
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

    /// The 32 bits, never 0.
    #[inline]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The coupon of `bits`; `None` where its rank is not one of 1 to 39.
    #[inline]
    pub fn from_bits(bits: u32) -> Option<Self> {
        (1..=MAX_RANK).contains(&(bits >> SLOT_BITS)).then_some(Self(bits))
    }

    /// The register and its value in a sketch of 2^`log2m` registers (`log2m` at most 26).
    #[inline]
    pub fn register(self, log2m: u8) -> (usize, u8) {
        register(self.0, log2m)
    }
}

/// As [`Coupon::register`], of bits known to be a coupon's.
#[inline]
pub(crate) fn register(bits: u32, log2m: u8) -> (usize, u8) {
    let (slot, rank) = (bits & ((1 << SLOT_BITS) - 1), bits >> SLOT_BITS);
    let index = slot & ((1 << log2m) - 1);
    let rest = slot >> log2m;
    let value =
        if rest != 0 { rest.trailing_zeros() + 1 } else { SLOT_BITS - u32::from(log2m) + rank };
    (index as usize, value as u8)
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
        assert_eq!(Coupon::from_bits(40 << 26), None);
        assert!(Coupon::from_bits(39 << 26).is_some());
    }

    proptest! {
        /// A register from the coupon is the register from the hash.
        #[test]
        fn folds_like_the_hash(hash: u64, zeros in 0u32..64, log2m in 4u8..=18) {
            let hash = hash & u64::MAX << zeros;
            let rest = hash >> log2m;
            let rank = if rest == 0 { 65 - u32::from(log2m) } else { rest.trailing_zeros() + 1 };
            let expected = ((hash & ((1 << log2m) - 1)) as usize, rank as u8);
            prop_assert_eq!(Coupon::of_hash(hash).register(log2m), expected);
            let bits = Coupon::of_hash(hash).to_bits();
            prop_assert_eq!(Coupon::from_bits(bits).map(Coupon::to_bits), Some(bits));
        }
    }
}
