//! Numbers from their text, exactly: ints, decimals of a scale, floats.

use super::refusal::Reason;
use crate::limits;

/// A JSON number as digits: value = `digits` × 10^`exponent`, with `sticky` set where
/// digits other than zero were cut off behind the 38th.
struct Digits {
    negative: bool,
    digits: u128,
    exponent: i64,
    sticky: bool,
}

/// Reads the text of a JSON number (the scanner has checked its grammar).
fn read(text: &[u8]) -> Digits {
    let mut number = Digits { negative: false, digits: 0, exponent: 0, sticky: false };
    let mut after_point = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'-' => number.negative = true,
            b'.' => after_point = true,
            b'0'..=b'9' => {
                let digit = u128::from(byte - b'0');
                if number.digits < 10u128.pow(37) {
                    number.digits = number.digits * 10 + digit;
                    number.exponent -= i64::from(after_point);
                } else {
                    number.sticky |= digit != 0;
                    number.exponent += i64::from(!after_point);
                }
            }
            _ => {
                // The exponent. Beyond what the digits of a message could make up for, its exact
                // value decides nothing any more.
                const MOST: i64 = 1 << 40;
                let exponent = std::str::from_utf8(&text[at + 1..]).unwrap_or("0");
                let written: i64 = exponent.parse().unwrap_or(match exponent.as_bytes().first() {
                    Some(b'-') => -MOST,
                    _ => MOST,
                });
                number.exponent += written.clamp(-MOST, MOST);
                break;
            }
        }
    }
    number
}

/// The text of a number as an integer scaled by 10^`scale`, surplus digits rounded
/// half-even, and whether any were lost.
///
/// # Errors
/// [`Reason::NumberOverflow`] where it does not fit 64 bits.
pub fn decimal(text: &[u8], scale: u8) -> Result<(i64, bool), Reason> {
    match short_decimal(text, scale) {
        Some(value) => Ok((value, false)),
        None => scaled(text, scale, round_half_even),
    }
}

/// The text of a number as an integer scaled by 10^`scale`, surplus digits rounded down, also
/// below zero.
///
/// # Errors
/// [`Reason::NumberOverflow`] where it does not fit 64 bits.
pub fn floor(text: &[u8], scale: u8) -> Result<i64, Reason> {
    match short_decimal(text, scale) {
        Some(value) => Ok(value),
        None => scaled(text, scale, round_down).map(|(value, _)| value),
    }
}

/// `round` gives the size of a number / 10^places, and whether anything was lost.
fn scaled(
    text: &[u8],
    scale: u8,
    round: impl Fn(&Digits, u64) -> (u128, bool),
) -> Result<(i64, bool), Reason> {
    let number = read(text);
    let shift = number.exponent + i64::from(scale);
    let (size, lossy) = if number.digits == 0 {
        (0, number.sticky)
    } else if shift >= 0 {
        let factor = u32::try_from(shift).ok().and_then(|s| 10u128.checked_pow(s));
        let size = factor.and_then(|f| number.digits.checked_mul(f));
        (size.ok_or(Reason::NumberOverflow)?, number.sticky)
    } else {
        round(&number, shift.unsigned_abs())
    };
    let limit = i64::MAX as u128 + u128::from(number.negative);
    if size > limit {
        return Err(Reason::NumberOverflow);
    }
    // The limit makes both conversions exact.
    let value = if number.negative { (-(size as i128)) as i64 } else { size as i64 };
    Ok((value, lossy))
}

/// The common case: no exponent, at most 18 digits, no more decimals than the scale.
#[inline]
fn short_decimal(text: &[u8], scale: u8) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    if digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    let mut point = None;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'.' => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - at - 1);
    let missing = usize::from(scale).checked_sub(decimals)?;
    let value = value.checked_mul(10i64.checked_pow(missing as u32)?)?;
    Some(if negative { -value } else { value })
}

fn round_half_even(number: &Digits, places: u64) -> (u128, bool) {
    let Some(divisor) = power_of_ten(places) else { return (0, true) };
    let (quotient, remainder) = (number.digits / divisor, number.digits % divisor);
    let half = divisor / 2;
    let up = remainder > half || remainder == half && (number.sticky || quotient % 2 == 1);
    (quotient + u128::from(up), number.sticky || remainder != 0)
}

fn round_down(number: &Digits, places: u64) -> (u128, bool) {
    let divisor = power_of_ten(places).unwrap_or(u128::MAX);
    let lossy = number.sticky || !number.digits.is_multiple_of(divisor);
    // Further from zero is further down.
    (number.digits / divisor + u128::from(lossy && number.negative), lossy)
}

