//! The form in which a row's unique count is published: bytes that PostgreSQL's `hll(n)`
//! columns take and unite with their own.

use crate::unique::{Content, Family, Unique};

const EMPTY: u8 = 0x11;
const SPARSE: u8 = 0x13;
const FULL: u8 = 0x14;

/// Bits of a register, as PostgreSQL's default type has them.
const REGISTER_BITS: u32 = 5;
/// Explicit cut-off auto (−1), sparse allowed: PostgreSQL refuses to unite what differs.
const CUTOFFS: u8 = 0x7f;

/// Appends `u` as EMPTY, SPARSE or FULL, whichever is shortest, with the header of
/// PostgreSQL's `hll(log2m)`: 5 bits a register, expthresh −1, sparseon 1.
///
/// PostgreSQL takes log2m up to 17. Coupons do not hold the hash that EXPLICIT needs.
///
/// # Panics
/// Where `u` is not of the family [`Family::Ak`].
pub fn write_row(u: &Unique, out: &mut Vec<u8>) {
    assert_eq!(u.family(), Family::Ak, "only a unique count of the family ak has this form");
    let log2m = u.log2m();
    let kind_at = out.len();
    out.extend_from_slice(&[EMPTY, ((REGISTER_BITS - 1) as u8) << 5 | log2m, CUTOFFS]);
    if u.is_empty() {
        return;
    }
    let entries = entries(u);
    let sparse_bits = entries.len() as u64 * (u64::from(log2m) + u64::from(REGISTER_BITS));
    let mut bits = BitWriter { out, pending: 0, held: 0 };
    if sparse_bits < u64::from(REGISTER_BITS) << log2m {
        bits.out[kind_at] = SPARSE;
        for (index, value) in entries {
            bits.put(index << REGISTER_BITS | u32::from(value), u32::from(log2m) + REGISTER_BITS);
        }
    } else {
        bits.out[kind_at] = FULL;
        let mut next = 0;
        for (index, value) in entries {
            (next..index).for_each(|_| bits.put(0, REGISTER_BITS));
            bits.put(u32::from(value), REGISTER_BITS);
            next = index + 1;
        }
        (next..1 << log2m).for_each(|_| bits.put(0, REGISTER_BITS));
    }
    bits.finish();
}

/// The registers that are not zero, by index, capped at what their bits can say.
fn entries(u: &Unique) -> Vec<(u32, u8)> {
    const CAP: u8 = (1 << REGISTER_BITS) - 1;
    match u.content() {
        Content::Coupons(coupons) => {
            let shape = u.shape();
            let mut entries: Vec<(u32, u8)> = coupons
                .into_iter()
                .map(|bits| shape.register(bits))
                .map(|(index, value)| (index as u32, value.min(CAP)))
                .collect();
            // Of one index, the greatest value comes first and stays.
            entries.sort_unstable_by_key(|&(index, value)| (index, u8::MAX - value));
            entries.dedup_by_key(|&mut (index, _)| index);
            entries
        }
        Content::Registers(registers) => (0u32..)
            .zip(registers)
            .filter(|&(_, &value)| value > 0)
            .map(|(index, &value)| (index, value.min(CAP)))
            .collect(),
    }
}

/// Writes numbers of some bits, highest bit first.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    held: u32,
}

impl BitWriter<'_> {
    /// The low `width` bits of `value`, at most 32.
    #[inline]
    fn put(&mut self, value: u32, width: u32) {
        self.pending = self.pending << width | u64::from(value);
        self.held += width;
        while self.held >= 8 {
            self.held -= 8;
            self.out.push((self.pending >> self.held) as u8);
        }
    }

    /// Fills the last byte with zeros.
    fn finish(self) {
        if self.held > 0 {
            self.out.push((self.pending << (8 - self.held)) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unique::Coupon;

    #[test]
    fn headers_and_short_rows() {
        let mut unique = Unique::new(14);
        let mut out = vec![7];
        write_row(&unique, &mut out);
        assert_eq!(out, [7, 0x11, 0x8e, 0x7f]);
        // Slot 1, then the bit after log2m: register 1 has value 1.
        unique.insert(Coupon::of_hash(1 << 14 | 1));
        unique.insert(Coupon::of_hash(1 << 16 | 1));
        out.clear();
        write_row(&unique, &mut out);
        // 00000000000001 00011, then 5 bits of padding.
        assert_eq!(out, [0x13, 0x8e, 0x7f, 0, 0b0000_0100, 0b0110_0000]);
    }

    #[test]
    fn full_where_it_is_shorter() {
        let mut unique = Unique::new(4);
        for slot in 0..16u64 {
            unique.insert(Coupon::of_hash(1 << 4 | slot));
        }
        let mut out = Vec::new();
        write_row(&unique, &mut out);
        assert_eq!(out[..3], [0x14, 0x84, 0x7f]);
        assert_eq!(out[3..], [0x08, 0x42, 0x10, 0x84, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21]);
    }
}
