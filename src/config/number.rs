//! Number literals of SQL with all their digits: what a comparison with them decides must not
//! depend on how they are written, nor on what a float can hold.

use std::cmp::Ordering;

/// `digits` × 10^`exponent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    /// Zero is positive.
    negative: bool,
    /// From 0 to 9, with no zero first or last; none for zero.
    digits: Vec<u8>,
    exponent: i64,
}

/// The digits that all 64-bit integers have room in.
const INT_DIGITS: i64 = 19;

impl Number {
    /// Reads `1`, `.5`, `1_000.`, `2.5e-3`.
    pub fn read(text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(|c| *c != '_').collect();
        let (number, power) = plain.split_once(['e', 'E']).unwrap_or((&plain, "0"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let power_digits = power.strip_prefix(['-', '+']).unwrap_or(power);
        let is_number = ![whole, fraction].concat().is_empty() && !power_digits.is_empty();
        if !is_number || ![whole, fraction, power_digits].into_iter().all(is_digits) {
            return None;
        }
        // An exponent of 64 bits and more decides as one that is a little smaller.
        const MOST: i64 = i64::MAX / 4;
        let power = power.parse().unwrap_or(if power.starts_with('-') { -MOST } else { MOST });
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        let end = digits.iter().rposition(|d| *d != 0).map_or(0, |at| at + 1);
        let zeros = digits.len() - end;
        digits.truncate(end);
        digits.drain(..digits.iter().position(|d| *d != 0).unwrap_or(end));
        let exponent = power.clamp(-MOST, MOST) - fraction.len() as i64 + zeros as i64;
        Some(Self { negative: false, exponent: if end == 0 { 0 } else { exponent }, digits })
    }

    /// The number with the other sign.
    pub fn negated(self) -> Self {
        Self { negative: !self.negative && !self.digits.is_empty(), ..self }
    }

    /// Twice the number × 10^`scale`; where that is between two even numbers, the odd one
    /// between them. So it compares with twice an integer as the number does with the integer,
    /// for all integers of 64 bits; beyond these it is just beyond.
    pub fn doubled(&self, scale: u8) -> i128 {
        let shift = self.exponent + i64::from(scale);
        let whole = self.digits.len() as i64 + shift;
        let size = if whole > INT_DIGITS {
            2 * 10i128.pow(INT_DIGITS as u32)
        } else {
            let digits = self.digits.iter().copied().chain(std::iter::repeat(0));
            let floor = digits.take(whole.max(0) as usize).fold(0, |n, d| n * 10 + i128::from(d));
            // The last digit is not zero, so that something is behind the point if it is.
            2 * floor + i128::from(shift < 0)
        };
        if self.negative { -size } else { size }
    }

    /// The number × 10^`scale`, where it is an integer of 64 bits.
    pub fn scaled(&self, scale: u8) -> Option<i64> {
        let doubled = self.doubled(scale);
        (doubled % 2 == 0).then(|| i64::try_from(doubled / 2).ok()).flatten()
    }

    /// The nearest float.
    pub fn to_f64(&self) -> f64 {
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let size: f64 = format!("0{digits}e{}", self.exponent).parse().unwrap_or(f64::INFINITY);
        if self.negative { -size } else { size }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |n: &Self| match (n.digits.is_empty(), n.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let whole = |n: &Self| n.digits.len() as i64 + n.exponent;
        let sizes = whole(self).cmp(&whole(other)).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then(if self.negative { sizes.reverse() } else { sizes })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        match text.strip_prefix('-') {
            Some(size) => Number::read(size).unwrap().negated(),
            None => Number::read(text).unwrap(),
        }
    }

    #[test]
    fn numbers_are_what_they_are_however_they_are_written() {
        for (a, b) in [
            ("1e18", "1000000000000000000"),
            ("0000001000000000000000000001", "1000000000000000000001"),
            ("9223372036854775806e-4", "922337203685477.5806"),
            ("1_000.50", "1000.5"),
            ("5.", ".5e1"),
            ("-0", "0e999999999999999999999"),
            ("1.50E+3", "1500"),
        ] {
            assert_eq!(number(a), number(b), "{a} {b}");
        }
        for text in ["", ".", "e5", "1e", "1e+", "1.2.3", "0x1F", "1 ", "-1", "1e5.0"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
        let rising = ["-1e999999999999999999999", "-1e19", "-1.5", "-1", "-1e-30", "0", "1e-400"];
        for pair in rising.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert!(number("1e-400") < number("9") && number("9") < number("10"));
        assert!(number("1.5") > number("1.4999999999999999999999999999999999999999999"));
    }

    #[test]
    fn doubled_numbers_lie_between_those_of_integers() {
        for (text, scale, doubled) in [
            ("7", 0, 14),
            ("7.5", 0, 15),
            ("7.5", 1, 150),
            ("-7.5", 0, -15),
            ("-0.00000000000000000001", 0, -1),
            ("1e-999999999999999999999", 18, 1),
            ("9223372036854775807.5", 0, 2 * i128::from(i64::MAX) + 1),
            ("-9223372036854775808", 0, 2 * i128::from(i64::MIN)),
            ("-9223372036854775808.1", 0, 2 * i128::from(i64::MIN) - 1),
            ("9999999999999999999.9", 0, 2 * 9_999_999_999_999_999_999 + 1),
            ("1e999999999999999999999", 0, 2 * 10i128.pow(19)),
            ("-1e30", 2, -2 * 10i128.pow(19)),
        ] {
            assert_eq!(number(text).doubled(scale), doubled, "{text}");
        }
        assert_eq!(number("0.10").scaled(1), Some(1));
        assert_eq!(number("0.15").scaled(1), None);
        assert_eq!(number("9223372036854775808").scaled(0), None);
    }

    #[test]
    fn floats_are_the_nearest() {
        for text in ["0.1", "0", "-1.5", "1e400", "1e-400", "123456789012345678.5", "4e-324"] {
            assert_eq!(number(text).to_f64(), text.parse::<f64>().unwrap(), "{text}");
        }
    }
}
