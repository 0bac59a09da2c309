//! What every sketch keeps, whatever it is, checked by one list of tests for all: merging
//! is associative and commutative, has an identity, and equals the sketch of the union;
//! encoding is canonical and decoding its inverse; memory stays within what is declared.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use sketches::codec::DecodeError;
use sketches::quantile::{Kept, Mapping, Quantile, Sample};
use sketches::theta::{Mark, Theta};
use sketches::top::Top;
use sketches::unique::{Coupon, Family, Unique};
use support::Random;

/// One shape for all.
trait Sketch: Clone {
    fn merge(&mut self, other: &Self);
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError>;
    fn heap_bytes(&self) -> usize;
    fn is_empty(&self) -> bool;
    /// All there is to ask, as bits.
    fn answers(&self) -> Vec<u64>;
}

/// A kind of sketch: how to make an empty one, how to insert the next random value, the
/// most heap bytes it may have after so many values, and whether a value counts twice.
struct Kind<S> {
    name: &'static str,
    new: fn() -> S,
    insert: fn(&mut S, u64),
    most_bytes: fn(usize) -> usize,
    idempotent: bool,
}

/// The methods that a sketch has by the same names itself.
macro_rules! own_methods {
    () => {
        fn merge(&mut self, other: &Self) {
            self.merge(other);
        }
        fn encode(&self) -> Vec<u8> {
            let mut out = Vec::new();
            self.encode(&mut out);
            out
        }
        fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
            Self::decode(bytes)
        }
        fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
            self.merge_encoded(bytes)
        }
        fn heap_bytes(&self) -> usize {
            self.heap_bytes()
        }
        fn is_empty(&self) -> bool {
            self.is_empty()
        }
    };
}

impl Sketch for Unique {
    own_methods!();
    fn answers(&self) -> Vec<u64> {
        let estimate = self.estimate();
        let (lower, upper) = self.bounds(1);
        let all = [estimate.value, estimate.lower, estimate.upper, estimate.std_error];
        all.into_iter().chain([lower, upper]).map(f64::to_bits).collect()
    }
}

thread_local! {
    static MAPPING: Mapping = Mapping::new(0.01).unwrap();
    static FINE: Mapping = Mapping::new(0.001).unwrap();
}

/// Calls `with` the mapping that a distribution is of.
fn mapped<T>(quantile: &Quantile, with: impl Fn(&Mapping) -> T) -> T {
    if quantile.kept() == Kept::LEAST { MAPPING.with(with) } else { FINE.with(with) }
}

impl Sketch for Quantile {
    own_methods!();
    fn answers(&self) -> Vec<u64> {
        let asked = [0.0, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0];
        let quantile = |q| mapped(self, |mapping| self.quantile(q, mapping));
        let values = asked.into_iter().map(quantile).chain([self.min(), self.max()]);
        let values = values.map(|value| value.map_or(u64::MAX, f64::to_bits));
        values.chain([self.count(), self.folded(), self.sum().to_bits()]).collect()
    }
}

impl Sketch for Theta {
    own_methods!();
    fn answers(&self) -> Vec<u64> {
        let estimate = self.estimate();
        let all = [estimate.value, estimate.lower, estimate.upper, estimate.std_error];
        all.into_iter().map(f64::to_bits).collect()
    }
}

impl Sketch for Top {
    own_methods!();
    fn answers(&self) -> Vec<u64> {
        let bounds = self.items().into_iter().flat_map(|item| [item.lower, item.upper]);
        bounds.chain([self.count(), self.error()]).collect()
    }
}

fn insert(quantile: &mut Quantile, value: f64) {
    let sample = mapped(quantile, |mapping| Sample::new(value, mapping));
    quantile.insert(sample.unwrap());
}

