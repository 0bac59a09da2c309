//! What is done with any bytes at all: every decoder either refuses them or reads a value
//! that can be asked, united and written again. The fuzzer calls these functions, and so
//! does the test `fuzz`, over a corpus and mutations of it.

use sketches::codec::Reader;
use sketches::quantile::{Mapping, Quantile};
use sketches::unique::{Coupon, Unique};

/// A name, and what is done with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("codec", codec),
    ("unique", unique),
    ("quantile", quantile),
    ("ak", ak),
    ("datasketches", datasketches),
    ("datadog", datadog),
    ("top", top),
    ("theta", theta),
];

/// Numbers and byte strings.
pub fn codec(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let before = reader.rest().len();
        let failed = match reader.rest()[0] % 4 {
            0 => reader.u64().is_err(),
            1 => reader.i64().is_err(),
            2 => reader.i128().is_err(),
            _ => reader.bytes().is_err(),
        };
        if failed {
            return;
        }
        assert!(reader.rest().len() < before, "a number takes at least a byte");
    }
}

/// The stored form of unique counts: one spelling for one content.
pub fn unique(bytes: &[u8]) {
    let Ok(mut read) = Unique::decode(bytes) else { return };
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes, "what is read has one spelling");
    let estimate = read.estimate();
    assert!(estimate.lower <= estimate.value && estimate.value <= estimate.upper);
    read.merge_encoded(bytes).expect("what was read once can be read again");
    again.clear();
    read.encode(&mut again);
    assert_eq!(again, bytes, "the union with itself changes nothing");
    read.insert(Coupon::of_i64(1));
    assert!(read.heap_bytes() <= 1 << 18);
}

/// The stored form of distributions: one spelling for one content.
pub fn quantile(bytes: &[u8]) {
    let Ok(mut read) = Quantile::decode(bytes) else { return };
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes, "what is read has one spelling");
    let mapping = Mapping::new(0.05).expect("five percent is in range");
    let median = read.quantile(0.5, &mapping);
    assert_eq!(median.is_some(), !read.is_empty());
    let count = read.count();
    read.merge_encoded(bytes).expect("what was read once can be read again");
    assert_eq!(read.count(), 2 * count);
    assert!(read.heap_bytes() <= 1 << 18);
}

/// The Aggregate Knowledge format.
pub fn ak(bytes: &[u8]) {
    let Ok(mut read) = sketches::ak::Hll::decode(bytes) else { return };
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes, "what is read has one spelling");
    let _ = read.cardinality();
    let other = read.clone();
    read.merge(&other).expect("equal parameters");
    read.insert_hash(-1);
}

/// Apache DataSketches' HLL sketches.
pub fn datasketches(bytes: &[u8]) {
    let Ok(read) = sketches::datasketches::read(bytes) else { return };
    let mut ours = Vec::new();
    sketches::datasketches::write(&read, &mut ours);
    let again = sketches::datasketches::read(&ours).expect("what we write we read");
    let mut twice = Vec::new();
    sketches::datasketches::write(&again, &mut twice);
    assert_eq!(twice, ours, "our spelling of it is one");
}

/// DataDog's distributions.
pub fn datadog(bytes: &[u8]) {
    let mapping = Mapping::new(0.01).expect("one percent is in range");
    let Ok(read) = Quantile::read_datadog(bytes, &mapping) else { return };
    let mut ours = Vec::new();
    read.encode(&mut ours);
    assert_eq!(Quantile::decode(&ours).as_ref(), Ok(&read), "what it read can be stored");
}

/// The stored form of frequent items.
pub fn top(bytes: &[u8]) {
    let Ok(mut read) = sketches::top::Top::decode(bytes) else { return };
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes, "what is read has one spelling");
    assert!(read.items().iter().all(|item| item.lower <= item.upper));
    read.insert("one more");
    read.merge_encoded(bytes).expect("what was read once can be read again");
}

/// The stored form of sets.
pub fn theta(bytes: &[u8]) {
    let Ok(mut read) = sketches::theta::Theta::decode(bytes) else { return };
    read.merge_encoded(bytes).expect("what was read once can be read again");
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(again, bytes, "what is read has one spelling");
    let audience = read.audience();
    assert_eq!(audience.without(&audience).estimate().value, 0.0);
}
