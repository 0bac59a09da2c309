//! The binary form of DataDog's DDSketch libraries, with exact summary statistics, as
//! Java's `DDSketchWithExactSummaryStatistics` and the crate `sketches-ddsketch`
//! (`to_java_bytes`) write it.
//!
//! Source: the flags and encodings of `com.datadoghq.sketch.ddsketch.encoding`.
//!
//! A sequence of blocks, each a flag byte (its low two bits: 0 a number of the sketch, 1
//! positive bins, 2 the mapping, 3 negative bins) and what belongs to it. Numbers of values
//! are `f64`s in groups of 7 bits, short for small integers. Bins: how many, then by mode 1
//! pairs of index difference and count, 2 index differences, 3 a first index, a difference,
//! and counts.

use super::Storage;
use super::head::Head;
use super::mapping::{Bin, Mapping};
use super::storage::{Dense, ViewMut};
use super::{Quantile, View};
use crate::codec::{COUNT_LIMIT, DecodeError, Reader, put_f64};
use crate::sum::{ExactSum, is_possible};

const ZERO_COUNT: u8 = 1 << 2;
const COUNT: u8 = 0x28 << 2;
const SUM: u8 = 0x21 << 2;
const MIN: u8 = 0x22 << 2;
const MAX: u8 = 0x23 << 2;
const LOGARITHMIC: u8 = 2;
const POSITIVE: u8 = 1;
const NEGATIVE: u8 = 3;

impl Quantile {
    /// Appends DataDog's form.
    pub fn write_datadog(&self, mapping: &Mapping, out: &mut Vec<u8>) {
        let head = self.head();
        if head.count > 0 {
            out.push(COUNT);
            put_count(out, head.count);
            out.push(MIN);
            put_f64(out, head.min);
            out.push(MAX);
            put_f64(out, head.max);
        }
        let sum = self.sum();
        if sum != 0.0 {
            out.push(SUM);
            put_f64(out, sum);
        }
        out.push(LOGARITHMIC);
        put_f64(out, mapping.gamma());
        put_f64(out, 0.0);
        let mut bins = Vec::new();
        self.each(|bin, count| bins.push((bin, count)));
        let zero = bins.partition_point(|&(bin, _)| bin < Bin::ZERO);
        let above = bins.partition_point(|&(bin, _)| bin <= Bin::ZERO);
        for &(_, count) in &bins[zero..above] {
            out.push(ZERO_COUNT);
            put_count(out, count);
        }
        bins[..zero].reverse();
        put_bins(out, POSITIVE, &bins[above..]);
        put_bins(out, NEGATIVE, &bins[..zero]);
    }

    /// Reads DataDog's form, all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not of this form, the bins are not those of `mapping`, counts are
    /// not whole, or the exact min and max are missing.
    pub fn read_datadog(bytes: &[u8], mapping: &Mapping) -> Result<Self, DecodeError> {
        let read = read(bytes, mapping);
        // Some writers put a version in front, which is also the flag of a mapping.
        match bytes.split_first() {
            Some((&LOGARITHMIC, rest)) if read.is_err() => self::read(rest, mapping).or(read),
            _ => read,
        }
    }
}

fn put_bins(out: &mut Vec<u8>, flag: u8, bins: &[(Bin, u64)]) {
    if bins.is_empty() {
        return;
    }
    out.push(1 << 2 | flag);
    put_long(out, bins.len() as u64);
    let mut before = 0;
    for &(bin, count) in bins {
        let step = i64::from(bin.index()) - before;
        put_long(out, ((step << 1) ^ (step >> 63)) as u64);
        put_count(out, count);
        before = i64::from(bin.index());
    }
}

