//! Sums of floats, exact over the whole range of doubles, so that they do not depend on the
//! order in which values were added: 192 bits in units of 2⁻⁸⁷, two's complement, and beside
//! them, for values so small that they need it, the fraction below, down to 2⁻¹⁰⁷⁴.
//!
//! The 192 bits are the sum rounded down, and the fraction is not negative, so that equal sums
//! have equal parts however they came about. Values are below 2⁴⁰ and there are fewer than 2⁶³,
//! so that nothing overflows. The sum is rounded once, when it is asked for.

use crate::codec::{DecodeError, Reader, put_i64, put_i128, put_u64};

/// The lowest magnitude that is refused: 2⁴⁰.
pub const LIMIT: f64 = (1u64 << 40) as f64;

/// A unit is 2⁻⁸⁷, the smallest of which all values are a multiple that are at least [`PLAIN`].
const UNIT_BITS: u32 = 87;
/// Below this magnitude, a value may have a fraction of a unit.
const PLAIN: f64 = 1.0 / (1u64 << 35) as f64;
/// Sums once had units of 2⁻⁶⁴: so many bits more.
const FORMER_BITS: u32 = UNIT_BITS - 64;
/// Words of a fraction, which reach down to 2⁻¹¹¹¹.
const WORDS: usize = 16;
/// Stored sums whose highest word is not below this would overflow when a few are added.
const HIGH_LIMIT: u64 = 1 << 59;

/// A value in units of 2⁻⁸⁷, rounded down.
///
/// `None` for NaN, the infinities and magnitudes of 2⁴⁰ and above.
#[inline]
pub fn to_fixed(value: f64) -> Option<i128> {
    if !is_possible(value) {
        return None;
    }
    let (whole, shift) = parts(value);
    let (magnitude, lost) = match u32::try_from(shift) {
        Ok(up) => (i128::from(whole) << up, false),
        Err(_) if shift < -63 => (0, whole != 0),
        Err(_) => {
            let down = shift.unsigned_abs();
            (i128::from(whole >> down), whole & ((1 << down) - 1) != 0)
        }
    };
    Some(if value.is_sign_negative() { -magnitude - i128::from(lost) } else { magnitude })
}

/// Whether sums take a value: not NaN, nor an infinity, nor a magnitude of 2⁴⁰ and above.
#[inline]
pub fn is_possible(value: f64) -> bool {
    value.abs() < LIMIT
}

/// A value of which [`has_fraction`] says no, in units of 2⁻⁸⁷.
#[inline]
pub(crate) fn whole_units(value: f64) -> i128 {
    debug_assert!(is_possible(value) && !has_fraction(value));
    let bits = value.to_bits();
    // Of zero, the only one without an exponent, no bit is left after the shift.
    let (mantissa, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as u32);
    let implied = u64::from(exponent != 0) << 52;
    let shift = exponent.wrapping_sub(1075 - UNIT_BITS) & 127;
    let magnitude = i128::from(mantissa | implied) << shift;
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// Whether [`to_fixed`] may lose a fraction of a value.
#[inline]
pub fn has_fraction(value: f64) -> bool {
    // The bits without the sign order as magnitudes do, and less one, zero is above all.
    (value.to_bits() << 1).wrapping_sub(1) < (PLAIN.to_bits() << 1) - 1
}

/// `whole` and `shift` so that the magnitude is whole · 2^shift units.
#[inline]
fn parts(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    let unit = UNIT_BITS as i32;
    match (bits >> 52 & 0x7ff) as i32 {
        0 => (mantissa, -1074 + unit),
        exponent => (mantissa | 1 << 52, exponent - 1075 + unit),
    }
}

/// The part of a sum below a unit, seldom any: least significant word first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fraction(Option<Box<[u64; WORDS]>>);

/// The whole units of a sum: least significant word first, two's complement.
pub type Units = [u64; 3];

/// What stands for the units of a sum of former times that had left 128 bits.
const OVERFLOWED: Units = [0, 0, 1 << 63];

/// Whether a sum of former times had left 128 bits: it is not known any more.
#[inline]
pub fn is_overflowed(units: &Units) -> bool {
    units[2] == OVERFLOWED[2]
}

/// Adds whole units.
#[inline]
pub fn add_fixed(units: &mut Units, fixed: i128) {
    add(units, &[fixed as u64, (fixed >> 64) as u64, (fixed >> 127) as u64]);
}

/// Adds whole units of another sum.
#[inline]
pub fn add_units(units: &mut Units, other: &Units) {
    add(units, other);
}

/// Adds a number to one of as many words, gives the carry.
#[inline]
fn add<const N: usize>(words: &mut [u64; N], other: &[u64; N]) -> bool {
    let mut carry = false;
    for (mine, theirs) in words.iter_mut().zip(other) {
        (*mine, carry) = mine.carrying_add(*theirs, carry);
    }
    carry
}

impl Fraction {
    /// None.
    pub const NONE: Self = Self(None);

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |words| size_of_val(&**words))
    }

    /// Adds what [`to_fixed`] loses of a value, and what that carries to `units`.
    #[cold]
    pub fn add_value(&mut self, units: &mut Units, value: f64) {
        let (whole, shift) = parts(value);
        if shift >= 0 {
            return;
        }
        let down = shift.unsigned_abs();
        let lost = if down < 64 { whole & ((1 << down) - 1) } else { whole };
        let place = WORDS * 64 - down as usize;
        let shifted = u128::from(lost) << (place % 64);
        let mut words = [0; WORDS];
        words[place / 64] = shifted as u64;
        // Where there is no such word, the bits for it are zero.
        if let Some(next) = words.get_mut(place / 64 + 1) {
            *next = (shifted >> 64) as u64;
        }
        if value.is_sign_negative() {
            negate(&mut words);
        }
        self.add_words(units, &words);
    }

    fn add_words(&mut self, units: &mut Units, words: &[u64; WORDS]) {
        let mine = self.0.get_or_insert_with(|| Box::new([0; WORDS]));
        if add(mine, words) {
            add_fixed(units, 1);
        }
        if **mine == [0; WORDS] {
            self.0 = None;
        }
    }
}

