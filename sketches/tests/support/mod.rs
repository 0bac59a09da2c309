//! What the tests of the crate share: where the files that others wrote lie, and a
//! sequence of numbers that look random and are the same each time.

#![allow(dead_code, missing_docs, reason = "each test uses a part of it")]

use std::path::PathBuf;

/// The folder of files that others wrote and that this repository does not hold: named by
/// the environment variable SUMMARIZER_SHARED, or beside the workspace. A test without it
/// says loudly that it tested nothing.
pub fn shared(part: &str, test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from("../../shared");
    let root = std::env::var_os("SUMMARIZER_SHARED").map_or_else(beside, PathBuf::from);
    let found = root.join(part);
    if found.is_dir() {
        return Some(found);
    }
    println!("SKIPPED {test}: no folder {} (set SUMMARIZER_SHARED)", found.display());
    None
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to 1.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
