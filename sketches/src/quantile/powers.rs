//! The exact bounds of bins: the powers of γ in 128 bits of mantissa, each rounded up to
//! the next `f64`. Integer arithmetic only, so the same everywhere.

/// mantissa · 2^exponent, the highest bit of the mantissa set.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wide {
    mantissa: u128,
    exponent: i32,
}

const ONE: Wide = Wide { mantissa: 1 << 127, exponent: -127 };

/// For each index from the bin of `least` to the bin of the greatest `f64`, the least `f64`
/// that is not below γ^index; and the first index. The first bound may lie below `least`.
///
/// A power's relative error is below 2⁻¹⁰⁷ (one rounding of 2⁻¹²⁷ for each factor, and less
/// than 2²⁰ factors), so a bound could be wrong only where a power comes that near to an
/// `f64` without being one; those that are `f64`s, γ⁰ and γ¹, are exact.
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

impl Wide {
    fn from_f64(value: f64) -> Self {
        let bits = value.to_bits();
        let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52) << 75;
        Self { mantissa, exponent: (bits >> 52) as i32 - 1075 - 75 }
    }

    /// Truncated to 128 bits.
    fn times(self, other: Self) -> Self {
        let (a, b) = (self.mantissa, other.mantissa);
        let halves = |x: u128| (x >> 64, x & u128::from(u64::MAX));
        let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
        let (cross, crossed) = (halves(a1 * b0), halves(a0 * b1));
        let carry = halves(a0 * b0).0 + cross.1 + crossed.1;
        let high = a1 * b1 + cross.0 + crossed.0 + halves(carry).0;
        let exponent = self.exponent + other.exponent + 128;
        if high >> 127 == 1 {
            Self { mantissa: high, exponent }
        } else {
            // The bit shifted in is the highest one of the lower half.
            Self { mantissa: high << 1 | carry >> 63 & 1, exponent: exponent - 1 }
        }
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
}