fn uniques() -> Vec<Kind<Unique>> {
    let registers = |values: usize| if values > 3 { (values * 8).clamp(32, 1 << 14) } else { 0 };
    vec![
        Kind {
            name: "ak, log2m 14",
            new: || Unique::new(14),
            insert: |sketch, value| {
                sketch.insert(Coupon::of_i64(value as i64 % 50_000));
            },
            most_bytes: registers,
            idempotent: true,
        },
        Kind {
            name: "ak, log2m 4",
            new: || Unique::new(4),
            insert: |sketch, value| {
                sketch.insert(Coupon::of_i64(value as i64 % 50_000));
            },
            most_bytes: |_| 16,
            idempotent: true,
        },
        Kind {
            name: "datasketches, log2m 12",
            new: || Unique::with_family(Family::DataSketches, 12),
            insert: |sketch, value| {
                sketch.insert(Coupon::datasketches_of_bytes(&(value % 30_000).to_le_bytes()));
            },
            most_bytes: |values| if values > 3 { (values * 8).clamp(32, 1 << 12) } else { 0 },
            idempotent: true,
        },
    ]
}

fn quantiles() -> Vec<Kind<Quantile>> {
    fn part(value: u64) -> f64 {
        (value >> 11) as f64 / (1u64 << 53) as f64
    }
    // Values further apart than bins are kept need dense bins, however few they are.
    let most: fn(usize) -> usize = |values| match values {
        0 | 1 => 0,
        2..=8 => 96,
        _ => 20_000,
    };
    vec![
        Kind {
            name: "latencies",
            new: || Quantile::new(Kept::LEAST),
            insert: |sketch, value| insert(sketch, (6.0 * part(value)).exp()),
            most_bytes: |values| if values > 1 { (100 + values * 20).min(1600) } else { 0 },
            idempotent: false,
        },
        Kind {
            name: "both signs, zeros, and more bins than are kept",
            new: || Quantile::new(Kept::LEAST),
            insert: |sketch, value| match value % 5 {
                0 => insert(sketch, 0.0),
                1 | 2 => insert(sketch, (50.0 * part(value) - 25.0).exp()),
                _ => insert(sketch, -(70.0 * part(value) - 45.0).exp()),
            },
            most_bytes: most,
            idempotent: false,
        },
        Kind {
            name: "few different values, far apart",
            new: || Quantile::new(Kept::LEAST),
            insert: |sketch, value| {
                insert(sketch, [1e-40, 7.0, -3.0, 1e9, -1e-9][(value % 5) as usize]);
            },
            most_bytes: most,
            idempotent: false,
        },
        Kind {
            name: "always the same value",
            new: || Quantile::new(Kept::LEAST),
            insert: |sketch, _| insert(sketch, 42.0),
            most_bytes: |values| if values > 1 { 700 } else { 0 },
            idempotent: false,
        },
        Kind {
            name: "error 0.001, latencies",
            new: || Quantile::new(Kept::MOST),
            insert: |sketch, value| insert(sketch, (6.0 * part(value)).exp()),
            most_bytes: |values| if values > 1 { (100 + values * 20).min(8000) } else { 0 },
            idempotent: false,
        },
        Kind {
            name: "error 0.001, both signs, and more bins than are kept",
            new: || Quantile::new(Kept::MOST),
            insert: |sketch, value| match value % 3 {
                0 => insert(sketch, (50.0 * part(value) - 25.0).exp()),
                _ => insert(sketch, -(70.0 * part(value) - 45.0).exp()),
            },
            most_bytes: |values| match values {
                0 | 1 => 0,
                2..=8 => 96,
                _ => 70_000,
            },
            idempotent: false,
        },
    ]
}

fn thetas() -> Vec<Kind<Theta>> {
    vec![
        Kind {
            name: "theta, log2k 9",
            new: || Theta::new(9),
            insert: |sketch, value| sketch.insert(Mark::of_i64(value as i64 % 3000)),
            most_bytes: |values| if values > 0 { (values * 32).clamp(32, 2 * 512 * 8) } else { 0 },
            idempotent: true,
        },
        Kind {
            name: "theta, log2k 4, all values seen often",
            new: || Theta::new(4),
            insert: |sketch, value| sketch.insert(Mark::of_i64(value as i64 % 100)),
            most_bytes: |values| if values > 0 { (values * 32).clamp(32, 2 * 16 * 8) } else { 0 },
            idempotent: true,
        },
    ]
}