/// The negative of a number in two's complement.
fn negate(words: &mut [u64]) {
    let mut carry = true;
    for word in words {
        (*word, carry) = (!*word).overflowing_add(u64::from(carry));
    }
}

/// The sum of floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExactSum {
    units: Units,
    fraction: Fraction,
}

impl ExactSum {
    /// Nothing was added.
    pub const ZERO: Self = Self { units: [0; 3], fraction: Fraction::NONE };
    /// A sum of former times that had left 128 bits; so is any that it is added to.
    pub const OVERFLOWED: Self = Self { units: OVERFLOWED, fraction: Fraction::NONE };

    /// A sum of its parts.
    pub fn from_parts(units: Units, fraction: Fraction) -> Self {
        Self { units, fraction }
    }

    /// A sum of whole units.
    pub(crate) fn from_units(units: Units) -> Self {
        Self { units, fraction: Fraction::NONE }
    }

    /// The units, if there is no fraction of one.
    pub(crate) fn whole_units(&self) -> Option<Units> {
        self.fraction.0.is_none().then_some(self.units)
    }

    /// Its parts.
    pub fn into_parts(self) -> (Units, Fraction) {
        (self.units, self.fraction)
    }

    /// A sum in units of 2⁻⁶⁴ and what is to be added in units of 2¹²⁸ of these, as sums were
    /// stored in former times; none where no values could have it.
    pub(crate) fn from_former(fixed: i128, carry: i64) -> Option<Self> {
        let low = fixed as u128;
        let high = carry.checked_sub(i64::from(fixed < 0))?;
        let words = [low as u64, (low >> 64) as u64, high as u64];
        let [low, middle, high] = words;
        let up = |word: u64, below: u64| word << FORMER_BITS | below >> (64 - FORMER_BITS);
        let units = [low << FORMER_BITS, up(middle, low), up(high, middle)];
        let same = (units[2] as i64) >> FORMER_BITS == high as i64;
        Some(Self { units, fraction: Fraction::NONE }).filter(|sum| same && sum.is_possible())
    }

    /// The inverse of [`ExactSum::from_former`]; none where the sum is no multiple of 2⁻⁶⁴.
    pub(crate) fn former(&self) -> Option<(i128, i64)> {
        let [low, middle, high] = self.units;
        if self.fraction.0.is_some() || low & ((1 << FORMER_BITS) - 1) != 0 {
            return None;
        }
        let down = |word: u64, above: u64| word >> FORMER_BITS | above << (64 - FORMER_BITS);
        let (low, middle) = (down(low, middle), down(middle, high));
        let high = (high as i64) >> FORMER_BITS;
        let fixed = (u128::from(middle) << 64 | u128::from(low)) as i128;
        Some((fixed, high + i64::from(fixed < 0)))
    }

    /// A sum in units of 2⁻⁶⁴.
    pub fn of_units_of_64(fixed: i128) -> Self {
        Self::from_former(fixed, 0).unwrap_or(Self::ZERO)
    }

    /// The sum in units of 2⁻⁶⁴, where it is a multiple of them and fits.
    pub fn to_units_of_64(&self) -> Option<i128> {
        let (fixed, carry) = self.former()?;
        (carry == 0).then_some(fixed)
    }

    /// Whether so few values as there can be have such a sum.
    fn is_possible(&self) -> bool {
        let high = self.units[2] as i64;
        high.unsigned_abs() < HIGH_LIMIT
    }

