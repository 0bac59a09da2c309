//! Unique counts: ours, `datasketches` and `hyperloglogplus`.

use std::hash::BuildHasherDefault;
use std::hint::black_box;

use datasketches::hll::{Coupon as TheirCoupon, HllSketch, HllType, HllUnion};
use hyperloglogplus::{HyperLogLog, HyperLogLogPlus};
use sketches::unique::{Coupon, Unique, insert_batch};

use super::measure::{Figures, Random, fill, time, values_of_keys};

type PlusPlus = HyperLogLogPlus<u64, BuildHasherDefault<std::hash::DefaultHasher>>;

const LOG2M: u8 = 14;

/// Updates that are handed to `insert_batch` at once.
const BATCH: usize = 1024;

/// Values that surely make registers of a sketch.
const DENSE: usize = 100_000;

/// Ours.
pub fn ours(keys: usize) -> Figures {
    let mut random = Random(1);
    let all: Vec<usize> = values_of_keys(keys).collect();
    let updates = all.iter().sum();
    let coupons: Vec<Coupon> = (0..updates).map(|_| Coupon::of_hash(random.number())).collect();
    let (bytes, by_key) = fill(
        keys,
        updates,
        || Unique::new(LOG2M),
        |sketches| {
            key_by_key(sketches, &all, &coupons, |sketch, &coupon| _ = sketch.insert(coupon));
        },
    );
    let mut order: Vec<u32> = Vec::with_capacity(updates);
    (0..).zip(&all).for_each(|(row, &values)| order.extend((0..values).map(|_| row)));
    for at in (1..updates).rev() {
        order.swap(at, (random.number() % (at as u64 + 1)) as usize);
    }
    let (_, in_batches) = fill(
        keys,
        updates,
        || Unique::new(LOG2M),
        |sketches| {
            for (rows, coupons) in order.chunks(BATCH).zip(coupons.chunks(BATCH)) {
                insert_batch(sketches, rows, coupons);
            }
        },
    );
    let (_, one_by_one) = fill(
        keys,
        updates,
        || Unique::new(LOG2M),
        |sketches| {
            for (&row, &coupon) in order.iter().zip(&coupons) {
                sketches[row as usize].insert(coupon);
            }
        },
    );
    let mut figures = dense(keys);
    figures.extend([
        ("unique: memory of a key", bytes),
        ("unique: update, key by key", by_key),
        ("unique: update, shuffled over all keys, in batches", in_batches),
        ("unique: update, shuffled over all keys, one by one", one_by_one),
    ]);
    figures
}

/// Ours, once it has registers.
fn dense(keys: usize) -> Figures {
    let (updates, slow) = (20 * keys, (keys / 50).max(1));
    let mut random = Random(2);
    let mut sketch = || {
        let mut sketch = Unique::new(LOG2M);
        (0..DENSE).for_each(|_| _ = sketch.insert(Coupon::of_hash(random.number())));
        sketch
    };
    let (mut dense, other) = (sketch(), sketch());
    let coupons: Vec<Coupon> = (0..updates).map(|_| Coupon::of_hash(random.number())).collect();
    let update = time(updates, || coupons.iter().for_each(|&c| _ = dense.insert(c)));
    let union = each(slow, || black_box(&mut dense).merge(black_box(&other)));
    let estimate = each(slow, || _ = black_box(black_box(&dense).estimate()));
    let mut out = Vec::new();
    let store = each(slow, || {
        out.clear();
        black_box(&dense).encode(&mut out);
    });
    let read = each(slow, || drop(black_box(Unique::decode(&out))));
    let mut row = Vec::new();
    let publish = each(slow, || {
        row.clear();
        sketches::ak::write_row(black_box(&dense), &mut row);
    });
    Figures::from([
        ("unique: update of one dense sketch", update),
        ("unique: union of two dense sketches", union / 1000.0),
        ("unique: estimate of a dense sketch", estimate / 1000.0),
        ("unique: store a dense sketch", store / 1000.0),
        ("unique: read a dense sketch", read / 1000.0),
        ("unique: publish a dense sketch", publish / 1000.0),
    ])
}

