//! Unique counts against their definition, slowly: a set of coupons, and all registers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The definition, slowly: a set of coupons, and the least log2m.
fn model(log2m: u8, hashes: &[u64]) -> (Option<BTreeSet<u32>>, Vec<u8>) {
    let coupons: BTreeSet<u32> =
        hashes.iter().map(|&hash| Coupon::of_hash(hash).to_bits()).collect();
    let mut registers = vec![0u8; 1 << log2m];
    for &bits in &coupons {
        raise(&mut registers, Shape::new(Family::Ak, log2m), bits);
    }
    ((coupons.len() <= most_coupons(log2m)).then_some(coupons), registers)
}

fn of(log2m: u8, hashes: &[u64]) -> Unique {
    let mut unique = Unique::new(log2m);
    hashes.iter().for_each(|&hash| {
        unique.insert(Coupon::of_hash(hash));
    });
    unique
}

fn bytes(unique: &Unique) -> Vec<u8> {
    let mut out = Vec::new();
    unique.encode(&mut out);
    out
}

fn check(unique: &Unique, log2m: u8, hashes: &[u64]) {
    let (coupons, registers) = model(log2m, hashes);
    match (unique.content(), coupons) {
        (Content::Coupons(mine), Some(coupons)) => {
            assert_eq!(mine, coupons.into_iter().collect::<Vec<_>>());
        }
        (Content::Registers(mine), None) => assert_eq!(mine, registers),
        _ => panic!("coupons and registers are kept at other sizes than promised"),
    }
    assert_eq!(bytes(unique), bytes(&of(log2m, hashes)));
    assert_eq!(&Unique::decode(&bytes(unique)).unwrap(), unique);
}

#[test]
fn sixteen_bytes_and_no_heap_up_to_three() {
    assert_eq!(size_of::<Unique>(), 16);
    let mut unique = Unique::new(14);
    assert!(unique.is_empty());
    for value in [1, 2, 3, 3, 2, 1] {
        unique.insert(Coupon::of_i64(value));
        assert_eq!(unique.heap_bytes(), 0);
    }
    unique.insert(Coupon::of_i64(4));
    assert_eq!(unique.heap_bytes(), 32);
    assert_eq!(unique.estimate().value, 4.0);
}

#[test]
fn memory_never_exceeds_the_registers() {
    for log2m in LOG2M {
        let mut unique = Unique::new(log2m);
        for value in 0..1i64 << log2m {
            unique.insert(Coupon::of_i64(value));
            assert!(unique.heap_bytes() <= (1 << log2m), "{log2m}: {value}");
        }
        assert_eq!(unique.coupons(), None);
    }
}

proptest! {
    #[test]
    fn any_order_any_split_any_log2m(
        seed: u64,
        sizes in proptest::collection::vec((4u8..=12, 0usize..1500), 1..5),
    ) {
        // Values overlap between the parts, because their range is short.
        let mut state = seed | 1;
        let mut hash = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            crate::hash::murmur3_x64_128(&(state >> 53).to_le_bytes(), 0).0
        };
        let parts: Vec<(u8, Vec<u64>)> = sizes
            .into_iter()
            .map(|(log2m, size)| (log2m, (0..size).map(|_| hash()).collect()))
            .collect();
        let least = parts.iter().map(|part| part.0).min().unwrap();
        let all: Vec<u64> = parts.iter().flat_map(|part| part.1.clone()).collect();
        let mut forward = Unique::new(18);
        let mut backward = Unique::new(18);
        let mut encoded = Unique::new(18);
        for (log2m, hashes) in &parts {
            forward.merge(&of(*log2m, hashes));
            encoded.merge_encoded(&bytes(&of(*log2m, hashes))).unwrap();
        }
        for (log2m, hashes) in parts.iter().rev() {
            backward.merge(&of(*log2m, hashes));
        }
        check(&forward, least, &all);
        check(&backward, least, &all);
        check(&encoded, least, &all);
    }
}

#[test]
fn large_sets_in_any_order() {
    for count in [3071, 3072, 3073, 20_000u64] {
        let hashes: Vec<u64> = (0..count)
            .map(|value| crate::hash::murmur3_x64_128(&value.to_le_bytes(), 0).0)
            .collect();
        let (left, right) = hashes.split_at(hashes.len() / 3);
        let mut merged = of(14, right);
        merged.merge(&of(14, left));
        check(&merged, 14, &hashes);
        let estimate = merged.estimate();
        let reach = 4.0 * estimate.std_error + 1e-9;
        assert!((estimate.value - count as f64).abs() < reach, "{count}: {estimate:?}");
    }
}
