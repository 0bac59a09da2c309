//! From content to a number of distinct values and how far off it may be. Only additions,
//! multiplications, divisions and square roots, which every machine rounds alike: the same
//! sketch gives the same digits everywhere.
//!
//! Sources: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"
//! (2017): the improved raw estimator. The standard error is the Cramér-Rao bound of its
//! Poisson model, less the variance that the model itself adds.

use super::{Unique, View};

/// A number of distinct values, with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimated number of distinct values.
    pub value: f64,
    /// One standard error, in values.
    pub std_error: f64,
    /// Two standard errors below, but never less than what was surely seen.
    pub lower: f64,
    /// Two standard errors above.
    pub upper: f64,
}

/// 1 / (2 ln 2), the constant of the estimator for infinitely many registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// Twice 3 · 2²⁶: two values have the same coupon with probability 1 in 3 · 2²⁶, since
/// their slots are equal once in 2²⁶ and their ranks once in 3.
const TWICE_COLLISION: f64 = (6u64 << 26) as f64;

impl Unique {
    /// The number of distinct values.
    pub fn estimate(&self) -> Estimate {
        let (value, std_error, least) = self.measure();
        let (lower, upper) = around(value, std_error, least, 2);
        Estimate { value, std_error, lower, upper }
    }

    /// The estimate less and plus `n_std` standard errors.
    pub fn bounds(&self, n_std: u8) -> (f64, f64) {
        let (value, std_error, least) = self.measure();
        around(value, std_error, least, n_std)
    }

    /// The estimate, its standard error, and the number of values that were surely seen.
    fn measure(&self) -> (f64, f64, f64) {
        match self.0.view() {
            View::Coupons { len, .. } => {
                let seen = f64::from(len);
                // Expected pairs of values with the same coupon, and their variance.
                let hidden = seen * seen / TWICE_COLLISION;
                (seen + hidden.round(), hidden.sqrt(), seen)
            }
            View::Registers(registers) => {
                of_registers(registers, usize::from(self.shape().greatest_register()))
            }
        }
    }
}

/// `n_std` standard errors to both sides.
fn around(value: f64, std_error: f64, least: f64, n_std: u8) -> (f64, f64) {
    let reach = f64::from(n_std) * std_error;
    ((value - reach).max(least), value + reach)
}

/// As [`Unique::measure`], of registers whose value is k with probability 2^−k, and
/// `greatest` otherwise.
fn of_registers(registers: &[u8], greatest: usize) -> (f64, f64, f64) {
    let m = registers.len() as f64;
    let counts = histogram(registers);
    let mut z = m * tau(1.0 - f64::from(counts[greatest]) / m);
    for &count in counts[1..greatest].iter().rev() {
        z = 0.5 * (z + f64::from(count));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    let value = ALPHA * m * m / z;
    (value, standard_error(value, m), m - f64::from(counts[0]))
}

/// How many registers have each value.
fn histogram(registers: &[u8]) -> [u32; 64] {
    // Four tables, so that equal neighbours do not wait for each other's increment.
    let mut tables = [[0u32; 64]; 4];
    for four in registers.as_chunks::<4>().0 {
        for (table, &register) in tables.iter_mut().zip(four) {
            table[usize::from(register & 63)] += 1;
        }
    }
    std::array::from_fn(|value| tables.iter().map(|table| table[value]).sum())
}

/// x + Σ x^(2^k) 2^(k−1): what the registers that are still zero tell.
fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before || !z.is_finite() {
            return z;
        }
    }
}

/// (1 − x − Σ (1 − x^(2^−k))² 2^(−k)) / 3: what the registers at the greatest value tell.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The least standard error of any unbiased estimate of `n` values from `m` registers.
fn standard_error(n: f64, m: f64) -> f64 {
    // Per register, P(value > k) = 1 − exp(−rate / 2^k) is `above`: from the greatest k
    // down, each is 1 − (1 − above)² of the one before.
    const GREATEST: i32 = 61;
    let rate = n / m;
    let mut scale = 1.0 / (1u64 << GREATEST) as f64;
    let mut above = rate * scale * (1.0 - 0.5 * rate * scale);
    let mut slope = scale * (1.0 - above);
    let mut information = if above > 0.0 { slope * slope / above } else { 0.0 };
    for _ in 0..GREATEST {
        let mass = above * (1.0 - above);
        above *= 2.0 - above;
        scale *= 2.0;
        let next = scale * (1.0 - above);
        if mass > 0.0 {
            information += (next - slope) * (next - slope) / mass;
        }
        slope = next;
    }
    // What is left is the register that is still zero.
    if above < 1.0 {
        information += slope * slope / (1.0 - above);
    }
    // The model's number of values is itself random, with variance n.
    (m / information - n).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_of_the_known_regimes() {
        let m = 16384.0;
        // Few values: linear counting, √(m (e^t − t − 1)).
        let t = 0.25f64;
        let linear = (m * (t.exp() - t - 1.0)).sqrt();
        let ours = standard_error(t * m, m);
        assert!(ours < linear && ours > 0.8 * linear, "{ours} {linear}");
        // Many: about 1.04 / √m of them.
        for n in [1e6, 1e9] {
            let relative = standard_error(n, m) / n * m.sqrt();
            assert!((relative - 1.037).abs() < 0.01, "{relative} at {n}");
        }
    }

    #[test]
    fn sigma_and_tau_at_their_ends() {
        assert_eq!(sigma(0.0), 0.0);
        assert!(sigma(1.0).is_infinite());
        assert_eq!((tau(0.0), tau(1.0)), (0.0, 0.0));
        assert!(tau(0.5) > 0.0);
    }
}
