//! Rulers: processor time, memory, and numbers that look random.

use std::collections::BTreeMap;

use crate::clock::Stopwatch;

/// What was measured, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// How often each time is taken; the least counts, being the least disturbed.
const ROUNDS: usize = 3;

/// A sequence of numbers that look random, the same each time (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to 1.
    pub fn part(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How many values the key of each rank sees: ⌈keys / rank⌉.
pub fn values_of_keys(keys: usize) -> impl Iterator<Item = usize> {
    (1..=keys).map(move |rank| keys.div_ceil(rank))
}

/// Nanoseconds of processor time of each of `times` times that `work` does something.
pub fn time(times: usize, mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Timer::start();
        work();
        start.nanoseconds()
    });
    rounds.fold(f64::INFINITY, f64::min) / times as f64
}

/// Fills a vector of sketches: by how many bytes a key the process grew the first time, and
/// the nanoseconds of each of `updates`.
pub fn fill<T>(
    keys: usize,
    updates: usize,
    new: impl Fn() -> T,
    mut work: impl FnMut(&mut [T]),
) -> (f64, f64) {
    let (mut bytes, mut least) = (None, f64::INFINITY);
    for _ in 0..ROUNDS {
        let before = resident_bytes();
        let mut sketches = Vec::with_capacity(keys);
        sketches.resize_with(keys, &new);
        let start = Timer::start();
        work(&mut sketches);
        least = start.nanoseconds().min(least);
        bytes.get_or_insert_with(|| resident_bytes().saturating_sub(before));
    }
    (bytes.unwrap_or(0) as f64 / keys as f64, least / updates as f64)
}

/// The memory of this process that is not of a file, to the page; 0 where the system does
/// not tell.
fn resident_bytes() -> u64 {
    let memory = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = memory.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}

/// Measures the time that this thread runs, as Linux counts it, which other programs on the
/// same machine disturb less than the time of day; that, elsewhere.
struct Timer(Option<f64>, Stopwatch);

impl Timer {
    fn start() -> Self {
        Self(thread_nanoseconds(), Stopwatch::start())
    }

    fn nanoseconds(&self) -> f64 {
        match (self.0, thread_nanoseconds()) {
            (Some(start), Some(end)) => end - start,
            _ => self.1.elapsed().as_nanos() as f64,
        }
    }
}

fn thread_nanoseconds() -> Option<f64> {
    // Otherwise Linux would count only up to the last tick of its clock.
    std::thread::yield_now();
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    counts.split(' ').next()?.parse().ok()
}