/// Only as long as all items are kept: beyond, order shows (see
/// `frequent_items_beyond_what_is_kept_differ_within_their_bounds`).
fn tops() -> Vec<Kind<Top>> {
    vec![Kind {
        name: "top, all kept",
        new: || Top::new(50),
        insert: |sketch, value| sketch.insert(&format!("item {}", value % 300)),
        most_bytes: |values| 1000 + (values * 200).min(300 * 100),
        idempotent: false,
    }]
}

const SIZES: &[usize] = &[0, 1, 2, 3, 4, 8, 9, 10, 33, 64, 65, 300, 2500, 4000, 70_000];

fn of<S>(kind: &Kind<S>, values: &[u64]) -> S {
    let mut sketch = (kind.new)();
    values.iter().for_each(|&value| (kind.insert)(&mut sketch, value));
    sketch
}

fn check<S: Sketch>(kind: &Kind<S>) {
    let mut random = Random(kind.name.len() as u64);
    for &size in SIZES {
        let place = format!("{} of {size}", kind.name);
        let values: Vec<u64> = (0..size).map(|_| random.next()).collect();
        let whole = of(kind, &values);
        let bytes = whole.encode();
        assert_eq!(whole.is_empty(), size == 0, "{place}");
        let most = (kind.most_bytes)(size);
        assert!(whole.heap_bytes() <= most, "{place}: {} bytes", whole.heap_bytes());

        let mut shuffled = values.clone();
        (1..size).rev().for_each(|at| shuffled.swap(at, random.below(at + 1)));
        assert!(of(kind, &shuffled).encode() == bytes, "{place}: order changes the bytes");

        let (a, rest) = values.split_at(random.below(size + 1));
        let (b, c) = rest.split_at(random.below(rest.len() + 1));
        let [a, b, c] = [a, b, c].map(|part| of(kind, part));
        check_merges(kind, &whole, [&a, &b, &c], &place);
        check_bytes(&whole, &bytes, &place);
    }
}

fn check_merges<S: Sketch>(kind: &Kind<S>, whole: &S, [a, b, c]: [&S; 3], place: &str) {
    let bytes = whole.encode();
    let merged = |parts: &[&S]| {
        let mut all = parts[0].clone();
        parts[1..].iter().for_each(|part| all.merge(part));
        all
    };
    for order in [[a, b, c], [c, b, a], [b, a, c], [b, c, a]] {
        let all = merged(&order);
        assert!(all.encode() == bytes, "{place}: merging is not the sketch of all");
        assert_eq!(all.answers(), whole.answers(), "{place}");
    }
    let right = merged(&[a, &merged(&[b, c])]);
    assert!(right.encode() == bytes, "{place}: merging is not associative");
    let empty = (kind.new)();
    assert!(merged(&[whole, &empty]).encode() == bytes, "{place}: no right identity");
    assert!(merged(&[&empty, whole]).encode() == bytes, "{place}: no left identity");
    let twice = merged(&[whole, whole]).encode();
    assert!(!kind.idempotent || twice == bytes, "{place}: a value seen twice counts twice");
    let mut encoded = a.clone();
    encoded.merge_encoded(&b.encode()).unwrap();
    encoded.merge_encoded(&c.encode()).unwrap();
    assert!(encoded.encode() == bytes, "{place}: merging bytes differs");
}

