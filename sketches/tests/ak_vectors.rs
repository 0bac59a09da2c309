//! The Aggregate Knowledge format against the files of its reference implementation:
//! every step of every add and union must give the bytes that it gave.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};

use sketches::ak::Hll;
use sketches::unique::{Coupon, Unique};

/// The limit for sparse that the files were written with, which their header does not tell.
const SPARSE_LIMIT: Option<u32> = Some(850);

/// The files whose name starts with `start`, of all parameters.
fn files(start: &str) -> Vec<PathBuf> {
    let Some(root) = support::shared("vectors/ak-hll", start) else { return Vec::new() };
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let files = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    let mut files: Vec<PathBuf> = files.filter(named).collect();
    files.sort();
    files
}

/// The rows of a file without its header.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|row| row.split(',').map(str::to_owned).collect()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.strip_prefix("\\x").unwrap().as_bytes();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decode(hex: &str) -> Hll {
    let mut hll = Hll::decode(&bytes(hex)).unwrap();
    hll.set_sparse_limit(SPARSE_LIMIT);
    hll
}

fn check(hll: &Hll, cardinality: &str, hex: &str, place: &str) {
    let mut encoded = Vec::new();
    hll.encode(&mut encoded);
    assert_eq!(encoded, bytes(hex), "{place}");
    let (ours, theirs) = (hll.cardinality(), cardinality.parse::<f64>().unwrap());
    let same = (ours - theirs).abs() <= theirs * 1e-9 || (ours.is_nan() && theirs.is_nan());
    assert!(same, "{place}: {ours} for {theirs}");
}

#[test]
fn adds_give_the_same_bytes() {
    let files = files("v1_cumulative_add");
    let mut steps = 0;
    for path in &files {
        let rows = rows(path);
        // The first row tells the kind that the file starts with.
        let mut hll = decode(&rows[0][2]);
        for (number, row) in rows.iter().enumerate().skip(1) {
            hll.insert_hash(row[1].parse().unwrap());
            check(&hll, &row[0], &row[2], &format!("{} row {number}", path.display()));
            steps += 1;
        }
    }
    assert!(files.is_empty() || (files.len() == 15 && steps > 50_000), "{steps} steps");
}

#[test]
fn unions_give_the_same_bytes() {
    let files = files("v1_cumulative_union");
    let mut steps = 0;
    for path in &files {
        let rows = rows(path);
        let mut union = decode(&rows[0][3]);
        for (number, row) in rows.iter().enumerate() {
            let place = format!("{} row {number}", path.display());
            let other = decode(&row[1]);
            check(&other, &row[0], &row[1], &place);
            union.merge(&other).unwrap();
            check(&union, &row[2], &row[3], &place);
            steps += 1;
        }
    }
    assert!(files.is_empty() || (files.len() == 21 && steps > 10_000), "{steps} steps");
}

/// Coupons of the hashes, folded, are the registers of the reference's full form.
#[test]
fn coupons_fold_to_the_same_registers() {
    let files = files("v1_cumulative_add_comprehensive");
    for path in &files {
        let rows = rows(path);
        let last = rows.last().unwrap();
        let header = bytes(&last[2]);
        let (log2m, width) = (header[1] & 31, u32::from(header[1] >> 5) + 1);
        if width != 5 {
            continue;
        }
        let mut unique = Unique::new(log2m);
        for row in &rows[1..] {
            let hash: i64 = row[1].parse().unwrap();
            unique.insert(Coupon::of_hash(hash as u64));
        }
        let mut row = Vec::new();
        sketches::ak::write_row(&unique, &mut row);
        assert_eq!(row[0], 0x14);
        assert_eq!(row[3..], bytes(&last[2])[3..], "{}", path.display());
        // What is published is read by the format's own sketch.
        let read = Hll::decode(&row).unwrap();
        assert!((read.cardinality() / unique.estimate().value - 1.0).abs() < 0.02);
    }
}