fn read(bytes: &[u8], mapping: &Mapping) -> Result<Quantile, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut head = Head { count: 0, min: f64::NAN, max: f64::NAN, sum: ExactSum::ZERO };
    let mut quantile = Quantile(Storage::dense(mapping.kept(), Head::EMPTY));
    let ViewMut::Dense(dense) = quantile.0.view_mut() else { unreachable!("it was made dense") };
    while !reader.is_empty() {
        match reader.u8()? {
            ZERO_COUNT => {
                let count = count(&mut reader)?;
                add(&mut head.count, count)?;
                dense.zero += count;
            }
            // The count follows from the bins.
            COUNT => _ = count(&mut reader)?,
            SUM => head.sum = sum(reader.f64()?)?,
            MIN => head.min = reader.f64()?,
            MAX => head.max = reader.f64()?,
            LOGARITHMIC => {
                let (gamma, offset) = (reader.f64()?, reader.f64()?);
                let near = (gamma / mapping.gamma() - 1.0).abs() < 1e-12;
                if !near || offset != 0.0 {
                    return Err(DecodeError::Invalid("the bins are those of another mapping"));
                }
            }
            flag if matches!(flag & 3, POSITIVE | NEGATIVE) => {
                each_bin(&mut reader, flag >> 2, |index, count| {
                    add(&mut head.count, count)?;
                    add_bin(dense, Bin::new(flag & 3 == NEGATIVE, index), count);
                    Ok(())
                })?;
            }
            _ => return Err(DecodeError::Invalid("a flag is unknown")),
        }
    }
    if head.count == 0 {
        return Ok(Quantile::new(mapping.kept()));
    }
    if !(head.min.is_finite() && head.max.is_finite() && head.min <= head.max) {
        return Err(DecodeError::Invalid("the exact min and max are missing"));
    }
    (head.min, head.max) = (head.min + 0.0, head.max + 0.0);
    dense.head = head;
    if let View::Dense(dense) = quantile.0.view()
        && dense.fits_sparse()
    {
        quantile.shorten();
    }
    Ok(quantile)
}

fn add(total: &mut u64, count: u64) -> Result<(), DecodeError> {
    let sum = total.checked_add(count).filter(|&sum| sum < COUNT_LIMIT);
    *total = sum.ok_or(DecodeError::Invalid("there are too many values"))?;
    Ok(())
}

fn add_bin(dense: &mut Dense, bin: Bin, count: u64) {
    if count > 0 {
        dense.add(bin, count);
    }
}

/// Hands index and count of each bin to `take`, as `mode` has them.
fn each_bin(
    reader: &mut Reader<'_>,
    mode: u8,
    mut take: impl FnMut(i32, u64) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let bins = long(reader)?;
    let out_of_range = DecodeError::Invalid("the index of a bin is out of range");
    let (mut index, step) = match mode {
        1 | 2 => (0i64, None),
        3 => (signed(reader)?, Some(signed(reader)?)),
        _ => return Err(DecodeError::Invalid("the mode of bins is unknown")),
    };
    for _ in 0..bins {
        if step.is_none() {
            index = index.checked_add(signed(reader)?).ok_or(out_of_range)?;
        }
        let count = if mode == 2 { 1 } else { count(reader)? };
        let known = i32::try_from(index).ok().filter(|index| index.abs() < Bin::INDEX_LIMIT);
        // The end of bins in steps may lie beyond, if nothing is there.
        match known {
            Some(known) => take(known, count)?,
            None if count == 0 => {}
            None => return Err(out_of_range),
        }
        index = index.checked_add(step.unwrap_or(0)).ok_or(out_of_range)?;
    }
    Ok(())
}

/// A sum of values that was rounded.
fn sum(sum: f64) -> Result<ExactSum, DecodeError> {
    if is_possible(sum) {
        let mut exact = ExactSum::ZERO;
        exact.insert(sum);
        return Ok(exact);
    }
    // From 2⁴⁰ up, an f64 has no bits below 2⁻⁶⁴.
    let scaled = sum * (1u128 << 64) as f64;
    let fits = scaled.abs() < (1u128 << 127) as f64;
    let former = if fits { ExactSum::from_former(scaled as i128, 0) } else { None };
    former.ok_or(DecodeError::Invalid("the sum is out of range"))
}