fn check_bytes<S: Sketch>(whole: &S, bytes: &[u8], place: &str) {
    let read = S::decode(bytes).unwrap();
    assert!(read.encode() == bytes, "{place}: decoding is not the inverse");
    assert_eq!(read.answers(), whole.answers(), "{place}");
    assert!(read.heap_bytes() <= whole.heap_bytes().max(32) * 2, "{place}: larger when read");
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(S::decode(&longer).is_err(), "{place}: more bytes are taken");
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
        assert!(S::decode(&bytes[..end]).is_err(), "{place}: {end} bytes are taken");
    }
    let mut newer = bytes.to_vec();
    newer[0] = 99;
    assert_eq!(S::decode(&newer).err(), Some(DecodeError::Version(99)), "{place}");
}

#[test]
fn unique_counts_keep_the_contract() {
    uniques().iter().for_each(check);
}

#[test]
fn distributions_keep_the_contract() {
    quantiles().iter().for_each(check);
}

#[test]
fn sets_keep_the_contract() {
    thetas().iter().for_each(check);
}

#[test]
fn frequent_items_keep_the_contract_while_all_are_kept() {
    tops().iter().for_each(check);
}

#[test]
fn frequent_items_beyond_what_is_kept_differ_within_their_bounds() {
    let kind = Kind::<Top> {
        name: "top, most dropped",
        new: || Top::new(4),
        insert: |sketch, value| sketch.insert(&format!("item {}", (value % 40_000).isqrt())),
        most_bytes: |_| 4000,
        idempotent: false,
    };
    let mut random = Random(7);
    let values: Vec<u64> = (0..20_000).map(|_| random.next()).collect();
    let item = |value: u64| format!("item {}", (value % 40_000).isqrt());
    let mut truth = std::collections::HashMap::<String, u64>::new();
    values.iter().for_each(|&value| *truth.entry(item(value)).or_default() += 1);
    let parts: Vec<Top> = values.chunks(3000).map(|part| of(&kind, part)).collect();
    let merged = |parts: &mut dyn Iterator<Item = &Top>| {
        let mut all = (kind.new)();
        parts.for_each(|part| all.merge(part));
        all
    };
    let all = [of(&kind, &values), merged(&mut parts.iter()), merged(&mut parts.iter().rev())];
    for top in &all {
        assert!(top.error() > 0 && top.heap_bytes() <= (kind.most_bytes)(values.len()));
        assert_eq!((top.count(), top.items().len()), (20_000, 4));
        for frequent in top.items() {
            let truth = truth[&frequent.item];
            assert!(frequent.lower <= truth && truth <= frequent.upper, "{frequent:?} {truth}");
        }
        check_bytes(top, &Sketch::encode(top), kind.name);
    }
}

/// The stored forms of the past load for ever: files in `tests/golden`, of contents that
/// are made here. With SKETCHES_WRITE_GOLDEN set, files that are missing are written.
#[test]
fn golden_files_load() {
    for kind in uniques() {
        let name = format!("unique {}", kind.name);
        [0, 1, 3, 4, 100, 20_000].into_iter().for_each(|size| golden(&kind, &name, size));
    }
    for kind in thetas() {
        [0, 1, 2, 400, 9000].into_iter().for_each(|size| golden(&kind, kind.name, size));
    }
    for kind in tops() {
        [0, 1, 2, 400, 9000].into_iter().for_each(|size| golden(&kind, kind.name, size));
    }
    for kind in quantiles() {
        let name = format!("quantile {}", kind.name);
        for size in [0, 1, 8, 9, 300, 70_000] {
            // What a sum could not tell in former times, it was rounded to.
            if size > 8 && FORMER_SUMS.contains(&kind.name) {
                golden_of_former_sums(&kind, &name, size);
                golden(&kind, &format!("{name} exact"), size);
            } else {
                golden(&kind, &name, size);
            }
        }
    }
}

/// Kinds of which golden files were written when sums were multiples of 2⁻⁶⁴, and of which the
/// sums are not.
const FORMER_SUMS: [&str; 2] =
    ["both signs, zeros, and more bins than are kept", "few different values, far apart"];

