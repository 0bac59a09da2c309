//! The stored form of a distribution.
//!
//! ```text
//! byte 0      format version: 1 where 2,048 bins a sign are kept, otherwise 2, and then one
//!             byte: how many are kept, in units of 256
//! next byte   kind
//! kind 0..=8  that many values, ascending: the f64, then the bin: 0 for zero's, else 1 more
//!             than the zigzag of its index (the sign is the value's)
//! kind 9      min and max, as f64; the sum in units of 2⁻⁶⁴, zigzag, and what to add to it
//!             in units of 2¹²⁸, zigzag; the count of zero's bin; then for negative and for
//!             positive values: the number of bins, and if there are any the zigzag of the
//!             lowest index and its count, the difference to the next index and its count,
//!             and so on; at last how many values of the lowest kept bin belong lower: in
//!             version 2 how many bins have such, and for each the difference to the lowest bin
//!             with values, or to the one before, and how many there are
//! kind 10     as kind 9, of a sum that is no multiple of 2⁻⁶⁴: it is written as
//!             [`ExactSum::encode`] does
//! ```
//! An f64 is 8 bytes, least significant first; other numbers are 7-bit groups
//! ([`crate::codec::put_u64`]).

use super::head::Head;
use super::side::Side;
use super::storage::{Dense, Storage, View, ViewMut};
use super::{Bin, Kept, MOST_FEW, Quantile, Sample};
use crate::codec::{COUNT_LIMIT, DecodeError, Reader, put_f64, put_i64, put_i128, put_u64};
use crate::sum::ExactSum;

/// The first byte where the least number of bins is kept.
const VERSION: u8 = 1;
/// The first byte where it is another.
const VERSION_WITH_KEPT: u8 = 2;
/// The kind that has bins.
const BINNED: u8 = MOST_FEW as u8 + 1;
/// The same, with a sum of more bits.
const BINNED_FINE: u8 = BINNED + 1;

impl Quantile {
    /// Appends the stored form. Equal content gives equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.0.kept() {
            Kept::LEAST => out.push(VERSION),
            kept => out.extend_from_slice(&[VERSION_WITH_KEPT, kept.units()]),
        }
        match self.0.view() {
            View::Few { values, bins } => {
                out.push(values.len() as u8);
                let mut sorted = [(0.0, 0); MOST_FEW];
                let sorted = &mut sorted[..values.len()];
                for (place, (&value, &bin)) in sorted.iter_mut().zip(values.iter().zip(bins)) {
                    *place = (value, bin);
                }
                sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                for &(value, bin) in sorted.iter() {
                    put_f64(out, value);
                    put_u64(out, bin_code(Bin::from_i32(bin).unwrap_or(Bin::ZERO)));
                }
            }
            _ => self.encode_bins(out),
        }
    }

    fn encode_bins(&self, out: &mut Vec<u8>) {
        let head = self.head();
        let former = head.sum.former();
        out.push(if former.is_some() { BINNED } else { BINNED_FINE });
        put_f64(out, head.min);
        put_f64(out, head.max);
        match former {
            Some((sum, carry)) => {
                put_i128(out, sum);
                put_i64(out, carry);
            }
            None => head.sum.encode(out),
        }
        let mut bins: Vec<(Bin, u64)> = Vec::new();
        self.each(|bin, count| bins.push((bin, count)));
        let zero = bins.partition_point(|&(bin, _)| bin < Bin::ZERO);
        let above = bins.partition_point(|&(bin, _)| bin <= Bin::ZERO);
        put_u64(out, bins[zero..above].first().map_or(0, |&(_, count)| count));
        let folded = match self.0.view() {
            View::Dense(dense) => {
                [dense.negative.as_ref().map_or(&[][..], |n| n.folded()), dense.positive.folded()]
            }
            _ => [&[][..]; 2],
        };
        bins[..zero].reverse();
        for (bins, folded) in [&bins[..zero], &bins[above..]].into_iter().zip(folded) {
            put_u64(out, bins.len() as u64);
            let mut before = None;
            for &(bin, count) in bins {
                match before {
                    None => put_i64(out, i64::from(bin.index())),
                    Some(before) => put_u64(out, (bin.index() - before) as u64),
                }
                put_u64(out, count);
                before = Some(bin.index());
            }
            if let Some(&(lowest, _)) = bins.first() {
                put_folded(self.0.kept(), lowest.index(), folded, out);
            }
        }
    }

    /// Reads a stored form, which must be all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not what [`Quantile::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        let kept = match version {
            VERSION => Kept::LEAST,
            VERSION_WITH_KEPT => {
                let kept = Kept::from_units(reader.u8()?).filter(|&kept| kept != Kept::LEAST);
                kept.ok_or(DecodeError::Invalid("so many bins are never kept"))?
            }
            other => return Err(DecodeError::Version(other)),
        };
        let quantile = match reader.u8()? {
            kind @ (BINNED | BINNED_FINE) => decode_bins(&mut reader, kept, kind == BINNED_FINE)?,
            few if usize::from(few) <= MOST_FEW => decode_few(&mut reader, few, kept)?,
            _ => return Err(DecodeError::Invalid("the kind of distribution is unknown")),
        };
        reader.finish()?;
        Ok(quantile)
    }

    /// Counts the values of a stored form as well.
    ///
    /// # Errors
    /// Where the bytes are not what [`Quantile::encode`] writes; nothing is then changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.merge(&Self::decode(bytes)?);
        Ok(())
    }
}