/// Apache's.
pub fn datasketches(keys: usize) -> Figures {
    let new = || HllSketch::new(LOG2M, HllType::Hll8).expect("14 is a log2m");
    let (all, values) = values(keys);
    let (bytes, by_key) = fill(keys, values.len(), new, |sketches| {
        key_by_key(sketches, &all, &values, |sketch, value| sketch.update(value));
    });
    let mut sketch = new();
    (0..DENSE as u64).for_each(|value| sketch.update(value));
    let coupons: Vec<_> = numbers(20 * keys).map(TheirCoupon::from_value).collect();
    let update = time(coupons.len(), || coupons.iter().for_each(|&c| sketch.update_with_coupon(c)));
    let mut union = HllUnion::new(LOG2M).expect("14 is a log2m");
    union.update(&sketch);
    let union = each((keys / 50).max(1), || union.update(black_box(&sketch)));
    Figures::from([
        ("unique: memory of a key", bytes),
        ("unique: update, key by key", by_key),
        ("unique: update of one dense sketch", update),
        ("unique: union of two dense sketches", union / 1000.0),
    ])
}

/// HyperLogLog++.
pub fn hyperloglogplus(keys: usize) -> Figures {
    let new = || PlusPlus::new(LOG2M, BuildHasherDefault::default()).expect("14 is a precision");
    let (all, values) = values(keys);
    let (bytes, by_key) = fill(keys, values.len(), new, |sketches| {
        key_by_key(sketches, &all, &values, |sketch, value| sketch.insert(value));
    });
    let mut sketch = new();
    (0..DENSE as u64).for_each(|value| sketch.insert(&value));
    let values: Vec<u64> = numbers(20 * keys).collect();
    let update = time(values.len(), || values.iter().for_each(|value| sketch.insert(value)));
    let other = sketch.clone();
    let union = each((keys / 50).max(1), || {
        sketch.merge(black_box(&other)).expect("equal precisions");
    });
    Figures::from([
        ("unique: memory of a key", bytes),
        ("unique: update, key by key", by_key),
        ("unique: update of one dense sketch", update),
        ("unique: union of two dense sketches", union / 1000.0),
    ])
}

/// Our coupon of short strings.
pub fn coupons(keys: usize) -> Figures {
    let count = 20 * keys;
    let mut random = Random(3);
    let bytes: Vec<u8> = (0..count + 32).map(|_| random.number() as u8).collect();
    let of = |length: usize| {
        time(count, || {
            let coupons = bytes.windows(length).take(count).map(Coupon::of_bytes);
            black_box(coupons.fold(0, |sum: u32, coupon| sum.wrapping_add(coupon.to_bits())));
        })
    };
    Figures::from([
        ("coupon of 8 bytes", of(8)),
        ("coupon of 16 bytes", of(16)),
        ("coupon of 32 bytes", of(32)),
    ])
}

/// How many values each key sees, and as many.
fn values(keys: usize) -> (Vec<usize>, Vec<u64>) {
    let all: Vec<usize> = values_of_keys(keys).collect();
    let values = numbers(all.iter().sum()).collect();
    (all, values)
}

fn numbers(count: usize) -> impl Iterator<Item = u64> {
    let mut random = Random(1);
    (0..count).map(move |_| random.number())
}

/// Gives each sketch its values, one sketch after the other.
fn key_by_key<S, V>(
    sketches: &mut [S],
    all: &[usize],
    mut values: &[V],
    mut update: impl FnMut(&mut S, &V),
) {
    for (sketch, &count) in sketches.iter_mut().zip(all) {
        let (mine, rest) = values.split_at(count);
        mine.iter().for_each(|value| update(sketch, value));
        values = rest;
    }
}

fn each(times: usize, mut work: impl FnMut()) -> f64 {
    time(times, || (0..times).for_each(|_| work()))
}
