//! The state of one aggregate: what is kept of many events, and how two are united.
//!
//! Every union is associative and commutative, so that the order of events, the number of
//! shards and the moments of checkpoints leave no trace (but in [`State::Top`]).

use sketches::codec::{DecodeError, Reader, put_bytes, put_i64, put_i128};
use sketches::quantile::Quantile;
use sketches::sum::ExactSum;
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::{Estimate, Unique};

/// A sum that has left 128 bits. Once there, it stays there. Of ints that takes 2^63 events, and
/// that of floats has more bits, but was stored with so many in former times.
pub const OVERFLOWED: i128 = i128::MIN;

/// A value of a field, in a form whose order is that of the values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// An int, a scaled decimal, a bool as 0 or 1, a float by [`word_of_float`].
    Word(i64),
    /// UTF-8.
    Text(Box<[u8]>),
}

/// The bits of a float, turned so that integers order as the floats do.
#[inline]
pub fn word_of_float(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// The float of [`word_of_float`].
#[inline]
pub fn float_of_word(word: i64) -> f64 {
    f64::from_bits((word ^ ((word >> 63) as u64 >> 1) as i64) as u64)
}

/// Adds to a sum; past 128 bits it becomes [`OVERFLOWED`].
#[inline]
pub fn add(sum: i128, value: i128) -> i128 {
    if sum == OVERFLOWED || value == OVERFLOWED {
        return OVERFLOWED;
    }
    sum.checked_add(value).unwrap_or(OVERFLOWED)
}

/// One aggregate's state.
#[derive(Clone)]
pub enum State {
    /// Number of events.
    Count(i64),
    /// Sum of ints, or of decimals in units of their scale.
    Sum(i128),
    /// Sum of floats.
    FloatSum(ExactSum),
    /// The smallest value.
    Min(Scalar),
    /// The greatest value.
    Max(Scalar),
    /// Event time in microseconds and value of the newest event; of the same time, the
    /// greater value.
    Last(i64, Scalar),
    /// Distinct values.
    Unique(Unique),
    /// A set of distinct values.
    Theta(Theta),
    /// The most frequent values: the one state that depends on order, once there were more
    /// different values than it keeps.
    Top(Box<Top>),
    /// Quantiles.
    Quantile(Quantile),
}

const COUNT: u8 = 1;
const SUM: u8 = 2;
const FIXED_SUM: u8 = 3;
const MIN: u8 = 4;
const MAX: u8 = 5;
const LAST: u8 = 6;
const UNIQUE: u8 = 7;
const QUANTILE: u8 = 8;
const THETA: u8 = 9;
const TOP: u8 = 10;
/// A sum of floats that [`FIXED_SUM`] cannot tell.
const FLOAT_SUM: u8 = 11;

const WORD: u8 = 0;
const TEXT: u8 = 1;

impl State {
    /// Unites with a state of the same kind.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] where the kinds differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => *a = a.saturating_add(*b),
            (Self::Sum(a), Self::Sum(b)) => *a = add(*a, *b),
            (Self::FloatSum(a), Self::FloatSum(b)) => a.merge(b),
            (Self::Min(a), Self::Min(b)) => {
                if b < a {
                    *a = b.clone();
                }
            }
            (Self::Max(a), Self::Max(b)) => {
                if b > a {
                    *a = b.clone();
                }
            }
            (Self::Last(time, value), Self::Last(other_time, other)) => {
                if (*other_time, other) > (*time, value) {
                    (*time, *value) = (*other_time, other.clone());
                }
            }
            (Self::Unique(a), Self::Unique(b)) if a.family() == b.family() => a.merge(b),
            (Self::Theta(a), Self::Theta(b)) => a.merge(b),
            (Self::Top(a), Self::Top(b)) => a.merge(b),
            (Self::Quantile(a), Self::Quantile(b)) => a.merge(b),
            _ => return Err(DecodeError::Invalid("an unknown or unexpected kind of state")),
        }
        Ok(())
    }

    /// How many distinct values there are; none where that is not what it counts.
    pub fn distinct(&self) -> Option<Estimate> {
        match self {
            Self::Unique(unique) => Some(unique.estimate()),
            Self::Theta(theta) => Some(theta.estimate()),
            _ => None,
        }
    }

    /// How many values of a distribution were folded: counted as further from zero than they are.
    pub fn folded(&self) -> u64 {
        match self {
            Self::Quantile(quantile) => quantile.folded(),
            _ => 0,
        }
    }

    /// Appends the stored form, its kind first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Count(count) => encode_count(*count, out),
            Self::Sum(sum) => encode_sum(*sum, out),
            Self::FloatSum(sum) => encode_float_sum(sum, out),
            Self::Min(value) => encode_min(value.as_ref(), out),
            Self::Max(value) => encode_max(value.as_ref(), out),
            Self::Last(time, value) => encode_last(*time, value.as_ref(), out),
            Self::Unique(unique) => encode_unique(unique, out),
            Self::Theta(theta) => encode_theta(theta, out),
            Self::Top(top) => encode_top(top, out),
            Self::Quantile(quantile) => encode_quantile(quantile, out),
        }
    }

    /// Takes a state off stored bytes.
    ///
    /// # Errors
    /// Any bytes are a state or an error.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            COUNT => Self::Count(reader.i64()?),
            SUM => Self::Sum(reader.i128()?),
            FIXED_SUM => Self::FloatSum(decode_fixed_sum(reader)?),
            FLOAT_SUM => Self::FloatSum(decode_float_sum(reader)?),
            MIN => Self::Min(decode_scalar(reader)?),
            MAX => Self::Max(decode_scalar(reader)?),
            LAST => Self::Last(reader.i64()?, decode_scalar(reader)?),
            UNIQUE => Self::Unique(Unique::decode(reader.bytes()?)?),
            THETA => Self::Theta(Theta::decode(reader.bytes()?)?),
            TOP => Self::Top(Box::new(Top::decode(reader.bytes()?)?)),
            QUANTILE => Self::Quantile(Quantile::decode(reader.bytes()?)?),
            _ => return Err(DecodeError::Invalid("an unknown or unexpected kind of state")),
        })
    }
}

