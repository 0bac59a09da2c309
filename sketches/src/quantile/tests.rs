//! Distributions against their definition, slowly: sorted values, and all their bins.

use super::*;
use proptest::prelude::*;

fn of(values: &[f64], mapping: &Mapping) -> Quantile {
    let mut quantile = Quantile::new(mapping.kept());
    for &value in values {
        quantile.insert(Sample::new(value, mapping).unwrap());
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
        let mut sum = crate::sum::ExactSum::ZERO;
        values.iter().for_each(|&value| sum.insert(value));
        prop_assert_eq!(whole.sum(), sum.get().unwrap());
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
fn no_sum_is_too_great_or_too_small() {
    let mapping = Mapping::new(0.01).unwrap();
    let greatest = crate::sum::LIMIT.next_down();
    let doubled = |values: &[f64], times: u32| {
        let mut quantile = of(values, &mapping);
        for _ in 0..times {
            let copy = quantile.clone();
            quantile.merge(&copy);
        }
        quantile
    };
    let mut sums = doubled(&[greatest], 50);
    assert_eq!(sums.sum(), greatest * 2f64.powi(50));
    assert_eq!(Quantile::decode(&bytes(&sums)).unwrap().sum(), sums.sum());
    sums.merge(&doubled(&[-greatest], 50));
    assert_eq!(sums.sum(), 0.0);
    sums.merge(&of(&[6.6e-34; 1000], &mapping));
    assert_eq!(sums.sum(), 6.6e-34 * 1000.0);
    assert_eq!(Quantile::decode(&bytes(&sums)).unwrap(), sums);
    assert_eq!(bytes(&sums)[..2], [1, 10]);
}

/// One value far above the others, as a unit's mistake makes it, spoils no quantile.
#[test]
fn the_error_holds_over_twelve_orders_of_magnitude() {
    let repeat = |parts: &[(usize, f64)]| -> Vec<f64> {
        parts.iter().flat_map(|&(count, value)| std::iter::repeat_n(value, count)).collect()
    };
    type Case<'a> = (Vec<f64>, &'a [(f64, f64)]);
    let cases: [Case<'_>; 4] = [
        (repeat(&[(99, 20.0), (1, 60_000.0)]), &[(0.5, 20.0), (0.9, 20.0), (0.99, 20.0)]),
        (repeat(&[(80, 1.0), (15, 5.0), (5, 1000.0)]), &[(0.5, 1.0), (0.9, 5.0), (0.99, 1000.0)]),
        (repeat(&[(99, 1.0), (1, 100.0)]), &[(0.5, 1.0)]),
        (repeat(&[(99, 1.0), (1, 1e2), (1, crate::sum::LIMIT.next_down())]), &[(0.5, 1.0)]),
    ];
    for error in [0.001, 0.002, 0.005, 0.01, 0.1] {
        let mapping = Mapping::new(error).unwrap();
        for sign in [1.0, -1.0] {
            for (values, expected) in &cases {
                let values: Vec<f64> = values.iter().map(|value| value * sign).collect();
                let quantile = of(&values, &mapping);
                assert_eq!(quantile.folded(), 0);
                for &(q, exact) in *expected {
                    // Of negative values, the order is the other way round.
                    let last = (values.len() - 1) as f64;
                    let rank = (q * last).floor();
                    let q = if sign > 0.0 { q } else { (last - rank) / last + 1e-9 };
                    let (ours, exact) = (quantile.quantile(q, &mapping).unwrap(), exact * sign);
                    assert!(
                        ((ours - exact) / exact).abs() <= error * (1.0 + 1e-12),
                        "{error} {ours} {exact}"
                    );
                }
            }
        }
    }
}

/// As a sketch was stored while 2,048 bins were kept at every error: what it has folded stays
/// told when it is united with others, in any order.
#[test]
fn sketches_that_kept_fewer_bins_unite_with_those_of_today() {
    let mapping = Mapping::new(0.001).unwrap();
    let with = |kept: Kept, values: &[f64]| {
        let mut quantile = Quantile::new(kept);
        for &value in values {
            quantile.insert(Sample::new(value, &mapping).unwrap());
        }
        quantile
    };
    let spread: Vec<f64> = (0..40).map(|i| 1.07f64.powi(3 * i)).collect();
    let old = with(Kept::LEAST, &spread);
    assert_eq!((bytes(&old)[0], old.folded()), (1, 19));
    let old = Quantile::decode(&bytes(&old)).unwrap();
    let new = with(mapping.kept(), &[&[1e-3; 20][..], &[1e6; 20]].concat());
    let few = with(Kept::LEAST, &[0.5, 1e9]);
    assert_eq!((bytes(&new)[0], new.folded()), (2, 0));
    let mut all = Vec::new();
    for order in [[&old, &new, &few], [&new, &few, &old], [&few, &new, &old]] {
        let mut merged = order[0].clone();
        order[1..].iter().for_each(|other| merged.merge(other));
        assert_eq!((merged.kept(), merged.folded(), merged.count()), (Kept::MOST, 19, 82));
        assert_eq!(Quantile::decode(&bytes(&merged)).unwrap().folded(), 19);
        all.push(bytes(&merged));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    // What is folded again is told once.
    let low: Vec<f64> = spread.iter().map(|value| value * 1e-9).collect();
    let mut low = with(Kept::LEAST, &low);
    assert_eq!(low.folded(), 19);
    low.merge(&with(mapping.kept(), &[1e12]));
    assert_eq!(low.folded(), 40);
    // Renewed before they are united, those of before fold no more.
    let mut renewed = with(Kept::LEAST, &[1.0; 9]);
    renewed.keep_at_least(mapping.kept());
    renewed.merge(&with(Kept::LEAST, &[1e4; 9]));
    assert_eq!(renewed.folded(), 0);
}