/// Appends groups of 7 bits, least significant first; the ninth holds 8.
fn put_long(out: &mut Vec<u8>, mut value: u64) {
    for _ in 0..8 {
        if value < 0x80 {
            break;
        }
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn long(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut value = 0;
    for shift in (0..=56).step_by(7) {
        let byte = reader.u8()?;
        let last = shift == 56 || byte < 0x80;
        value |= u64::from(if last { byte } else { byte & 0x7f }) << shift;
        if last {
            break;
        }
    }
    Ok(value)
}

fn signed(reader: &mut Reader<'_>) -> Result<i64, DecodeError> {
    let zigzag = long(reader)?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

/// Appends a count as an f64, less the bits of 1, turned so that small integers are short,
/// in groups of 7 bits from the highest; the ninth holds 8.
fn put_count(out: &mut Vec<u8>, count: u64) {
    let bits = (count as f64 + 1.0).to_bits().wrapping_sub(1f64.to_bits());
    let mut bits = bits.rotate_left(6);
    for _ in 0..8 {
        let group = (bits >> 57) as u8;
        bits <<= 7;
        if bits == 0 {
            return out.push(group);
        }
        out.push(group | 0x80);
    }
    out.push((bits >> 56) as u8);
}

/// The inverse, where the count is whole.
fn count(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut bits = 0;
    for group in 0..9 {
        let byte = reader.u8()?;
        if group == 8 {
            bits |= u64::from(byte);
        } else {
            bits |= u64::from(byte & 0x7f) << (57 - 7 * group);
        }
        if byte < 0x80 {
            break;
        }
    }
    let count = f64::from_bits(bits.rotate_right(6).wrapping_add(1f64.to_bits())) - 1.0;
    if (0.0..(1u64 << 63) as f64).contains(&count) && count.fract() == 0.0 {
        Ok(count as u64)
    } else {
        Err(DecodeError::Invalid("a count is not a whole number"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;
    use proptest::prelude::*;
    use sketches_ddsketch::{Config, DDSketch};

    fn both(values: &[f64], mapping: &Mapping) -> (Quantile, DDSketch) {
        let mut ours = Quantile::new(mapping.kept());
        let mut theirs = DDSketch::new(Config::new(0.01, 2048, 1e-300));
        for &value in values {
            ours.insert(Sample::new(value, mapping).unwrap());
            theirs.add(value);
        }
        (ours, theirs)
    }

    proptest! {
        #[test]
        fn both_ways(values in proptest::collection::vec(
            prop_oneof![Just(0i32), -40_000..40_000, 5..20], 0..300), repeat in 1usize..5)
        {
            // Sixteenths: their sum is exact in an f64. None but 1 is near a bound.
            let values: Vec<f64> = values.iter().map(|&v| f64::from(v) / 16.0).collect();
            let values = values.repeat(repeat);
            let mapping = Mapping::new(0.01).unwrap();
            let (ours, theirs) = both(&values, &mapping);
            let mut written = Vec::new();
            ours.write_datadog(&mapping, &mut written);
            prop_assert_eq!(&written, &theirs.to_java_bytes());
            let read = Quantile::read_datadog(&theirs.to_java_bytes(), &mapping).unwrap();
            let back = DDSketch::from_java_bytes(&written).unwrap();
            prop_assert_eq!(back.count() as u64, ours.count());
            prop_assert_eq!((read.count(), read.min(), read.max(), read.sum()),
                (ours.count(), ours.min(), ours.max(), ours.sum()));
            for q in [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 1.0] {
                let theirs = theirs.quantile(q).unwrap();
                let ours = read.quantile(q, &mapping);
                prop_assert_eq!(ours.is_some(), theirs.is_some());
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    // Ours is exact for the least and the greatest value.
                    prop_assert!((ours - theirs).abs() <= ours.abs() * 0.01 * (1.0 + 1e-9));
                }
            }
            let mut again = Vec::new();
            read.write_datadog(&mapping, &mut again);
            prop_assert_eq!(again, written);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, at: usize, with: u8) {
            let mapping = Mapping::new(0.01).unwrap();
            let _ = Quantile::read_datadog(&bytes, &mapping);
            bytes.clear();
            both(&[1.5, -3.0, 0.0, 1e9], &mapping).0.write_datadog(&mapping, &mut bytes);
            let at = at % bytes.len();
            bytes[at] = with;
            if let Ok(read) = Quantile::read_datadog(&bytes, &mapping) {
                prop_assert!(read.count() > 0 || read.is_empty());
            }
        }
    }

    #[test]
    fn other_modes_and_a_version_in_front() {
        let mapping = Mapping::new(0.01).unwrap();
        let mut bytes = vec![2, LOGARITHMIC];
        put_f64(&mut bytes, mapping.gamma());
        put_f64(&mut bytes, 0.0);
        for (flag, value) in [(MIN, 1.0), (MAX, 1.1), (SUM, 1e12)] {
            bytes.push(flag);
            put_f64(&mut bytes, value);
        }
        // Indexes 0 and 2 by differences; 1 and 4 in steps of 3, two and five values.
        bytes.extend_from_slice(&[2 << 2 | POSITIVE, 2, 0, 4, 3 << 2 | POSITIVE, 2, 2, 6]);
        put_count(&mut bytes, 2);
        put_count(&mut bytes, 5);
        let read = Quantile::read_datadog(&bytes, &mapping).unwrap();
        let mut bins = Vec::new();
        read.each(|bin, count| bins.push((bin.index(), count)));
        assert_eq!(bins, [(0, 1), (1, 2), (2, 1), (4, 5)]);
        assert_eq!(read.sum(), 1e12);
        let other = Mapping::new(0.02).unwrap();
        assert!(Quantile::read_datadog(&bytes, &other).is_err());
    }
}