/// A golden file loads as what it is, and differs from the sketch of today in its sum alone, by
/// half a unit for each value.
fn golden_of_former_sums(kind: &Kind<Quantile>, name: &str, size: usize) {
    let sketch = of(kind, &golden_values(size));
    let bytes = std::fs::read(golden_path(&format!("{name} {size}"))).unwrap();
    let read = Quantile::decode(&bytes).unwrap();
    assert_eq!(Sketch::encode(&read), bytes, "{name} {size}");
    let (mut read_answers, mut answers) = (read.answers(), sketch.answers());
    assert!((read.sum() - sketch.sum()).abs() <= 1e-12 * sketch.sum().abs() + 4e-20 * size as f64);
    // The last is the sum.
    read_answers.pop();
    answers.pop();
    assert_eq!(read_answers, answers, "{name} {size}");
}

fn golden_values(size: usize) -> Vec<u64> {
    let mut random = Random(size as u64);
    (0..size).map(|_| random.next()).collect()
}

fn golden<S: Sketch>(kind: &Kind<S>, name: &str, size: usize) {
    let sketch = of(kind, &golden_values(size));
    let bytes = stored(&format!("{name} {size}"), sketch.encode());
    let read = S::decode(&bytes).unwrap_or_else(|error| panic!("{name} {size}: {error}"));
    assert_eq!(read.answers(), sketch.answers(), "{name} {size}");
}

fn golden_path(name: &str) -> std::path::PathBuf {
    let words: Vec<&str> = name.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    std::path::Path::new("tests/golden").join(words.join("-") + ".bin")
}

/// The bytes of a golden file, which must be `now`.
fn stored(name: &str, now: Vec<u8>) -> Vec<u8> {
    let path = golden_path(name);
    if !path.exists() && std::env::var_os("SKETCHES_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(bytes == now, "{} is written otherwise now", path.display());
    bytes
}

/// The same of the forms that others read.
#[test]
fn golden_files_of_other_systems_load() {
    let mapping = Mapping::new(0.01).unwrap();
    for size in [0, 5, 200, 5000] {
        let mut hll = sketches::ak::Hll::new(sketches::ak::Settings::postgresql(10));
        let mut unique = Unique::new(10);
        let mut apache = Unique::with_family(Family::DataSketches, 11);
        let mut theirs =
            datasketches::hll::HllSketch::new(9, datasketches::hll::HllType::Hll4).unwrap();
        let mut quantile = Quantile::new(mapping.kept());
        let mut random = Random(size);
        for value in 0..size {
            let hash = random.next();
            hll.insert_hash(hash as i64);
            unique.insert(Coupon::of_hash(hash));
            apache.insert(Coupon::datasketches_of_i64(value as i64));
            theirs.update(value);
            insert(&mut quantile, (random.part() - 0.5) * 2000.0);
        }
        let mut out = Vec::new();
        hll.encode(&mut out);
        assert_eq!(sketches::ak::Hll::decode(&stored(&format!("ak {size}"), out)).unwrap(), hll);
        out = Vec::new();
        sketches::ak::write_row(&unique, &mut out);
        sketches::ak::Hll::decode(&stored(&format!("ak row {size}"), out)).unwrap();
        out = Vec::new();
        sketches::datasketches::write(&apache, &mut out);
        sketches::datasketches::read(&stored(&format!("datasketches {size}"), out)).unwrap();
        let four = stored(&format!("datasketches 4 bits {size}"), theirs.serialize());
        sketches::datasketches::read(&four).unwrap();
        out = Vec::new();
        let mut top = Top::new(10);
        (0..size).for_each(|value| top.insert(&format!("item {}", value * value % 331)));
        top.encode(&mut out);
        Top::decode(&stored(&format!("top {size}"), out)).unwrap();
        out = Vec::new();
        quantile.write_datadog(&mapping, &mut out);
        let read = stored(&format!("datadog {size}"), out);
        assert_eq!(Quantile::read_datadog(&read, &mapping).unwrap().count(), size);
    }
}