/// A scalar that is only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScalarRef<'a> {
    /// See [`Scalar::Word`].
    Word(i64),
    /// See [`Scalar::Text`].
    Text(&'a [u8]),
}

impl Scalar {
    /// Looks at it.
    pub fn as_ref(&self) -> ScalarRef<'_> {
        match self {
            Self::Word(word) => ScalarRef::Word(*word),
            Self::Text(text) => ScalarRef::Text(text),
        }
    }
}

impl ScalarRef<'_> {
    /// Keeps it.
    pub fn to_owned(self) -> Scalar {
        match self {
            Self::Word(word) => Scalar::Word(word),
            Self::Text(text) => Scalar::Text(text.into()),
        }
    }
}

/// Stored form of a count.
pub fn encode_count(count: i64, out: &mut Vec<u8>) {
    out.push(COUNT);
    put_i64(out, count);
}

/// Stored form of a sum.
pub fn encode_sum(sum: i128, out: &mut Vec<u8>) {
    out.push(SUM);
    put_i128(out, sum);
}

/// Stored form of a sum of floats: in units of 2^-64 where that is exact and fits.
pub fn encode_float_sum(sum: &ExactSum, out: &mut Vec<u8>) {
    if sum.get().is_none() {
        out.push(FIXED_SUM);
        return put_i128(out, OVERFLOWED);
    }
    match sum.to_units_of_64() {
        Some(fixed) if fixed != OVERFLOWED => {
            out.push(FIXED_SUM);
            put_i128(out, fixed);
        }
        _ => {
            out.push(FLOAT_SUM);
            sum.encode(out);
        }
    }
}

fn decode_fixed_sum(reader: &mut Reader<'_>) -> Result<ExactSum, DecodeError> {
    Ok(match reader.i128()? {
        OVERFLOWED => ExactSum::OVERFLOWED,
        fixed => ExactSum::of_units_of_64(fixed),
    })
}

fn decode_float_sum(reader: &mut Reader<'_>) -> Result<ExactSum, DecodeError> {
    let sum = ExactSum::decode(reader)?;
    let fixed = sum.to_units_of_64().filter(|&fixed| fixed != OVERFLOWED);
    if fixed.is_some() {
        return Err(DecodeError::Invalid("a sum has two spellings"));
    }
    Ok(sum)
}

/// Stored form of a minimum.
pub fn encode_min(value: ScalarRef<'_>, out: &mut Vec<u8>) {
    out.push(MIN);
    encode_scalar(value, out);
}

