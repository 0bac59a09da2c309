//! The stored form of a unique count.
//!
//! ```text
//! byte 0      format version: 1 for the family ak, 2 for datasketches
//! byte 1      kind · 32 + log2m
//! kind 0..=3  that many coupons, ascending, 4 bytes each, least significant first
//! kind 4      count; then the first coupon and the differences to the next, ascending
//! kind 5      the least register; two registers a byte (the even one low), each less the
//!             least, 15 for 15 and more; then, in order, the excess over 15 of each 15
//! ```
//! Numbers without a size are 7-bit groups ([`crate::codec::put_u64`]).

use super::coupon::SLOT_BITS;
use super::storage::Storage;
use super::{Content, Coupon, Family, LOG2M, Shape, Unique, most_coupons};
use crate::codec::{DecodeError, Reader, put_u64};

/// The first byte, by family.
const AK: u8 = 1;
const DATASKETCHES: u8 = 2;
/// Four coupons or more.
const COUPONS: u8 = 4;
/// Registers.
const REGISTERS: u8 = 5;
/// The nibble that says that more follows.
const EXCESS: u8 = 15;

impl Unique {
    /// Appends the stored form. Equal content gives equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let log2m = self.log2m();
        out.push(match self.family() {
            Family::Ak => AK,
            Family::DataSketches => DATASKETCHES,
        });
        if let Storage::Inline { len, places, .. } = &self.0 {
            // Most keys: no vector for these.
            let mut few = places.map(u32::from_le_bytes);
            let few = &mut few[..usize::from(*len)];
            few.sort_unstable();
            out.push(*len << 5 | log2m);
            few.iter().for_each(|bits| out.extend_from_slice(&bits.to_le_bytes()));
            return;
        }
        match self.content() {
            Content::Coupons(coupons) => {
                out.push(COUPONS << 5 | log2m);
                put_u64(out, coupons.len() as u64);
                let mut before = 0;
                for bits in coupons {
                    put_u64(out, u64::from(bits - before));
                    before = bits;
                }
            }
            Content::Registers(registers) => {
                out.push(REGISTERS << 5 | log2m);
                encode_registers(registers, out);
            }
        }
    }

    /// Reads a stored form, which must be all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not what [`Unique::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (shape, kind, mut reader) = open(bytes)?;
        let mut unique = Self::with_family(shape.family(), shape.log2m());
        if kind == REGISTERS {
            decode_registers(&mut reader, shape, unique.fresh_registers())?;
        } else if kind == COUPONS {
            // No byte more than the bytes can hold, whatever count they claim.
            let room = Reader::u64(&mut reader.clone())?.min(reader.rest().len() as u64);
            let room = (room as usize).clamp(1, most_coupons(shape.log2m())) - 1;
            unique.0 = Storage::with_room(shape, room.max(3));
            each_coupon(&mut reader, shape, kind, |coupon| {
                unique.insert(coupon);
            })?;
        } else {
            each_coupon(&mut reader, shape, kind, |coupon| {
                unique.insert(coupon);
            })?;
        }
        reader.finish()?;
        Ok(unique)
    }

    /// Counts the values of a stored form as well.
    ///
    /// # Errors
    /// Where the bytes are not what [`Unique::encode`] writes, or of the other family;
    /// nothing is then changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let other = Self::decode(bytes)?;
        if other.family() != self.family() {
            return Err(DecodeError::Invalid("the unique count is of another family"));
        }
        self.merge(&other);
        Ok(())
    }
}

/// Reads the head: shape, kind, and the rest.
fn open(bytes: &[u8]) -> Result<(Shape, u8, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(bytes);
    let family = match reader.u8()? {
        AK => Family::Ak,
        DATASKETCHES => Family::DataSketches,
        version => return Err(DecodeError::Version(version)),
    };
    let head = reader.u8()?;
    let (kind, log2m) = (head >> 5, head & 31);
    if !LOG2M.contains(&log2m) {
        return Err(DecodeError::Invalid("log2m is not one of 4 to 18"));
    }
    if kind > REGISTERS {
        return Err(DecodeError::Invalid("the kind of unique count is unknown"));
    }
    Ok((Shape::new(family, log2m), kind, reader))
}

/// Hands the coupons of a kind below [`REGISTERS`] to `take`.
fn each_coupon(
    reader: &mut Reader<'_>,
    shape: Shape,
    kind: u8,
    mut take: impl FnMut(Coupon),
) -> Result<(), DecodeError> {
    let count = if kind == COUPONS { reader.u64()? } else { u64::from(kind) };
    if count > most_coupons(shape.log2m()) as u64 || (kind == COUPONS && count < u64::from(COUPONS))
    {
        return Err(DecodeError::Invalid("the number of coupons does not fit their kind"));
    }
    let mut before = 0u32;
    for _ in 0..count {
        let bits = if kind == COUPONS {
            u64::from(before).checked_add(reader.u64()?).and_then(|bits| bits.try_into().ok())
        } else {
            Some(reader.u32_le()?)
        };
        let coupon = bits.filter(|&bits| bits > before).and_then(Coupon::from_bits);
        let coupon = coupon.filter(|coupon| coupon.to_bits() >> SLOT_BITS <= shape.greatest_rank());
        let coupon = coupon.ok_or(DecodeError::Invalid("coupons are not ascending and valid"))?;
        before = coupon.to_bits();
        take(coupon);
    }
    Ok(())
}

/// See the head of this file.
fn encode_registers(registers: &[u8], out: &mut Vec<u8>) {
    let least = registers.iter().copied().min().unwrap_or(0);
    out.push(least);
    out.extend(registers.as_chunks::<2>().0.iter().map(|&[even, odd]| {
        let (even, odd) = (even - least, odd - least);
        even.min(EXCESS) | odd.min(EXCESS) << 4
    }));
    for register in registers.iter().map(|register| register - least) {
        if register >= EXCESS {
            out.push(register - EXCESS);
        }
    }
}

/// The inverse, into registers of zero.
fn decode_registers(
    reader: &mut Reader<'_>,
    shape: Shape,
    registers: &mut [u8],
) -> Result<(), DecodeError> {
    let greatest = shape.greatest_register();
    let least = reader.u8()?;
    if least > greatest {
        return Err(DecodeError::Invalid("a register is too large"));
    }
    let nibbles = reader.take(registers.len() / 2)?;
    for (pair, &byte) in registers.as_chunks_mut::<2>().0.iter_mut().zip(nibbles) {
        *pair = [byte & 15, byte >> 4];
    }
    let mut reached = false;
    for register in registers.iter_mut() {
        reached |= *register == 0;
        let more = if *register == EXCESS { reader.u8()? } else { 0 };
        *register = (*register + least).saturating_add(more);
        if *register > greatest {
            return Err(DecodeError::Invalid("a register is too large"));
        }
    }
    if !reached || registers.iter().all(|&register| register == 0) {
        return Err(DecodeError::Invalid("the least register is not the one that was said"));
    }
    Ok(())
}