/// The bin of a value whose sign is known, as a number.
fn bin_code(bin: Bin) -> u64 {
    let index = bin.index();
    if bin == Bin::ZERO { 0 } else { 1 + u64::from(((index << 1) ^ (index >> 31)) as u32) }
}

/// An index that a bin can have.
fn index(number: i64) -> Result<i32, DecodeError> {
    let index = i32::try_from(number).ok().filter(|index| index.abs() < Bin::INDEX_LIMIT);
    index.ok_or(DecodeError::Invalid("a bin is out of range"))
}

fn decode_few(reader: &mut Reader<'_>, few: u8, kept: Kept) -> Result<Quantile, DecodeError> {
    let mut quantile = Quantile::new(kept);
    let mut before = None;
    for _ in 0..few {
        let value = reader.f64()?;
        let bin = match reader.u64()? {
            0 => Bin::ZERO,
            code => {
                let zigzag = code - 1;
                let number = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                Bin::new(value < 0.0, index(number)?)
            }
        };
        let sample = Sample::with_bin(value, bin);
        let negative_zero = value == 0.0 && value.is_sign_negative();
        let Some(sample) = sample.filter(|_| !negative_zero) else {
            return Err(DecodeError::Invalid("a value cannot be one of a few"));
        };
        let ascending = before.is_none_or(|(least, bin_before)| {
            least < value || (least == value && bin_before <= bin)
        });
        if !ascending {
            return Err(DecodeError::Invalid("values are not ascending"));
        }
        before = Some((value, bin));
        quantile.insert(sample);
    }
    Ok(quantile)
}

fn decode_bins(reader: &mut Reader<'_>, kept: Kept, fine: bool) -> Result<Quantile, DecodeError> {
    let (min, max) = (reader.f64()?, reader.f64()?);
    let is_zero = |value: f64| value == 0.0 && value.is_sign_negative();
    if !(min.is_finite() && max.is_finite() && min <= max) || is_zero(min) || is_zero(max) {
        return Err(DecodeError::Invalid("min and max are not finite and in order"));
    }
    let sum = if fine {
        Some(ExactSum::decode(reader)?).filter(|sum| sum.former().is_none())
    } else {
        ExactSum::from_former(reader.i128()?, reader.i64()?)
    };
    let sum = sum.ok_or(DecodeError::Invalid("the sum is impossible"))?;
    let mut quantile = Quantile(Storage::dense(kept, Head { count: 0, min, max, sum }));
    let ViewMut::Dense(dense) = quantile.0.view_mut() else { unreachable!("it was made dense") };
    dense.zero = reader.u64()?;
    dense.head.count = dense.zero;
    for negative in [true, false] {
        decode_side(reader, dense, negative, kept)?;
    }
    if dense.head.count >= COUNT_LIMIT {
        return Err(DecodeError::Invalid("the count is impossible"));
    }
    if dense.head.count == 0 {
        return Err(DecodeError::Invalid("there are bins for no values"));
    }
    if dense.fits_sparse() {
        quantile.shorten();
    }
    Ok(quantile)
}

