//! The form in which a row's unique count is published: bytes that PostgreSQL's `hll(n)`
//! columns take and unite with their own.

use super::bits::BitWriter;
use super::{EMPTY, FULL, SPARSE, Settings};
use crate::unique::{Content, Family, Unique};

/// Bits of a register, as PostgreSQL's default type has them.
const REGISTER_BITS: u32 = Settings::postgresql(14).register_bits as u32;
/// The greatest value that these can hold.
const GREATEST: u8 = (1 << REGISTER_BITS) - 1;

/// Appends `u` as EMPTY, SPARSE or FULL, whichever is shortest, with the header of
/// PostgreSQL's `hll(log2m)`: 5 bits a register, expthresh −1, sparseon 1.
///
/// PostgreSQL takes log2m up to 17. Coupons do not hold the hash that EXPLICIT needs.
///
/// # Panics
/// Where `u` is not of the family [`Family::Ak`].
pub fn write_row(u: &Unique, out: &mut Vec<u8>) {
    assert_eq!(u.family(), Family::Ak, "only a unique count of the family ak has this form");
    let settings = Settings::postgresql(u.log2m());
    let [sizes, cutoffs] = settings.header();
    out.extend_from_slice(&[EMPTY, sizes, cutoffs]);
    if u.is_empty() {
        return;
    }
    let kind_at = out.len() - 3;
    match u.content() {
        Content::Coupons(coupons) => {
            let entries = entries(coupons, u);
            if entries.len() <= settings.most_sparse() {
                out[kind_at] = SPARSE;
                write_sparse(&entries, settings, out);
            } else {
                out[kind_at] = FULL;
                let mut registers = vec![0; 1 << u.log2m()];
                entries.iter().for_each(|&(index, value)| registers[index as usize] = value);
                write_full(&registers, out);
            }
        }
        Content::Registers(registers) => {
            let used = registers.iter().filter(|&&value| value > 0).count();
            if used <= settings.most_sparse() {
                let entries = (0u32..).zip(registers).filter(|&(_, &value)| value > 0);
                let entries: Vec<_> = entries.map(|(i, &value)| (i, value.min(GREATEST))).collect();
                out[kind_at] = SPARSE;
                write_sparse(&entries, settings, out);
            } else {
                out[kind_at] = FULL;
                write_full(registers, out);
            }
        }
    }
}

/// The registers of coupons by index, as far as their bits can tell them.
fn entries(coupons: Vec<u32>, u: &Unique) -> Vec<(u32, u8)> {
    let shape = u.shape();
    let mut entries: Vec<(u32, u8)> = coupons
        .into_iter()
        .map(|bits| shape.register(bits))
        .map(|(index, value)| (index as u32, value.min(GREATEST)))
        .collect();
    // Of one index, the greatest value comes first and stays.
    entries.sort_unstable_by_key(|&(index, value)| (index, u8::MAX - value));
    entries.dedup_by_key(|&mut (index, _)| index);
    entries
}

fn write_sparse(entries: &[(u32, u8)], settings: Settings, out: &mut Vec<u8>) {
    let mut bits = BitWriter::new(out);
    for &(index, value) in entries {
        bits.put(index << REGISTER_BITS | u32::from(value), settings.pair_bits());
    }
    bits.finish();
}

/// Eight registers make five bytes.
fn write_full(registers: &[u8], out: &mut Vec<u8>) {
    out.reserve(registers.len() / 8 * 5);
    for eight in registers.as_chunks::<8>().0 {
        let bits = eight
            .iter()
            .fold(0u64, |bits, &value| bits << REGISTER_BITS | u64::from(value.min(GREATEST)));
        out.extend_from_slice(&bits.to_be_bytes()[3..]);
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
