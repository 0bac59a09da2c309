//! How far estimates are off, over 500 sequences of values: the figures that the crate
//! promises. The example `accuracy` draws the same up to ten million values, beside peers.

#![allow(missing_docs)]

mod support;

use sketches::unique::{Coupon, Unique};
use support::Random;

const SEEDS: usize = 500;

/// Relative errors at one number of values.
#[derive(Clone, Default)]
struct Errors {
    sum: f64,
    squares: f64,
    promised: f64,
    outside: usize,
}

#[test]
fn errors_are_as_promised() {
    let points: [usize; 16] = [
        1, 10, 100, 1000, 2000, 3072, 3073, 4000, 6000, 10_000, 16_000, 30_000, 41_000, 60_000,
        100_000, 200_000,
    ];
    let mut errors = vec![Errors::default(); points.len()];
    for seed in 0..SEEDS {
        let mut random = Random((seed as u64).wrapping_mul(0x1234_5678_9ABC_DEF1));
        let mut unique = Unique::new(14);
        let mut inserted = 0;
        for (&point, errors) in points.iter().zip(&mut errors) {
            (inserted..point).for_each(|_| {
                unique.insert(Coupon::of_hash(random.next()));
            });
            inserted = point;
            let estimate = unique.estimate();
            let error = estimate.value / point as f64 - 1.0;
            errors.sum += error;
            errors.squares += error * error;
            errors.promised += (estimate.std_error / point as f64).powi(2);
            let truth = point as f64;
            errors.outside += usize::from(truth < estimate.lower || truth > estimate.upper);
        }
    }
    let mut beyond = Vec::new();
    for (&point, errors) in points.iter().zip(&errors) {
        let n = SEEDS as f64;
        let (mean, rms) = (errors.sum / n, (errors.squares / n).sqrt());
        println!("{point:>7}: rms {:.4} %, mean {:+.4} %", rms * 100.0, mean * 100.0);
        if point <= 3072 {
            assert!(rms <= 1e-4, "{point}: rms {rms}");
            continue;
        }
        assert!(rms <= 0.0090, "{point}: rms {rms}");
        assert!(mean.abs() <= 4.0 * rms / n.sqrt(), "{point}: biased by {mean}");
        let ratio = rms / (errors.promised / n).sqrt();
        assert!((0.9..1.1).contains(&ratio), "{point}: {ratio} of the promised error");
        // Two standard errors leave out 4.6 %.
        assert!((5..50).contains(&errors.outside), "{point}: {} outside", errors.outside);
        beyond.push(rms);
    }
    let average = beyond.iter().sum::<f64>() / beyond.len() as f64;
    assert!(average <= 0.0083, "on average {average}");
}
