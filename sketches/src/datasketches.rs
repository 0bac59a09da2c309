//! The bytes of Apache DataSketches' HLL sketches, which Druid, Spark, BigQuery and the
//! Java, C++, Go, Rust and Python libraries read and extend. For unique counts of the
//! family [`Family::DataSketches`]: the hash has to be theirs.
//!
//! Source: the preamble as documented in the Java library (`PreambleUtil` of hll).
//!
//! ```text
//! byte 0   length of the preamble in 4 bytes: 2 list, 3 set, 10 registers
//! byte 1   version, 1;  byte 2  family, 7;  byte 3  log2m
//! byte 4   binary logarithm of the length of the list or set, or of the exceptions
//! byte 5   flags: 4 empty, 8 compact, 16 updates out of order
//! byte 6   list: number of coupons; registers: what each is less than its value
//! byte 7   low 2 bits: 0 list, 1 set, 2 registers; next 2: 0, 1, 2 for 4, 6, 8 bits
//! list     coupons
//! set      number of coupons (u32), coupons
//! else     estimate of updates in order (f64), Σ 2^−value below 32 (f64), from 32 (f64),
//!          registers at the least value (u32), number of exceptions (u32), registers,
//!          exceptions (4 bits only) as coupons
//! ```
//! All numbers least significant byte first. Not compact means with free places, as zeros.

use crate::codec::{DecodeError, Reader, put_f64};
use crate::unique::{Content, Coupon, Family, LOG2M, Unique};

const VERSION: u8 = 1;
const FAMILY: u8 = 7;
const FLAG_EMPTY: u8 = 4;
const FLAG_COMPACT: u8 = 8;
const FLAG_OUT_OF_ORDER: u8 = 16;
const LIST: u8 = 0;
const SET: u8 = 1;
const REGISTERS: u8 = 2;
/// Registers of 8 bits, as they stand in byte 7.
const HLL_8: u8 = 2 << 2;
/// The greatest log2m of their sketches.
const GREATEST_LOG2M: u8 = 21;

/// Appends `u` as a compact list, set, or registers of 8 bits, as their own libraries would
/// choose; equal content gives equal bytes.
///
/// # Panics
/// Where `u` is not of the family [`Family::DataSketches`].
pub fn write(u: &Unique, out: &mut Vec<u8>) {
    assert_eq!(u.family(), Family::DataSketches, "a unique count of another family");
    let log2m = u.log2m();
    // A list has fewer coupons than 8, a set fills at most three quarters of 2^(log2m − 3)
    // places, and there is none below log2m 8.
    let most_set = if log2m < 8 { 0 } else { 3 << (log2m - 3) >> 2 };
    match u.content() {
        Content::Coupons(coupons) if coupons.len() < 8 => {
            let empty = if coupons.is_empty() { FLAG_EMPTY } else { 0 };
            let count = coupons.len() as u8;
            out.extend_from_slice(&[2, VERSION, FAMILY, log2m, 3, FLAG_COMPACT | empty, count]);
            out.push(LIST | HLL_8);
            coupons.iter().for_each(|coupon| out.extend_from_slice(&coupon.to_le_bytes()));
        }
        Content::Coupons(coupons) if coupons.len() <= most_set => {
            let length = (coupons.len() * 4).div_ceil(3).next_power_of_two().max(32);
            let log2 = length.trailing_zeros() as u8;
            out.extend_from_slice(&[3, VERSION, FAMILY, log2m, log2, FLAG_COMPACT, 0]);
            out.push(SET | HLL_8);
            out.extend_from_slice(&(coupons.len() as u32).to_le_bytes());
            coupons.iter().for_each(|coupon| out.extend_from_slice(&coupon.to_le_bytes()));
        }
        Content::Coupons(_) => {
            let mut dense = u.clone();
            dense.make_registers();
            write(&dense, out);
        }
        Content::Registers(registers) => write_registers(log2m, registers, out),
    }
}