fn power_of_ten(exponent: u64) -> Option<u128> {
    u32::try_from(exponent).ok().and_then(|e| 10u128.checked_pow(e))
}

/// The text of a number as an integer: `36`, also `36.0` and `3.6e1`, not `36.5`.
///
/// # Errors
/// [`Reason::WrongType`] where it is not whole, [`Reason::NumberOverflow`] where it does
/// not fit 64 bits.
pub fn int(text: &[u8]) -> Result<i64, Reason> {
    match decimal(text, 0)? {
        (value, false) => Ok(value),
        (_, true) => Err(Reason::WrongType),
    }
}

/// The text of a number as a float.
///
/// # Errors
/// See [`check_float`].
pub fn float(text: &[u8]) -> Result<f64, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::InvalidUtf8)?;
    check_float(text.parse().map_err(|_| Reason::WrongType)?)
}

/// A float as fields hold it: finite, below 2^40 in size, never -0.
///
/// # Errors
/// [`Reason::FloatRange`].
pub fn check_float(value: f64) -> Result<f64, Reason> {
    if value.abs() < limits::FLOAT_LIMIT as f64 { Ok(value + 0.0) } else { Err(Reason::FloatRange) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_even_and_say_what_they_lose() {
        type Outcome = Result<(i64, bool), Reason>;
        let cases: [(&str, u8, Outcome); 20] = [
            ("1.5", 0, Ok((2, true))),
            ("2.5", 0, Ok((2, true))),
            ("2.5000000000000000000000000000000000000000001", 0, Ok((3, true))),
            ("-2.5", 0, Ok((-2, true))),
            ("-0.5", 0, Ok((0, true))),
            ("-0", 2, Ok((0, false))),
            ("0.000001", 6, Ok((1, false))),
            ("0.0000005", 6, Ok((0, true))),
            ("0.0000015", 6, Ok((2, true))),
            ("1e3", 2, Ok((100_000, false))),
            ("1.25e-1", 3, Ok((125, false))),
            ("1e-400000", 3, Ok((0, true))),
            ("0e999999999999", 3, Ok((0, false))),
            ("9223372036854775807", 0, Ok((i64::MAX, false))),
            ("-9223372036854775808", 0, Ok((i64::MIN, false))),
            ("9223372036854775808", 0, Err(Reason::NumberOverflow)),
            ("1e400000", 0, Err(Reason::NumberOverflow)),
            ("10000000000000", 6, Err(Reason::NumberOverflow)),
            ("99999999999999999999999999999999999999999", 0, Err(Reason::NumberOverflow)),
            ("17850.0", 0, Ok((17850, false))),
        ];
        for (text, scale, expected) in cases {
            assert_eq!(decimal(text.as_bytes(), scale), expected, "{text} at scale {scale}");
        }
    }

    #[test]
    fn an_exponent_is_held_against_all_digits() {
        let zeros = "0".repeat(2_000_000);
        assert_eq!(int(format!("0.{zeros}1e2000002").as_bytes()), Ok(10));
        assert_eq!(int(format!("7{zeros}e-2000000").as_bytes()), Ok(7));
        assert_eq!(decimal(format!("7{zeros}e-2000001").as_bytes(), 1), Ok((7, false)));
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, expected) in [
            ("86399.9999999", Ok(86_399_999_999)),
            ("86399.99999999999999999999999999999999999999999999", Ok(86_399_999_999)),
            ("86400.0000009", Ok(86_400_000_000)),
            ("-0.0000001", Ok(-1)),
            ("-0.00000010", Ok(-1)),
            ("-1.0000000", Ok(-1_000_000)),
            ("1e-400000", Ok(0)),
            ("-1e-400000", Ok(-1)),
            ("-0e-400000", Ok(0)),
            ("1.5e3", Ok(1_500_000_000)),
            ("1e400000", Err(Reason::NumberOverflow)),
        ] {
            assert_eq!(floor(text.as_bytes(), 6), expected, "{text}");
        }
    }

    #[test]
    fn ints_are_whole_and_floats_in_range() {
        assert_eq!(int(b"36.0"), Ok(36));
        assert_eq!(int(b"36.5"), Err(Reason::WrongType));
        assert_eq!(float(b"1e400"), Err(Reason::FloatRange));
        assert_eq!(float(b"1099511627776"), Err(Reason::FloatRange));
        assert_eq!(float(b"-0.0").map(f64::to_bits), Ok(0));
        assert_eq!(check_float(f64::NAN), Err(Reason::FloatRange));
    }
}