/// Stored form of a maximum.
pub fn encode_max(value: ScalarRef<'_>, out: &mut Vec<u8>) {
    out.push(MAX);
    encode_scalar(value, out);
}

/// Stored form of a newest value.
pub fn encode_last(time_us: i64, value: ScalarRef<'_>, out: &mut Vec<u8>) {
    out.push(LAST);
    put_i64(out, time_us);
    encode_scalar(value, out);
}

/// Stored form of a unique count.
pub fn encode_unique(unique: &Unique, out: &mut Vec<u8>) {
    out.push(UNIQUE);
    with_length(out, |out| unique.encode(out));
}

/// Stored form of a set.
pub fn encode_theta(theta: &Theta, out: &mut Vec<u8>) {
    out.push(THETA);
    with_length(out, |out| theta.encode(out));
}

/// Stored form of the most frequent values.
pub fn encode_top(top: &Top, out: &mut Vec<u8>) {
    out.push(TOP);
    with_length(out, |out| top.encode(out));
}

/// Stored form of quantiles.
pub fn encode_quantile(quantile: &Quantile, out: &mut Vec<u8>) {
    out.push(QUANTILE);
    with_length(out, |out| quantile.encode(out));
}

/// Writes bytes behind their length, without a copy of long ones on the side.
fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let mut length = Vec::with_capacity(10);
    sketches::codec::put_u64(&mut length, (out.len() - start) as u64);
    out.splice(start..start, length);
}

fn encode_scalar(value: ScalarRef<'_>, out: &mut Vec<u8>) {
    match value {
        ScalarRef::Word(word) => {
            out.push(WORD);
            put_i64(out, word);
        }
        ScalarRef::Text(text) => {
            out.push(TEXT);
            put_bytes(out, text);
        }
    }
}

fn decode_scalar(reader: &mut Reader<'_>) -> Result<Scalar, DecodeError> {
    match reader.u8()? {
        WORD => Ok(Scalar::Word(reader.i64()?)),
        TEXT => Ok(Scalar::Text(reader.bytes()?.into())),
        _ => Err(DecodeError::Invalid("an unknown or unexpected kind of state")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_order_as_floats_do() {
        let floats = [-1e12, -1.5, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 2.0, 1e12];
        for pair in floats.windows(2) {
            assert!(word_of_float(pair[0]) < word_of_float(pair[1]), "{pair:?}");
        }
        floats.iter().for_each(|&f| assert_eq!(float_of_word(word_of_float(f)), f));
    }

    #[test]
    fn sums_of_floats_are_stored_as_ever_and_beyond() {
        let stored = |sum: &ExactSum| {
            let mut out = Vec::new();
            encode_float_sum(sum, &mut out);
            let State::FloatSum(read) = State::decode(&mut Reader::new(&out)).unwrap() else {
                panic!("no sum")
            };
            assert_eq!(read, *sum);
            out
        };
        // 1.5 and -3 as they were always stored; an overflow that was.
        let mut expected = vec![FIXED_SUM];
        put_i128(&mut expected, 3 << 63);
        assert_eq!(stored(&ExactSum::of_units_of_64(3 << 63)), expected);
        let mut expected = vec![FIXED_SUM];
        put_i128(&mut expected, OVERFLOWED);
        assert_eq!(stored(&ExactSum::OVERFLOWED), expected);
        let mut small = ExactSum::ZERO;
        small.insert(1e-18);
        assert_eq!(stored(&small)[0], FLOAT_SUM);
        // -2^63 is no overflow.
        let half = ExactSum::of_units_of_64(i128::MIN / 2);
        let mut whole = half.clone();
        whole.merge(&half);
        assert_eq!((stored(&whole)[0], whole.get()), (FLOAT_SUM, Some(-(2f64.powi(63)))));
        let mut twice = vec![FLOAT_SUM];
        half.encode(&mut twice);
        assert!(State::decode(&mut Reader::new(&twice)).is_err(), "two spellings");
    }

    #[test]
    fn an_overflow_is_never_forgotten() {
        let overflowed = add(i128::MAX, 1);
        assert_eq!(overflowed, OVERFLOWED);
        assert_eq!(add(overflowed, i128::MAX), OVERFLOWED);
    }
}
