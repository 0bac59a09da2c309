//! The table of what the sketches cost, beside the libraries that do the same:
//! `cargo bench -p sketches --bench table`, with `-- --json` for one JSON object, `-- --keys N`
//! for another number of keys than a million, and `-- --only PART` for a part of it.
//!
//! Bytes per key are what a counting allocator saw requested for the vector of sketches
//! and all they hold, divided by the keys. Times are of one thread, and include the loop.

// A bench measures time; nothing it computes depends on it.
#![allow(clippy::disallowed_methods, missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hash::BuildHasherDefault;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use datasketches::hll::{HllSketch, HllType, HllUnion};
use hyperloglogplus::{HyperLogLog, HyperLogLogPlus};
use sketches::fixed::to_fixed;
use sketches::quantile::{Bin, Mapping, Quantile};
use sketches::unique::{Coupon, Unique};
use sketches_ddsketch::{Config, DDSketch};

/// Counts the bytes that are allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// Counting is the whole difference to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(layout.size().wrapping_neg());
        unsafe { System.dealloc(at, layout) }
    }
}

/// One thread allocates: no need to pay for an addition that others cannot tear apart.
fn count(bytes: usize) {
    ALLOCATED.store(ALLOCATED.load(Relaxed).wrapping_add(bytes), Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Hll = HyperLogLogPlus<u64, BuildHasherDefault<std::hash::DefaultHasher>>;

/// Rows of the table: what, figure, unit, and the most that is wanted of ours.
#[derive(Default)]
struct Table(Vec<(String, f64, &'static str, Option<f64>)>);

impl Table {
    fn row(&mut self, what: impl Into<String>, figure: f64, unit: &'static str, most: Option<f64>) {
        let what = what.into();
        eprintln!("{what:<64} {figure:>10.2} {unit}");
        self.0.push((what, figure, unit, most));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let keys = arguments.iter().position(|argument| argument == "--keys");
    let keys = keys
        .and_then(|at| arguments.get(at + 1))
        .map_or(1_000_000, |keys| keys.parse().expect("--keys takes a number"));
    let mut table = Table::default();
    let only = arguments.iter().position(|argument| argument == "--only");
    let only = only.and_then(|at| arguments.get(at + 1));
    type Part = (&'static str, fn(&mut Table, usize));
    let parts: [Part; 5] = [
        ("unique-keys", unique_keys),
        ("unique", one_unique),
        ("quantile-keys", quantile_keys),
        ("bins", bins),
        ("coupons", hashes),
    ];
    for (name, part) in parts {
        if only.is_none_or(|only| only == name) {
            part(&mut table, keys);
        }
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let rows = table.0.iter().map(|(what, figure, unit, most)| {
            let most = most.map_or("null".into(), |most: f64| most.to_string());
            format!(
                "{{\"work\":\"{what}\",\"figure\":{figure:.3},\"unit\":\"{unit}\",\"most\":{most}}}"
            )
        });
        println!("{{\"keys\":{keys},\"rows\":[{}]}}", rows.collect::<Vec<_>>().join(","));
    }
}

/// The number of values of the `r`-th key, from 1.
fn values_of(r: usize, keys: usize) -> usize {
    keys.div_ceil(r)
}

/// A sequence of numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Nanoseconds of processor time that `work` took, for each of `times`.
fn time(times: usize, work: impl FnOnce()) -> f64 {
    let start = processor_time();
    work();
    (processor_time() - start) / times as f64
}

/// Nanoseconds that this thread ran, as Linux counts them, which other programs on the
/// same machine disturb less than the time of day.
fn processor_time() -> f64 {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = counts.and_then(|counts| counts.split(' ').next()?.parse().ok());
    ran.unwrap_or_else(|| {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as f64
    })
}

/// Makes a vector of sketches three times, and hands back bytes per key and nanoseconds
/// per update, the least of the three.
fn fill<T>(
    keys: usize,
    updates: usize,
    new: impl Fn() -> T,
    work: impl Fn(&mut Vec<T>),
) -> (f64, f64) {
    let rounds = (0..3).map(|_| {
        let before = ALLOCATED.load(Relaxed);
        let mut sketches = Vec::with_capacity(keys);
        sketches.resize_with(keys, &new);
        let nanoseconds = time(updates, || work(&mut sketches));
        ((ALLOCATED.load(Relaxed) - before) as f64 / keys as f64, nanoseconds)
    });
    rounds.fold((0.0, f64::INFINITY), |(_, least), (bytes, ns)| (bytes, ns.min(least)))
}

/// One sketch a key: bytes per key, ns per update key by key and shuffled.
fn unique_keys(table: &mut Table, keys: usize) {
    let updates: usize = (1..=keys).map(|r| values_of(r, keys)).sum();
    let mut random = Random(1);
    let coupons: Vec<Coupon> = (0..updates).map(|_| Coupon::of_hash(random.next())).collect();
    let key_by_key = |mut update: Box<dyn FnMut(usize, usize) + '_>| {
        let mut at = 0;
        for r in 1..=keys {
            update(r - 1, at);
            at += values_of(r, keys);
        }
    };
    let (bytes, ns) = fill(
        keys,
        updates,
        || Unique::new(14),
        |sketches| {
            key_by_key(Box::new(|row, at| {
                let sketch = &mut sketches[row];
                coupons[at..at + values_of(row + 1, keys)].iter().for_each(|&c| {
                    sketch.insert(c);
                });
            }));
        },
    );
    table.row("unique: a sketch a key, ours", bytes, "bytes/key", Some(80.0));
    table.row("unique: updates key by key, ours", ns, "ns", Some(20.0));

    let mut order: Vec<u32> = Vec::with_capacity(updates);
    (1..=keys).for_each(|r| order.extend((0..values_of(r, keys)).map(|_| r as u32 - 1)));
    for at in (1..updates).rev() {
        order.swap(at, (random.next() % (at as u64 + 1)) as usize);
    }
    let (_, ns) = fill(
        keys,
        updates,
        || Unique::new(14),
        |sketches| {
            for (&row, &coupon) in order.iter().zip(&coupons) {
                sketches[row as usize].insert(coupon);
            }
        },
    );
    table.row("unique: updates shuffled, one by one, ours", ns, "ns", None);
    let (_, ns) = fill(
        keys,
        updates,
        || Unique::new(14),
        |sketches| {
            for (rows, coupons) in order.chunks(1024).zip(coupons.chunks(1024)) {
                sketches::unique::insert_batch(sketches, rows, coupons);
            }
        },
    );
    table.row("unique: updates shuffled, in batches of 1024, ours", ns, "ns", Some(40.0));

    let new = || HllSketch::new(14, HllType::Hll8).expect("14 is a log2m");
    let peer: Vec<u64> = coupons.iter().map(|coupon| u64::from(coupon.to_bits())).collect();
    let (bytes, ns) = fill(keys, updates, new, |sketches| {
        key_by_key(Box::new(|row, at| {
            let sketch = &mut sketches[row];
            peer[at..at + values_of(row + 1, keys)].iter().for_each(|c| sketch.update(c));
        }));
    });
    table.row("unique: a sketch a key, datasketches", bytes, "bytes/key", None);
    table.row("unique: updates key by key, datasketches (hash included)", ns, "ns", None);
    let new = || Hll::new(14, BuildHasherDefault::default()).expect("14 is a precision");
    let (bytes, ns) = fill(keys, updates, new, |sketches| {
        key_by_key(Box::new(|row, at| {
            let sketch = &mut sketches[row];
            peer[at..at + values_of(row + 1, keys)].iter().for_each(|c| sketch.insert(c));
        }));
    });
    table.row("unique: a sketch a key, hyperloglogplus", bytes, "bytes/key", None);
    table.row("unique: updates key by key, hyperloglogplus (hash included)", ns, "ns", None);
}

/// One dense sketch: update, union, estimate, and the stored form.
fn one_unique(table: &mut Table, _: usize) {
    const COUNT: usize = 20_000_000;
    let mut random = Random(2);
    let coupons: Vec<Coupon> = (0..COUNT).map(|_| Coupon::of_hash(random.next())).collect();
    let mut dense = Unique::new(14);
    coupons[..100_000].iter().for_each(|&coupon| {
        dense.insert(coupon);
    });
    let mut other = Unique::new(14);
    coupons[100_000..300_000].iter().for_each(|&coupon| {
        other.insert(coupon);
    });
    let ns = time(COUNT, || {
        coupons.iter().for_each(|&coupon| {
            dense.insert(coupon);
        })
    });
    table.row("unique: one dense sketch, update by coupon, ours", ns, "ns", Some(2.0));
    let ns =
        time(100_000, || (0..100_000).for_each(|_| black_box(&mut dense).merge(black_box(&other))));
    table.row("unique: union of two dense sketches, ours", ns / 1000.0, "µs", Some(2.0));
    let ns = time(20_000, || {
        for _ in 0..20_000 {
            _ = black_box(black_box(&dense).estimate());
        }
    });
    table.row("unique: estimate of a dense sketch, ours", ns / 1000.0, "µs", None);
    let mut out = Vec::new();
    let ns = time(20_000, || {
        (0..20_000).for_each(|_| {
            out.clear();
            black_box(&dense).encode(&mut out);
        });
    });
    table.row("unique: encode a dense sketch, ours", ns / 1000.0, "µs", None);
    let ns = time(20_000, || (0..20_000).for_each(|_| drop(black_box(Unique::decode(&out)))));
    table.row("unique: decode a dense sketch, ours", ns / 1000.0, "µs", None);
    let mut row = Vec::new();
    let ns = time(20_000, || {
        (0..20_000).for_each(|_| {
            row.clear();
            sketches::ak::write_row(black_box(&dense), &mut row);
        });
    });
    table.row("unique: publish a dense sketch (ak), ours", ns / 1000.0, "µs", None);

    let hashes: Vec<datasketches::hll::Coupon> = coupons
        .iter()
        .map(|coupon| datasketches::hll::Coupon::from_value(coupon.to_bits()))
        .collect();
    let mut sketch = HllSketch::new(14, HllType::Hll8).expect("14 is a log2m");
    let ns = time(COUNT, || hashes.iter().for_each(|&coupon| sketch.update_with_coupon(coupon)));
    table.row("unique: one dense sketch, update by coupon, datasketches", ns, "ns", None);
    let mut union = HllUnion::new(14).expect("14 is a log2m");
    union.update(&sketch);
    let ns = time(20_000, || (0..20_000).for_each(|_| union.update(black_box(&sketch))));
    table.row("unique: union of two dense sketches, datasketches", ns / 1000.0, "µs", None);
    let mut sketch: Hll = Hll::new(14, BuildHasherDefault::default()).expect("14 is a precision");
    let ns = time(COUNT, || {
        coupons.iter().for_each(|coupon| sketch.insert(&u64::from(coupon.to_bits())));
    });
    table.row("unique: one dense sketch, update, hyperloglogplus (hash included)", ns, "ns", None);
    let other = sketch.clone();
    let ns = time(20_000, || {
        (0..20_000).for_each(|_| sketch.merge(black_box(&other)).expect("equal precisions"));
    });
    table.row("unique: union of two dense sketches, hyperloglogplus", ns / 1000.0, "µs", None);
}

/// Values that the sketches of distributions are made of, over and over.
const VALUES: usize = 1 << 14;

/// One sketch a key, values as latencies are.
fn quantile_keys(table: &mut Table, keys: usize) {
    let updates: usize = (1..=keys).map(|r| values_of(r, keys)).sum();
    let mapping = Mapping::new(0.01).expect("one percent is in range");
    let mut random = Random(3);
    // Few enough to stay in a cache: it is not their reading that is measured.
    let values: Vec<(Bin, f64, i128)> = (0..VALUES)
        .map(|_| {
            let value = (random.part() * 6.0).exp();
            (mapping.bin(value), value, to_fixed(value).expect("below the limit"))
        })
        .collect();
    let (bytes, ns) = fill(keys, updates, Quantile::new, |sketches| {
        let mut at = 0;
        for (r, sketch) in (1..).zip(sketches) {
            for _ in 0..values_of(r, keys) {
                let (bin, value, fixed) = values[at % VALUES];
                sketch.insert(bin, value, fixed);
                at += 1;
            }
        }
    });
    table.row("quantile: a sketch a key, ours", bytes, "bytes/key", Some(150.0));
    table.row("quantile: adds key by key, bin known, ours", ns, "ns", Some(20.0));
    let mut one = Quantile::new();
    let ns = time(1000 * VALUES, || {
        (0..1000).for_each(|_| {
            values.iter().for_each(|&(b, v, f)| {
                one.insert(b, v, f);
            })
        });
    });
    table.row("quantile: one hot sketch, bin known, ours", ns, "ns", None);
    let mut out = Vec::new();
    one.encode(&mut out);
    let ns = time(100_000, || {
        for _ in 0..100_000 {
            _ = black_box(one.quantile(0.95, &mapping));
        }
    });
    table.row("quantile: one question, ours", ns / 1000.0, "µs", None);
    table.row("quantile: stored form of one hot sketch, ours", out.len() as f64, "bytes", None);
    let (bytes, ns) = fill(
        keys,
        updates,
        || DDSketch::new(Config::defaults()),
        |sketches| {
            let mut at = 0;
            for (r, sketch) in (1..).zip(sketches) {
                for _ in 0..values_of(r, keys) {
                    sketch.add(values[at % VALUES].1);
                    at += 1;
                }
            }
        },
    );
    table.row("quantile: a sketch a key, sketches-ddsketch", bytes, "bytes/key", None);
    table.row("quantile: adds key by key, sketches-ddsketch", ns, "ns", None);
    let mut one = DDSketch::new(Config::defaults());
    let ns = time(1000 * VALUES, || {
        (0..1000).for_each(|_| values.iter().for_each(|value| one.add(value.1)));
    });
    table.row("quantile: one hot sketch, sketches-ddsketch", ns, "ns", None);
}

/// The bin of a value, and its number at 2⁻⁶⁴.
fn bins(table: &mut Table, _: usize) {
    const COUNT: usize = 20_000_000;
    let mapping = Mapping::new(0.01).expect("one percent is in range");
    let mut random = Random(4);
    let values: Vec<f64> = (0..COUNT).map(|_| (random.part() * 6.0).exp()).collect();
    let mut sum = 0i64;
    let ns = time(COUNT, || {
        values.iter().for_each(|&value| sum += i64::from(mapping.bin(value).to_i32()));
    });
    table.row("quantile: exact bin of a value, ours", ns, "ns", Some(5.0));
    let config = Config::defaults();
    let ns = time(COUNT, || values.iter().for_each(|&value| sum += i64::from(config.key(value))));
    table.row("quantile: bin of a value, sketches-ddsketch", ns, "ns", None);
    let mut total = 0i128;
    let ns = time(COUNT, || {
        values.iter().for_each(|&value| total = total.wrapping_add(to_fixed(value).unwrap_or(0)));
    });
    table.row("fixed: a value in units of 2^-64, ours", ns, "ns", None);
    black_box((sum, total));
}

/// The coupon of short strings.
fn hashes(table: &mut Table, _: usize) {
    const COUNT: usize = 20_000_000;
    for length in [1, 8, 12, 16, 24, 32] {
        let mut random = Random(length as u64);
        let bytes: Vec<u8> = (0..COUNT + length).map(|_| random.next() as u8).collect();
        let mut sum = 0u32;
        let ns = time(COUNT, || {
            for key in bytes.windows(length).take(COUNT) {
                sum = sum.wrapping_add(Coupon::of_bytes(key).to_bits());
            }
        });
        black_box(sum);
        table.row(format!("coupon of {length} bytes, ours"), ns, "ns", None);
    }
}