    /// Adds a value.
    ///
    /// # Panics
    /// Where it is none that [`is_possible`].
    #[inline]
    pub fn insert(&mut self, value: f64) {
        add_fixed(&mut self.units, to_fixed(value).expect("a value that sums take"));
        if has_fraction(value) {
            self.fraction.add_value(&mut self.units, value);
        }
    }

    /// Adds whole units.
    #[inline]
    pub(crate) fn insert_units(&mut self, units: &Units) {
        add(&mut self.units, units);
    }

    /// Adds a sum.
    pub fn merge(&mut self, other: &Self) {
        if is_overflowed(&self.units) || is_overflowed(&other.units) {
            *self = Self::OVERFLOWED;
            return;
        }
        add(&mut self.units, &other.units);
        if let Some(words) = &other.fraction.0 {
            self.fraction.add_words(&mut self.units, words);
        }
    }

    /// The nearest `f64`, ties to even; none of a sum that had left 128 bits.
    pub fn get(&self) -> Option<f64> {
        /// All words, the fraction's below the units'.
        const ALL: usize = WORDS + 3;
        /// What the lowest bit stands for is 2^−LOWEST.
        const LOWEST: i32 = UNIT_BITS as i32 + 64 * WORDS as i32;
        if is_overflowed(&self.units) {
            return None;
        }
        let mut words = [0; ALL];
        if let Some(fraction) = &self.fraction.0 {
            words[..WORDS].copy_from_slice(&**fraction);
        }
        words[WORDS..].copy_from_slice(&self.units);
        let negative = (self.units[2] as i64) < 0;
        if negative {
            negate(&mut words);
        }
        let Some(top) = words.iter().rposition(|&word| word != 0) else { return Some(0.0) };
        let highest = 64 * top as i32 + 63 - words[top].leading_zeros() as i32;
        // 53 bits, or those down to the least f64; below that there are none.
        let lowest = (highest - 52).max(LOWEST - 1074);
        let bit = |at: i32| words[at as usize / 64] >> (at % 64) & 1;
        let kept = (lowest..=highest).rev().fold(0, |kept, at| kept << 1 | bit(at));
        let half = bit(lowest - 1) == 1;
        let (word, rest) = ((lowest - 1) as usize / 64, (lowest - 1) % 64);
        let below = words[word] & ((1 << rest) - 1) != 0 || words[..word].iter().any(|&w| w != 0);
        let rounded = kept + u64::from(half && (below || kept & 1 == 1));
        let magnitude = rounded as f64 * power_of_two(lowest - LOWEST);
        Some(if negative { -magnitude } else { magnitude })
    }

    /// Appends the stored form: the units as a zigzag of 128 bits and what to add to it in units
    /// of 2¹²⁸, zigzag; then how many words of the fraction there are up to the last that is not
    /// zero, and these, from the most significant down, each 8 bytes, least significant first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let [low, middle, high] = self.units;
        let fixed = (u128::from(middle) << 64 | u128::from(low)) as i128;
        put_i128(out, fixed);
        put_i64(out, (high as i64).wrapping_add(i64::from(fixed < 0)));
        let words = self.fraction.0.as_ref().map_or(&[][..], |words| &words[..]);
        let used = &words[words.iter().position(|&word| word != 0).unwrap_or(words.len())..];
        put_u64(out, used.len() as u64);
        used.iter().rev().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    /// Takes a sum off stored bytes.
    ///
    /// # Errors
    /// Where they are not what [`ExactSum::encode`] writes of a sum of values.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const IMPOSSIBLE: DecodeError = DecodeError::Invalid("the sum is impossible");
        let (fixed, carry) = (reader.i128()?, reader.i64()?);
        let high = carry.checked_sub(i64::from(fixed < 0)).ok_or(IMPOSSIBLE)?;
        let units = [fixed as u64, (fixed >> 64) as u64, high as u64];
        let used = usize::try_from(reader.u64()?).ok().filter(|&used| used <= WORDS);
        let used = used.ok_or(IMPOSSIBLE)?;
        let mut sum = Self { units, fraction: Fraction::NONE };
        if used > 0 {
            let mut words = Box::new([0; WORDS]);
            for word in words.iter_mut().rev().take(used) {
                *word = u64::from_le_bytes(reader.array()?);
            }
            // The last one is not zero, and no float has a bit below 2⁻¹⁰⁷⁴.
            let below = words[0] & ((1 << (64 * WORDS as u32 + UNIT_BITS - 1074)) - 1);
            if words[WORDS - used] == 0 || below != 0 {
                return Err(IMPOSSIBLE);
            }
            sum.fraction = Fraction(Some(words));
        }
        if sum.is_possible() { Ok(sum) } else { Err(IMPOSSIBLE) }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.fraction.heap_bytes()
    }
}

/// 2^`exponent`, from −1074 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(match exponent {
        ..-1022 => 1 << (exponent + 1074),
        _ => ((exponent + 1023) as u64) << 52,
    })
}

#[cfg(test)]
mod tests;
