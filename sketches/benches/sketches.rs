//! Updates, unions and bins in time per operation:
//! `cargo bench --profile release -p sketches --bench sketches`. What sketches cost beside other
//! libraries, memory included, is told by `summarizer bench sketches`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sketches::quantile::{Mapping, Quantile, Sample};
use sketches::unique::{Coupon, Unique, insert_batch};

/// Operations that are timed together.
const MANY: usize = 1 << 16;

/// Sketches that a batch is spread over: with their boxes, more than a cache of a core holds.
const SKETCHES: usize = 1 << 17;

/// Updates that are handed to `insert_batch` at once.
const BATCH: usize = 1024;

/// Numbers that look random, the same each time.
fn numbers() -> impl Iterator<Item = u64> {
    (1..).map(|n: u64| {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let mixed = mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ mixed >> 32
    })
}

/// From 0 to 1.
fn parts() -> impl Iterator<Item = f64> {
    numbers().map(|n| (n >> 11) as f64 / (1u64 << 53) as f64)
}

fn unique(c: &mut Criterion) {
    let mut group = c.benchmark_group("unique");
    let coupons: Vec<Coupon> = numbers().map(Coupon::of_hash).take(2 * MANY).collect();
    let of = |coupons: &[Coupon]| {
        let mut sketch = Unique::new(14);
        coupons.iter().for_each(|&coupon| _ = sketch.insert(coupon));
        sketch
    };
    let (mut dense, other) = (of(&coupons[..MANY]), of(&coupons[MANY..]));
    group.bench_function("union of two dense", |b| {
        b.iter(|| black_box(&mut dense).merge(black_box(&other)));
    });
    group.throughput(Throughput::Elements(MANY as u64));
    group.bench_function("insert into one dense", |b| {
        b.iter(|| coupons[..MANY].iter().for_each(|&coupon| _ = dense.insert(coupon)));
    });
    // The first rows are hit most, as is usual.
    let row = |part: f64| (SKETCHES as f64).powf(part) as u32 - 1;
    let rows: Vec<u32> = parts().map(row).take(MANY).collect();
    let filled: Vec<Unique> =
        (0..SKETCHES).map(|n| of(&coupons[n % MANY..][..1 + n % 24])).collect();
    group.bench_function("insert into many, shuffled, in batches", |b| {
        let insert = |sketches: &mut Vec<Unique>| {
            for (rows, coupons) in rows.chunks(BATCH).zip(coupons.chunks(BATCH)) {
                insert_batch(sketches, rows, coupons);
            }
        };
        b.iter_batched_ref(|| filled.clone(), insert, BatchSize::PerIteration);
    });
}

fn quantile(c: &mut Criterion) {
    let mut group = c.benchmark_group("quantile");
    group.throughput(Throughput::Elements(MANY as u64));
    let mapping = Mapping::new(0.01).unwrap();
    let values: Vec<f64> = parts().map(|part| (part * 6.0).exp()).take(MANY).collect();
    group.bench_function("bin of a value", |b| {
        b.iter(|| values.iter().map(|&v| i64::from(mapping.bin(v).to_i32())).sum::<i64>());
    });
    let events: Vec<Sample> = values.iter().map(|&v| Sample::new(v, &mapping).unwrap()).collect();
    let insert = |sketch: &mut Quantile, events: &[Sample]| {
        events.iter().for_each(|&sample| _ = sketch.insert(sample));
    };
    let mut hot = Quantile::new(mapping.kept());
    group.bench_function("insert into one hot", |b| b.iter(|| insert(&mut hot, &events)));
    group.bench_function("insert into many, 32 values each", |b| {
        let insert = |sketches: &mut Vec<Quantile>| {
            sketches.iter_mut().zip(events.chunks(32)).for_each(|(s, events)| insert(s, events));
        };
        b.iter_batched_ref(
            || vec![Quantile::new(mapping.kept()); MANY / 32],
            insert,
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, unique, quantile);
criterion_main!(benches);