fn write_registers(log2m: u8, registers: &[u8], out: &mut Vec<u8>) {
    let flags = FLAG_COMPACT | FLAG_OUT_OF_ORDER;
    out.extend_from_slice(&[10, VERSION, FAMILY, log2m, 0, flags, 0, REGISTERS | HLL_8]);
    // No estimate of updates in order: what was merged has none.
    put_f64(out, 0.0);
    let inverse = |register: u8| 1.0 / (1u64 << register) as f64;
    let low = registers.iter().copied().filter(|&register| register < 32);
    let high = registers.iter().copied().filter(|&register| register >= 32);
    put_f64(out, low.map(inverse).sum());
    put_f64(out, high.map(inverse).fold(0.0, |sum, part| sum + part));
    let zeros = registers.iter().filter(|&&register| register == 0).count() as u32;
    out.extend_from_slice(&zeros.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(registers);
}

/// Reads a sketch of theirs, of any kind, all of `bytes`. A log2m above 18 is folded to 18.
///
/// # Errors
/// Where the bytes are not those of an HLL sketch.
pub fn read(bytes: &[u8]) -> Result<Unique, DecodeError> {
    let mut reader = Reader::new(bytes);
    let [preamble, version, family, log2m, log2_length, flags, byte_6, mode] = reader.array()?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    if family != FAMILY || !(4..=GREATEST_LOG2M).contains(&log2m) {
        return Err(DecodeError::Invalid("it is not an HLL sketch with log2m 4 to 21"));
    }
    let compact = flags & FLAG_COMPACT != 0;
    let kept = log2m.min(*LOG2M.end());
    let mut unique = Unique::with_family(Family::DataSketches, kept);
    match (mode & 3, preamble) {
        (LIST, 2) => {
            let count = u32::from(byte_6);
            let empty = flags & FLAG_EMPTY != 0;
            if empty && compact && count != 0 {
                return Err(DecodeError::Invalid("an empty sketch has coupons"));
            }
            let length = if compact { None } else { Some(log2_length) };
            each_coupon(&mut reader, count, length, |coupon| {
                unique.insert(coupon);
            })?;
        }
        (SET, 3) => {
            let count = reader.u32_le()?;
            let length = if compact { None } else { Some(log2_length) };
            each_coupon(&mut reader, count, length, |coupon| {
                unique.insert(coupon);
            })?;
        }
        (REGISTERS, 10) => {
            let length = if compact { None } else { Some(log2_length) };
            let registers = read_registers(&mut reader, log2m, mode >> 2 & 3, byte_6, length)?;
            let mine = unique.fresh_registers();
            for part in registers.chunks(mine.len()) {
                for (mine, &theirs) in mine.iter_mut().zip(part) {
                    *mine = theirs.max(*mine);
                }
            }
        }
        _ => return Err(DecodeError::Invalid("the kind of sketch is unknown")),
    }
    reader.finish()?;
    Ok(unique)
}

/// Hands `count` coupons to `take`; they stand in 2^`log2_length` places, if that is known.
fn each_coupon(
    reader: &mut Reader<'_>,
    count: u32,
    log2_length: Option<u8>,
    mut take: impl FnMut(Coupon),
) -> Result<(), DecodeError> {
    let places = match log2_length {
        None => count,
        Some(log2_length) => 1u32
            .checked_shl(u32::from(log2_length))
            .filter(|&places| places >= count)
            .ok_or(DecodeError::Invalid("there are fewer places than coupons"))?,
    };
    let mut read = 0;
    for _ in 0..places {
        match Coupon::from_bits(reader.u32_le()?) {
            Some(coupon) => {
                take(coupon);
                read += 1;
            }
            None if log2_length.is_some() => {}
            None => return Err(DecodeError::Invalid("a coupon has no rank")),
        }
    }
    if read == count { Ok(()) } else { Err(DecodeError::Invalid("coupons are missing")) }
}

/// The registers of `kind` (0, 1, 2 for 4, 6, 8 bits).
fn read_registers(
    reader: &mut Reader<'_>,
    log2m: u8,
    kind: u8,
    least: u8,
    log2_length: Option<u8>,
) -> Result<Vec<u8>, DecodeError> {
    // Estimates and counts that follow from the registers, but for the exceptions.
    reader.take(3 * 8 + 4)?;
    let exceptions = reader.u32_le()?;
    let count = 1usize << log2m;
    let mut registers = match kind {
        0 => {
            let nibbles = reader.take(count / 2)?;
            nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect()
        }
        1 => six_bits(reader.take(count / 4 * 3 + 1)?, count),
        2 => reader.take(count)?.to_vec(),
        _ => return Err(DecodeError::Invalid("registers have an unknown length")),
    };
    if kind == 0 {
        add_exceptions(reader, &mut registers, least, exceptions, log2_length)?;
    } else if exceptions != 0 {
        return Err(DecodeError::Invalid("only registers of 4 bits have exceptions"));
    }
    if registers.iter().any(|&register| register > 63) {
        return Err(DecodeError::Invalid("a register is too large"));
    }
    Ok(registers)
}

/// Registers of 6 bits, lowest bit first.
fn six_bits(bytes: &[u8], count: usize) -> Vec<u8> {
    let register = |at: usize| {
        let bit = at * 6;
        let two = u16::from_le_bytes([bytes[bit / 8], bytes.get(bit / 8 + 1).map_or(0, |&b| b)]);
        (two >> (bit % 8)) as u8 & 63
    };
    (0..count).map(register).collect()
}

/// Adds the least value to registers of 4 bits, and replaces those that hold 15.
fn add_exceptions(
    reader: &mut Reader<'_>,
    registers: &mut [u8],
    least: u8,
    exceptions: u32,
    log2_length: Option<u8>,
) -> Result<(), DecodeError> {
    const EXCEPTION: u8 = 15;
    let expected = registers.iter().filter(|&&nibble| nibble == EXCEPTION).count();
    let mut values = std::collections::BTreeMap::new();
    let mask = registers.len() as u32 - 1;
    let length = log2_length.filter(|_| exceptions > 0);
    each_coupon(reader, exceptions, length, |coupon| {
        let bits = coupon.to_bits();
        values.insert(bits & mask, (bits >> 26) as u8);
    })?;
    if values.len() != expected {
        return Err(DecodeError::Invalid("the exceptions are not those of the registers"));
    }
    for (index, register) in (0..).zip(registers.iter_mut()) {
        *register = match *register {
            EXCEPTION => *values
                .get(&index)
                .ok_or(DecodeError::Invalid("the exceptions are not those of the registers"))?,
            nibble => nibble.saturating_add(least),
        };
    }
    Ok(())
}
