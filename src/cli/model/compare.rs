//! The published files held against the model, one summary after the other.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};

use super::judge::{Collisions, Entry, judge};
use super::{COLUMNS, DAY_PLACE, Model, SUMMARIES, bits_of, mask};
use crate::event::date;

/// How many mistakes are told in full.
const EXAMPLES: usize = 10;

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Rows that the model has.
    pub rows: u64,
    /// Rows of the files that were compared.
    pub compared: u64,
    /// Rows that are wrong, missing, twice there, or of no event.
    pub mismatches: u64,
    /// Rows whose users are one off because two of them share their 32-bit coupon; more of
    /// them than chance brings are mismatches.
    pub collisions: u64,
    /// The first mistakes.
    pub examples: Vec<String>,
}

impl Comparison {
    /// Whether every row is right.
    pub fn is_right(&self) -> bool {
        self.mismatches == 0 && self.rows == self.compared
    }

    fn mistake(&mut self, example: impl FnOnce() -> String) {
        self.mismatches += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// The rows of one summary.
struct Rows {
    entries: Vec<Entry>,
    /// Key and first entry of each row, in order; the last is the end.
    starts: Vec<(u64, usize)>,
}

impl Rows {
    fn place(&self, key: u64) -> Option<usize> {
        let rows = &self.starts[..self.starts.len() - 1];
        rows.binary_search_by_key(&key, |row| row.0).ok()
    }
}

impl Model {
    /// Compares with the files of `snapshots` (`SUMMARY/DATE.csv`).
    ///
    /// # Errors
    /// Where a file cannot be read at all; what is wrong in it is in the comparison.
    pub fn compare(&self, snapshots: &Path) -> anyhow::Result<Comparison> {
        let mut comparison = Comparison::default();
        let mut collisions = Collisions::default();
        let days: BTreeSet<u64> = self.keys.iter().map(|key| key >> DAY_PLACE).collect();
        for (summary, dimensions) in SUMMARIES {
            let folder = snapshots.join(summary);
            for extra in other_days(&folder, &days) {
                comparison.mistake(|| format!("{summary}: {extra} has no events"));
            }
            let rows = self.rows(dimensions);
            comparison.rows += rows.starts.len() as u64 - 1;
            let mut seen = vec![false; rows.starts.len() - 1];
            for &day in &days {
                let path = folder.join(format!("{}.csv", date(day as i32)));
                let file = File { summary, dimensions, day, path: &path };
                file.compare(&rows, &mut seen, &mut comparison, &mut collisions)
                    .with_context(|| format!("cannot compare {}", path.display()))?;
            }
            for (row, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
                let key = rows.starts[row].0;
                comparison.mistake(|| format!("{summary}: the row of key {key:#x} is missing"));
            }
        }
        comparison.collisions = collisions.seen;
        if !collisions.are_credible() {
            comparison.mismatches += collisions.seen;
            let Collisions { seen, expected } = collisions;
            comparison
                .examples
                .push(format!("users are one off in {seen} rows, expected: {expected}"));
        }
        Ok(comparison)
    }

    fn rows(&self, dimensions: &[&str]) -> Rows {
        let mask = mask(dimensions);
        let entry = |at: usize| Entry {
            key: self.keys[at] & mask,
            user: self.users[at],
            latency_us: self.latencies_us[at],
            cost_micros: self.costs_micros[at],
        };
        let mut entries: Vec<Entry> = (0..self.len()).map(entry).collect();
        entries.sort_unstable_by_key(|e| (e.key, e.user));
        let mut starts: Vec<(u64, usize)> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            if starts.last().is_none_or(|last| last.0 != entry.key) {
                starts.push((entry.key, at));
            }
        }
        starts.push((u64::MAX, entries.len()));
        Rows { entries, starts }
    }
}

/// Published days that no event has.
fn other_days(folder: &Path, days: &BTreeSet<u64>) -> Vec<String> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let is_other = |name: &String| {
        let day = name.strip_suffix(".csv").and_then(crate::event::parse_date);
        day.is_some_and(|day| !days.contains(&(day as u64)))
    };
    names.filter(is_other).collect()
}

/// One published file.
struct File<'a> {
    summary: &'a str,
    dimensions: &'a [&'a str],
    day: u64,
    path: &'a Path,
}

impl File<'_> {
    fn compare(
        &self,
        rows: &Rows,
        seen: &mut [bool],
        comparison: &mut Comparison,
        collisions: &mut Collisions,
    ) -> anyhow::Result<()> {
        let mut reader = csv::Reader::from_path(self.path)?;
        let expected = std::iter::once("day").chain(self.dimensions.iter().copied()).chain(COLUMNS);
        if !reader.headers()?.iter().eq(expected) {
            bail!("its columns are {:?}", reader.headers()?);
        }
        let mut record = csv::StringRecord::new();
        let mut sorted = Vec::new();
        while reader.read_record(&mut record)? {
            comparison.compared += 1;
            let cells: Vec<&str> = record.iter().collect();
            let (names, values) = cells.split_at(1 + self.dimensions.len());
            let judged = match self.key(names).and_then(|key| rows.place(key)) {
                None => Err("has no events".to_owned()),
                Some(row) if seen[row] => Err("is there twice".to_owned()),
                Some(row) => {
                    seen[row] = true;
                    let events = &rows.entries[rows.starts[row].1..rows.starts[row + 1].1];
                    judge(events, values, &mut sorted, collisions)
                }
            };
            if let Err(what) = judged {
                comparison.mistake(|| format!("{}: {}: {what}", self.summary, names.join(",")));
            }
        }
        Ok(())
    }

    /// The key of a row from its day and dimensions.
    fn key(&self, names: &[&str]) -> Option<u64> {
        let (day, names) = names.split_first()?;
        if crate::event::parse_date(day) != Some(self.day as i32) {
            return None;
        }
        let bits = self.dimensions.iter().zip(names).map(|(d, text)| bits_of(d, text));
        bits.sum::<Option<u64>>().map(|bits| bits | self.day << DAY_PLACE)
    }
}