/// Reads the bins of one sign.
fn decode_side(
    reader: &mut Reader<'_>,
    dense: &mut Dense,
    negative: bool,
    kept: Kept,
) -> Result<(), DecodeError> {
    let bins = reader.u64()?;
    let furthest = kept.bins() as u64 - 1;
    if bins > furthest + 1 {
        return Err(DecodeError::Invalid("there are more bins than are kept"));
    }
    // Collected first: bins that are too far apart must be refused, not folded.
    let mut read = Vec::with_capacity(bins as usize);
    for _ in 0..bins {
        let next = match read.last() {
            None => index(reader.i64()?)?,
            Some(&(before, _)) => match reader.u64()? {
                step if (1..=furthest).contains(&step) => index(i64::from(before) + step as i64)?,
                _ => return Err(DecodeError::Invalid("bins are not ascending and near")),
            },
        };
        let count = reader.u64()?;
        let total = dense.head.count.checked_add(count).filter(|_| count > 0);
        dense.head.count = total.ok_or(DecodeError::Invalid("the count of a bin is impossible"))?;
        read.push((next, count));
    }
    let (Some(&(lowest, _)), Some(&(highest, _))) = (read.first(), read.last()) else {
        return Ok(());
    };
    if (highest - lowest) as u64 > furthest {
        return Err(DecodeError::Invalid("bins are too far apart"));
    }
    let side = dense.side_mut(negative);
    for &(index, count) in read.iter().rev() {
        side.add(index, count);
    }
    decode_folded(reader, side, lowest, kept)
}

/// Appends where values were folded, and how many. Where the least number of bins is kept, that
/// can only be the lowest of them.
fn put_folded(kept: Kept, lowest: i32, folded: &[(i32, u64)], out: &mut Vec<u8>) {
    if kept == Kept::LEAST {
        return put_u64(out, folded.first().map_or(0, |&(_, count)| count));
    }
    put_u64(out, folded.len() as u64);
    let mut before = lowest;
    for &(index, count) in folded {
        put_u64(out, (index - before) as u64);
        put_u64(out, count);
        before = index;
    }
}

/// Reads what [`put_folded`] wrote.
fn decode_folded(
    reader: &mut Reader<'_>,
    side: &mut Side,
    lowest: i32,
    kept: Kept,
) -> Result<(), DecodeError> {
    let lowest_kept = side.lowest();
    let mut take = |index: i32, count: u64, ascending: bool| {
        let possible = ascending && count > 0 && side.set_folded(index, count);
        possible.then_some(()).ok_or(DecodeError::Invalid("so many values cannot be folded there"))
    };
    if kept == Kept::LEAST {
        return match reader.u64()? {
            0 => Ok(()),
            count => take(lowest_kept, count, true),
        };
    }
    let mut index = lowest;
    for at in 0..reader.u64()? {
        let step = reader.u64()?;
        let near = i32::try_from(step).ok().filter(|&step| step < kept.bins());
        index += near.ok_or(DecodeError::Invalid("bins are too far apart"))?;
        take(index, reader.u64()?, at == 0 || step > 0)?;
    }
    Ok(())
}

impl Quantile {
    /// Gives dense bins that came from bytes the shorter form, if sparse is shorter.
    pub(super) fn shorten(&mut self) {
        let mut bins = Vec::new();
        self.each(|bin, _| bins.push(bin.to_i32()));
        let Some(&last) = bins.last() else { return };
        let span = || super::span(&bins, Bin::from_i32(last).unwrap_or(Bin::ZERO));
        let room = |head| Storage::sparse_for(self.0.kept(), head, bins.len(), span);
        if let Some(room) = self.head().plain().and_then(room) {
            self.move_bins(room);
        }
    }
}
