//! Apache DataSketches' HLL bytes: sketches that three of its libraries wrote are read,
//! its Rust library and its Python package read and extend ours.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use datasketches::hll::{HllSketch, HllType, HllUnion};
use sketches::unique::{Coupon, Family, Unique};

/// The sketch of the integers from 0 up to `count`.
fn of(log2m: u8, count: i64) -> Unique {
    let mut unique = Unique::with_family(Family::DataSketches, log2m);
    (0..count).for_each(|value| {
        unique.insert(Coupon::datasketches_of_i64(value));
    });
    unique
}

fn bytes(unique: &Unique) -> Vec<u8> {
    let mut out = Vec::new();
    sketches::datasketches::write(unique, &mut out);
    out
}

#[test]
fn what_three_libraries_wrote_is_what_we_count() {
    let Some(root) = support::shared("vectors/datasketches", "datasketches vectors") else {
        return;
    };
    let mut read = 0;
    for library in ["java", "cpp", "go"] {
        for file in std::fs::read_dir(root.join(library)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let count: i64 = name.split('_').nth(1).unwrap()[1..].parse().unwrap();
            let theirs = sketches::datasketches::read(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!(bytes(&theirs), bytes(&of(12, count)), "{}", path.display());
            let estimate = theirs.estimate();
            let off = (estimate.value - count as f64).abs();
            assert!(off <= 4.0 * estimate.std_error + 1e-9, "{}: {estimate:?}", path.display());
            read += 1;
        }
    }
    assert!(read >= 60, "{read} files");
}

#[test]
fn their_rust_library_reads_and_unites_ours() {
    for log2m in [4, 7, 8, 12, 14] {
        for count in [0, 1, 7, 8, 9, 100, 1000, 1536, 1537, 3072, 3073, 50_000i64] {
            let ours = of(log2m, count);
            let read = HllSketch::deserialize(&bytes(&ours)).unwrap();
            assert_eq!(read.is_empty(), count == 0);
            let mut direct = HllSketch::new(log2m, HllType::Hll8).unwrap();
            (0..count).for_each(|value| direct.update(value));
            let close = (read.estimate() - direct.estimate()).abs();
            assert!(close <= direct.estimate() * 4.0 / f64::from(1u32 << log2m).sqrt());
            // Theirs, whatever its registers, reads as ours.
            for kind in [HllType::Hll4, HllType::Hll6, HllType::Hll8] {
                let mut theirs = HllSketch::new(log2m, kind).unwrap();
                (0..count).for_each(|value| theirs.update(value));
                let theirs = sketches::datasketches::read(&theirs.serialize()).unwrap();
                assert_eq!(bytes(&theirs), bytes(&ours), "{log2m} {count} {kind:?}");
            }
            let mut union = HllUnion::new(log2m).unwrap();
            union.update(&read);
            union.update(&direct);
            let united = sketches::datasketches::read(&union.to_sketch(HllType::Hll8).serialize());
            assert_eq!(bytes(&united.unwrap()), bytes(&ours), "{log2m} {count} united");
        }
    }
}

#[test]
fn their_python_package_reads_updates_and_unites_ours() {
    const SCRIPT: &str = "
import sys
from datasketches import hll_sketch, hll_union, tgt_hll_type
for line in sys.stdin:
    count, log2m, hex = line.split()
    count, log2m, data = int(count), int(log2m), bytes.fromhex(hex)
    ours = hll_sketch.deserialize(data)
    before = ours.get_estimate()
    assert (before == 0) == (count == 0), (count, before)
    if count:
        ours.update(count // 2)
        assert ours.get_estimate() == before, (count, before, ours.get_estimate())
    theirs = hll_sketch(log2m, tgt_hll_type.HLL_8)
    for value in range(count):
        theirs.update(value)
    union = hll_union(log2m)
    union.update(ours)
    alone = union.get_estimate()
    union.update(theirs)
    assert abs(union.get_estimate() - alone) < 1e-6 * (1 + alone), (count, alone)
    print(union.get_result(tgt_hll_type.HLL_8).serialize_compact().hex())
";
    let python = std::env::var("SUMMARIZER_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import datasketches"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED python: {python} has no datasketches (set SUMMARIZER_PYTHON)");
        return;
    }
    let cases = [(0, 12), (1, 14), (7, 14), (8, 14), (500, 14), (1536, 14), (2500, 14), (9000, 12)];
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for (count, log2m) in cases {
        let hex: String = bytes(&of(log2m, count)).iter().map(|b| format!("{b:02x}")).collect();
        writeln!(stdin, "{count} {log2m} {hex}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), cases.len());
    for ((count, log2m), line) in cases.into_iter().zip(lines.lines()) {
        let pairs = line.as_bytes().chunks(2);
        let united: Vec<u8> = pairs
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect();
        let united = sketches::datasketches::read(&united).unwrap();
        assert_eq!(bytes(&united), bytes(&of(log2m, count)), "{count} {log2m}");
    }
}
