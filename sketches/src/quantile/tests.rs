//! Distributions against their definition, slowly: sorted values, and all their bins.

use super::*;
use crate::fixed::to_fixed;
use proptest::prelude::*;

fn of(values: &[f64], mapping: &Mapping) -> Quantile {
    let mut quantile = Quantile::new();
    for &value in values {
        quantile.insert(mapping.bin(value), value, to_fixed(value).unwrap());
    }
    quantile
}

fn bytes(quantile: &Quantile) -> Vec<u8> {
    let mut out = Vec::new();
    quantile.encode(&mut out);
    out
}

/// Magnitudes from 1e-30 to 1e12: far more bins than are kept.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), (-69.0..27.0f64).prop_map(f64::exp)]
        .prop_flat_map(|value| prop_oneof![Just(value), Just(-value)])
}

proptest! {
    #[test]
    fn any_order_and_split(
        values in proptest::collection::vec(value(), 0..200),
        split: prop::sample::Index,
    ) {
        let mapping = Mapping::new(0.01).unwrap();
        let whole = of(&values, &mapping);
        let (left, right) = values.split_at(split.index(values.len() + 1));
        let mut merged = of(right, &mapping);
        merged.merge(&of(left, &mapping));
        prop_assert_eq!(bytes(&merged), bytes(&whole));
        prop_assert_eq!(&Quantile::decode(&bytes(&whole)).unwrap(), &whole);
        // The definition: bins below the highest 2,048 of a sign are folded.
        let kept_as_they_are = values.len() <= MOST_FEW;
        let folded: usize = [-1, 1].into_iter().map(|sign| {
            let indexes: Vec<i32> = values.iter().map(|&value| mapping.bin(value))
                .filter(|bin| bin.sign() == sign).map(Bin::index).collect();
            let highest = indexes.iter().max().copied().unwrap_or(0);
            indexes.iter().filter(|&&index| index < highest - 2047).count()
        }).sum();
        prop_assert_eq!(whole.folded(), if kept_as_they_are { 0 } else { folded as u64 });
        prop_assert_eq!(whole.count(), values.len() as u64);
        let sum: i128 = values.iter().map(|&value| to_fixed(value).unwrap()).sum();
        prop_assert_eq!(whole.sum(), Some(sum));
    }

    #[test]
    fn within_the_relative_error(
        mut values in proptest::collection::vec(-1000.0..1000.0f64, 1..200),
        q in 0.0..=1.0f64,
    ) {
        let mapping = Mapping::new(0.02).unwrap();
        let quantile = of(&values, &mapping);
        values.sort_by(f64::total_cmp);
        let exact = values[(q * (values.len() - 1) as f64) as usize];
        let ours = quantile.quantile(q, &mapping).unwrap();
        prop_assert!((ours - exact).abs() <= exact.abs() * 0.02 * (1.0 + 1e-12));
        prop_assert_eq!(quantile.min(), values.first().copied());
        prop_assert_eq!(quantile.max(), values.last().copied());
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
        if let Ok(read) = Quantile::decode(&bytes) {
            let mut again = Vec::new();
            read.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

#[test]
fn a_sum_may_pass_the_limit_and_come_back() {
    let mapping = Mapping::new(0.01).unwrap();
    let greatest = crate::fixed::LIMIT.next_down();
    let mut sums = of(&[greatest], &mapping);
    for _ in 0..23 {
        let copy = sums.clone();
        sums.merge(&copy);
    }
    assert!(sums.sum().is_some());
    let mut negative = of(&[-greatest], &mapping);
    for _ in 0..24 {
        let copy = negative.clone();
        negative.merge(&copy);
    }
    let copy = sums.clone();
    sums.merge(&copy);
    assert_eq!(sums.sum(), None);
    sums.merge(&negative);
    assert_eq!(sums.sum(), Some(0));
}
