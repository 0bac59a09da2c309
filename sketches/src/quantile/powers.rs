//! Powers of γ in 128-bit mantissas, rounded up to `f64`, and logarithms of the same numbers.
//! Integer arithmetic only, so the same everywhere.

/// mantissa · 2^exponent, the highest bit of the mantissa set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wide {
    mantissa: u128,
    exponent: i32,
}

const ONE: Wide = Wide { mantissa: 1 << 127, exponent: -127 };

/// Bits of an index: 2^20 is more than any has.
const INDEX_BITS: usize = 20;

/// γ and 1/γ to the powers of two, of which all others are made: 1.3 kB whatever γ is, where a
/// list of all bounds would take up to 6 MB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Powers {
    rising: [Wide; INDEX_BITS],
    falling: [Wide; INDEX_BITS],
}

impl Powers {
    pub(super) fn new(gamma: f64) -> Self {
        let gamma = Wide::from_f64(gamma);
        Self { rising: squares(gamma), falling: squares(gamma.inverse()) }
    }

    /// The least `f64` that is not below γ^`index`; 0 and infinity where that lies beyond the
    /// normal `f64`s.
    ///
    /// A power's relative error is below 2⁻¹⁰⁶ (at most one rounding of 2⁻¹²⁷ for each of less
    /// than 2²⁰ factors, of which those of 1/γ have one of their own), so a bound could be wrong
    /// only where a power comes that near to an `f64` without being one; those that are `f64`s,
    /// γ⁰ and γ¹, are exact.
    pub(super) fn bound(&self, index: i32) -> f64 {
        let squares = if index < 0 { &self.falling } else { &self.rising };
        let rest = index.unsigned_abs();
        let bits = (0..INDEX_BITS).filter(|bit| rest >> bit & 1 == 1);
        let power = bits.fold(ONE, |power, bit| power.times(squares[bit]));
        power.round_up().unwrap_or(if index < 0 { 0.0 } else { f64::INFINITY })
    }

    /// log2 γ.
    pub(super) fn log2(&self) -> f64 {
        self.rising[0].log2()
    }
}

/// `base` to the powers 1, 2, 4, …
fn squares(base: Wide) -> [Wide; INDEX_BITS] {
    let mut all = [base; INDEX_BITS];
    for at in 1..INDEX_BITS {
        all[at] = all[at - 1].times(all[at - 1]);
    }
    all
}

impl Wide {
    /// A normal `f64` above zero.
    pub(super) const fn from_f64(value: f64) -> Self {
        let bits = value.to_bits();
        let mantissa = ((bits & ((1 << 52) - 1) | 1 << 52) as u128) << 75;
        Self { mantissa, exponent: (bits >> 52) as i32 - 1075 - 75 }
    }

    /// Truncated to 128 bits.
    const fn times(self, other: Self) -> Self {
        const LOW: u128 = u64::MAX as u128;
        let (a1, a0) = (self.mantissa >> 64, self.mantissa & LOW);
        let (b1, b0) = (other.mantissa >> 64, other.mantissa & LOW);
        let (cross, crossed) = (a1 * b0, a0 * b1);
        let carry = ((a0 * b0) >> 64) + (cross & LOW) + (crossed & LOW);
        let high = a1 * b1 + (cross >> 64) + (crossed >> 64) + (carry >> 64);
        let exponent = self.exponent + other.exponent + 128;
        if high >> 127 == 1 {
            Self { mantissa: high, exponent }
        } else {
            // The bit shifted in is the highest one of the lower half.
            Self { mantissa: high << 1 | carry >> 63 & 1, exponent: exponent - 1 }
        }
    }

    /// The logarithm to base 2, less than 2⁻⁵² too small: each time a number from 1 to 2 is
    /// squared, the next bit of its logarithm says whether the square is 2 or more.
    pub(super) const fn log2(self) -> f64 {
        const BITS: u32 = 60;
        let whole = self.exponent + 127;
        let (mut square, mut bits, mut bit) = (Self { exponent: -127, ..self }, 0u64, 0);
        while bit < BITS {
            square = square.times(square);
            let over = square.exponent > -127;
            bits = bits << 1 | over as u64;
            square.exponent = -127;
            bit += 1;
        }
        whole as f64 + bits as f64 / (1u64 << BITS) as f64
    }

    /// 1 / self, truncated to 128 bits, by long division.
    fn inverse(self) -> Self {
        if self.mantissa == 1 << 127 {
            return Self { mantissa: 1 << 127, exponent: -self.exponent - 254 };
        }
        // 2^255 / mantissa lies between 2^127 and 2^128.
        let (mut quotient, mut rest) = (0u128, 1u128 << 127);
        for _ in 0..128 {
            let over = rest >> 127 == 1;
            rest <<= 1;
            quotient <<= 1;
            if over || rest >= self.mantissa {
                rest = rest.wrapping_sub(self.mantissa);
                quotient |= 1;
            }
        }
        Self { mantissa: quotient, exponent: -self.exponent - 255 }
    }

