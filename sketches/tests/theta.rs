//! Theta sketches against Apache's own, and against exact sets.

#![allow(missing_docs, clippy::unwrap_used)]

use datasketches::common::NumStdDev;
use datasketches::theta::{CompactThetaSketch, ThetaANotB, ThetaIntersection, ThetaSketchBuilder};
use sketches::theta::{Mark, Theta};

fn of(log2k: u8, values: std::ops::Range<i64>) -> Theta {
    let mut theta = Theta::new(log2k);
    values.for_each(|value| theta.insert(Mark::of_i64(value)));
    theta
}

fn apache(theta: &Theta) -> Vec<u8> {
    let mut out = Vec::new();
    theta.write_apache(&mut out);
    out
}

#[test]
fn bytes_are_those_of_the_trimmed_sketch() {
    for log2k in [5, 9, 12] {
        for count in [0, 1, 2, 31, 32, 33, 511, 513, 5000, 100_000] {
            let mut theirs = ThetaSketchBuilder::default().lg_k(log2k).build().unwrap();
            (0..count).for_each(|value: i64| theirs.update(value));
            theirs.trim();
            let ours = of(log2k, 0..count);
            assert!(apache(&ours) == theirs.compact(true).serialize(), "{log2k} {count}");
            let read = CompactThetaSketch::deserialize(&apache(&ours)).unwrap();
            assert!((read.estimate() - ours.estimate().value).abs() <= 1e-9 * count as f64);
            let (lower, upper) =
                (read.lower_bound(NumStdDev::Two), read.upper_bound(NumStdDev::Two));
            let estimate = ours.estimate();
            // Theirs are whole numbers of hashes.
            let hash = ours.estimate().value / count.clamp(1, 1 << log2k) as f64;
            let exact = upper == lower;
            let reach = if exact { 1e-9 } else { 0.1 * (upper - lower) + hash };
            assert!((estimate.lower - lower).abs() <= reach, "{count}: {estimate:?} {lower}");
            assert!((estimate.upper - upper).abs() <= reach, "{count}: {estimate:?} {upper}");
        }
    }
}

#[test]
fn set_questions_are_answered_as_theirs() {
    let (a, b) = (of(10, 0..30_000), of(10, 20_000..25_000));
    let [ours_a, ours_b] = [&a, &b].map(Theta::audience);
    let [theirs_a, theirs_b] =
        [&a, &b].map(|theta| CompactThetaSketch::deserialize(&apache(theta)).unwrap());
    let mut intersection = ThetaIntersection::with_seed(9001).unwrap();
    intersection.update(&theirs_a).unwrap();
    intersection.update(&theirs_b).unwrap();
    let both = intersection.to_sketch(true).unwrap().estimate();
    assert_eq!(ours_a.and(&ours_b).estimate().value, both);
    let without = ThetaANotB::with_seed(9001).unwrap();
    let only = without.compute(&theirs_a, &theirs_b, true).unwrap().estimate();
    assert_eq!(ours_a.without(&ours_b).estimate().value, only);
    let estimates = [
        (ours_a.and(&ours_b).estimate(), 5000.0),
        (ours_a.without(&ours_b).estimate(), 25_000.0),
        (ours_a.or(&ours_b).estimate(), 30_000.0),
        (ours_b.without(&ours_a).estimate(), 0.0),
    ];
    for (estimate, truth) in estimates {
        assert!(estimate.lower <= truth && truth <= estimate.upper, "{estimate:?} {truth}");
    }
}

#[test]
fn memory_is_bounded_and_small_for_few() {
    let mut theta = Theta::new(8);
    (0..1000).for_each(|_| theta.insert(Mark::of_bytes(b"ada")));
    assert_eq!(theta.heap_bytes(), 32);
    (0..100_000).for_each(|value| theta.insert(Mark::of_i64(value)));
    assert!(theta.heap_bytes() <= 2 * 256 * 8, "{}", theta.heap_bytes());
}