    /// The least `f64` that is not below; `None` beyond the normal range at either end.
    fn round_up(self) -> Option<f64> {
        let lost = self.mantissa & ((1 << 75) - 1) != 0;
        // Where this carries into a 54th bit, the sum below carries into the exponent.
        let significand = (self.mantissa >> 75) as u64 + u64::from(lost);
        let exponent = self.exponent + 75 + 1075;
        if !(1..=2046).contains(&exponent) {
            return None;
        }
        let value = f64::from_bits(((exponent as u64 - 1) << 52) + significand);
        value.is_finite().then_some(value)
    }
}

/// For each index from the bin of `least` to the bin of the greatest `f64`, the least `f64`
/// that is not below γ^index; and the first index. The first bound may lie below `least`. One
/// power after the other: the definition that [`Powers::bound`] is held against.
#[cfg(test)]
pub(super) fn bounds(gamma: f64, least: f64) -> (i32, Vec<f64>) {
    let gamma = Wide::from_f64(gamma);
    let inverse = gamma.inverse();
    let mut falling = Vec::new();
    let mut power = ONE;
    loop {
        power = power.times(inverse);
        match power.round_up() {
            Some(bound) if bound > least => falling.push(bound),
            // Covers `least`, or is too small to be written: then `least` will do.
            Some(bound) => break falling.push(bound.max(least)),
            None => break falling.push(least),
        }
    }
    let first = -(falling.len() as i32);
    let mut bounds: Vec<f64> = falling.into_iter().rev().collect();
    let mut power = ONE;
    while let Some(bound) = power.round_up() {
        bounds.push(bound);
        power = power.times(gamma);
    }
    (first, bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_powers_are_exact() {
        let gamma = 1.5f64;
        let (first, bounds) = bounds(gamma, f64::MIN_POSITIVE);
        for (exponent, expected) in
            [(0, 1.0), (1, 1.5), (2, 2.25), (3, 3.375), (10, 57.665_039_062_5)]
        {
            assert_eq!(bounds[(exponent - first) as usize], expected);
        }
        // 2/3, rounded up.
        assert_eq!(bounds[(-1 - first) as usize], 0.666_666_666_666_666_7f64);
    }

    #[test]
    fn powers_of_two_are_exact_both_ways() {
        let (first, bounds) = bounds(2.0, f64::MIN_POSITIVE);
        assert_eq!((first, bounds.len()), (-1022, 1022 + 1024));
        for (position, &bound) in bounds.iter().enumerate() {
            assert_eq!(bound, 2f64.powi(first + position as i32));
        }
    }

    /// No power comes so near to an `f64` that its error could matter, for the relative
    /// errors that people choose; γ⁰ and γ¹ are `f64`s and exact.
    #[test]
    fn no_power_is_ambiguous() {
        for error in [0.001, 0.002, 0.005, 0.01, 0.02, 0.025, 0.03, 0.05, 0.1, 0.2, 0.25] {
            let gamma = (1.0 + error) / (1.0 - error);
            let wide = Wide::from_f64(gamma);
            for (factor, skip) in [(wide, 1), (wide.inverse(), 0)] {
                let mut power = ONE;
                for step in 1.. {
                    power = power.times(factor);
                    if power.round_up().is_none() {
                        break;
                    }
                    let lost = power.mantissa & ((1 << 75) - 1);
                    // 2²¹ units of the last bit stand for the error.
                    let near = !(1 << 21..=(1 << 75) - (1 << 21)).contains(&lost);
                    assert!(step <= skip || !near, "{error}: power {step} is ambiguous");
                }
            }
        }
    }

    #[test]
    fn powers_by_squares_are_those_one_after_the_other() {
        for error in [0.001, 0.003, 0.01, 1.0 / 3.0] {
            let gamma = (1.0 + error) / (1.0 - error);
            let powers = Powers::new(gamma);
            let (first, bounds) = bounds(gamma, f64::MIN_POSITIVE);
            for (index, &bound) in (first..).zip(&bounds) {
                assert_eq!(powers.bound(index).max(f64::MIN_POSITIVE), bound, "{error} {index}");
            }
            assert_eq!(powers.bound(first + bounds.len() as i32), f64::INFINITY);
            assert_eq!(powers.bound(first - 1), 0.0);
        }
    }

    #[test]
    fn logarithms_are_those_of_the_library() {
        for value in [1.0, 1.5, 2.0, 1.002, 3.0, 1e-300, 1e300, f64::MAX, 1.0 + f64::EPSILON] {
            let log2 = Wide::from_f64(value).log2();
            assert!((log2 - value.log2()).abs() <= 1e-15 * log2.abs().max(1.0), "{value:e} {log2}");
        }
    }
}
