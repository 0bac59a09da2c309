//! Refused events, kept with their reason: one JSON object per line in
//! `dead-letters/DATE.ndjson`, DATE being the arrival's in UTC. Files are bounded in size
//! and number; what does not fit is counted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::refusal::Reason;
use crate::config::{self, expect_file};
use crate::event::{DAY_US, Date, date, parse_date, timestamp};
use crate::limits;
use crate::metrics::Metrics;

/// A refused event or message.
pub struct Letter<'a> {
    /// What was sent.
    pub bytes: &'a [u8],
    /// Why it was refused.
    pub reason: Reason,
    /// The field whose value is the reason.
    pub field: Option<&'a str>,
    /// When it came, in microseconds since 1970.
    pub arrival_us: i64,
    /// The address that it came to.
    pub source: &'a str,
}

/// The files of refused events.
pub struct DeadLetters {
    folder: PathBuf,
    limits: config::DeadLetters,
    metrics: Arc<Metrics>,
    /// The day of the file, in UTC.
    day: Date,
    file: Option<File>,
    /// Whole lines in the file.
    written: u64,
    /// Lines on their way to the file, and how many.
    lines: Vec<u8>,
    waiting: u64,
    /// Arrival of the last letter, and of those that were logged.
    arrival_us: i64,
    refusal_logged_us: Option<i64>,
    error_logged_us: Option<i64>,
}

/// Bytes of lines that are written together at the latest.
const BUFFER_BYTES: usize = 64 << 10;

impl DeadLetters {
    /// Dead letters in a folder, which is made when the first one comes.
    pub fn new(folder: PathBuf, limits: config::DeadLetters, metrics: Arc<Metrics>) -> Self {
        Self {
            folder,
            limits,
            metrics,
            day: Date::MIN,
            file: None,
            written: 0,
            lines: Vec::new(),
            waiting: 0,
            arrival_us: i64::MIN,
            refusal_logged_us: None,
            error_logged_us: None,
        }
    }

    /// Counts and keeps a refused event. What cannot be kept is counted as such; nothing
    /// here stops the events that follow.
    pub fn keep(&mut self, letter: &Letter<'_>) {
        self.metrics.events_refused.add(1);
        self.metrics.refused[letter.reason as usize].1.add(1);
        self.arrival_us = letter.arrival_us;
        if is_due(&mut self.refusal_logged_us, self.arrival_us) {
            let (reason, source) = (letter.reason.name(), letter.source);
            let refused = self.metrics.events_refused.get();
            tracing::warn!(reason, source, refused, "event refused; see dead-letters");
        }
        let day = letter.arrival_us.div_euclid(DAY_US) as Date;
        if self.day != day {
            self.flush();
            self.file = None;
        }
        let line = line_of(letter);
        let bytes = line.len() as u64;
        if self.file.is_none() || (!self.has_room(bytes) && !self.is_in_place()) {
            self.flush();
            if let Err(error) = self.open(day) {
                self.report(&error);
            }
        }
        if self.file.is_none() || !self.has_room(bytes) {
            self.metrics.dead_letters_dropped.add(1);
            return;
        }
        self.lines.extend_from_slice(line.as_bytes());
        self.waiting += 1;
        if self.lines.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    /// Hands what was kept to the operating system, and counts it as kept or as dropped.
    pub fn flush(&mut self) {
        if self.waiting == 0 {
            return;
        }
        match self.write() {
            Ok(()) => self.metrics.dead_letters.add(self.waiting),
            Err(error) => {
                self.metrics.dead_letters_dropped.add(self.waiting);
                self.report(&error);
            }
        }
        self.lines.clear();
        self.waiting = 0;
    }

    /// Writes the lines that wait, to a new file where the open one was moved away.
    fn write(&mut self) -> std::io::Result<()> {
        if !self.is_in_place() {
            self.open(self.day)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let result = file.write_all(&self.lines);
        match &result {
            Ok(()) => self.written += self.lines.len() as u64,
            Err(_) => {
                // No half line may stay. The next letter opens the file again.
                let _ = file.set_len(self.written);
                self.file = None;
            }
        }
        result
    }

    /// Whether the day's file has room for another letter.
    fn has_room(&self, bytes: u64) -> bool {
        self.written + self.lines.len() as u64 + bytes <= self.limits.max_file
    }

    /// Whether the open file is the one that has the day's name.
    fn is_in_place(&self) -> bool {
        let Some(Ok(open)) = self.file.as_ref().map(File::metadata) else { return false };
        let there = std::fs::metadata(self.path(self.day));
        there.is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()))
    }

    fn path(&self, day: Date) -> PathBuf {
        self.folder.join(file_name(day))
    }

    fn report(&mut self, error: &std::io::Error) {
        if is_due(&mut self.error_logged_us, self.arrival_us) {
            tracing::error!(%error, folder = %self.folder.display(),
                "dead letters cannot be written; refused events are only counted");
        }
    }

    fn open(&mut self, day: Date) -> std::io::Result<()> {
        self.file = None;
        std::fs::create_dir_all(&self.folder)?;
        let path = self.path(day);
        expect_file(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        self.day = day;
        Ok(())
    }

    /// Deletes the files of days before a day.
    pub fn delete_before(&self, before: Date) {
        for day in self.days().filter(|day| *day < before) {
            if let Err(error) = std::fs::remove_file(self.path(day)) {
                tracing::error!(%error, folder = %self.folder.display(),
                    "old dead letters cannot be deleted");
            }
        }
    }

    /// The days that have files.
    fn days(&self) -> impl Iterator<Item = Date> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| {
            let name = entry.file_name();
            let day = parse_date(name.to_str()?.strip_suffix(".ndjson")?)?;
            (*name == *file_name(day)).then_some(day)
        })
    }
}

/// Whether it is time for another log line of a kind, which is then noted.
fn is_due(logged_us: &mut Option<i64>, now_us: i64) -> bool {
    let interval_us = limits::LOG_EVERY_SECONDS.unsigned_abs() * 1_000_000;
    let due = logged_us.is_none_or(|at| now_us.abs_diff(at) >= interval_us);
    if due {
        *logged_us = Some(now_us);
    }
    due
}

fn file_name(day: Date) -> String {
    format!("{}.ndjson", date(day))
}

fn line_of(letter: &Letter<'_>) -> String {
    let kept = &letter.bytes[..letter.bytes.len().min(limits::DEAD_LETTER_BYTES)];
    let mut line = json!({
        "arrival": timestamp(letter.arrival_us),
        "reason": letter.reason.name(),
        "source": letter.source,
        "bytes": letter.bytes.len(),
    });
    if let Some(field) = letter.field {
        line["field"] = field.into();
    }
    // A cut may fall into a character; what is before it is still text.
    let text = match std::str::from_utf8(kept) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() && kept.len() < letter.bytes.len() => {
            std::str::from_utf8(&kept[..e.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text {
        Some(text) => line["event"] = text.into(),
        None => line["base64"] = STANDARD.encode(kept).into(),
    }
    if kept.len() < letter.bytes.len() {
        line["cut"] = true.into();
    }
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: i64 = 20_777 * DAY_US + DAY_US / 2;

    fn letters(folder: &std::path::Path, max_file: u64) -> (DeadLetters, Arc<Metrics>) {
        let reasons: Vec<&str> = Reason::ALL.iter().map(|r| r.name()).collect();
        let metrics = Arc::new(Metrics::new(&reasons, 1, &[]));
        let limits = config::DeadLetters { max_file, keep_days: 30 };
        (DeadLetters::new(folder.join("letters"), limits, Arc::clone(&metrics)), metrics)
    }

    fn keep(letters: &mut DeadLetters, text: &str, arrival_us: i64) {
        letters.keep(&letter(text, arrival_us));
        letters.flush();
    }

    fn letter(text: &str, arrival_us: i64) -> Letter<'_> {
        let (bytes, source) = (text.as_bytes(), "test");
        Letter { bytes, reason: Reason::MalformedJson, field: None, arrival_us, source }
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (mut letters, metrics) = letters(folder.path(), 1 << 20);
        let (file, moved) =
            (folder.path().join("letters/2026-11-20.ndjson"), folder.path().join("moved"));
        let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
        keep(&mut letters, "one", NOON_US);
        std::fs::rename(&file, &moved).unwrap();
        keep(&mut letters, "two", NOON_US);
        assert!(text(&moved).contains("one") && !text(&moved).contains("two"));
        assert!(text(&file).contains("two"));
        std::fs::remove_dir_all(folder.path().join("letters")).unwrap();
        keep(&mut letters, "three", NOON_US);
        keep(&mut letters, "four", NOON_US);
        assert_eq!(text(&file).lines().count(), 2);
        assert_eq!((metrics.dead_letters.get(), metrics.dead_letters_dropped.get()), (4, 0));
    }

    #[test]
    fn a_full_file_that_is_moved_away_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let one = line_of(&letter("one", NOON_US)).len() as u64;
        let (mut letters, metrics) = letters(folder.path(), one);
        let file = folder.path().join("letters/2026-11-20.ndjson");
        keep(&mut letters, "one", NOON_US);
        keep(&mut letters, "two", NOON_US);
        assert_eq!((metrics.dead_letters.get(), metrics.dead_letters_dropped.get()), (1, 1));
        std::fs::remove_file(&file).unwrap();
        keep(&mut letters, "six", NOON_US);
        assert!(std::fs::read_to_string(&file).unwrap().contains("six"));
        keep(&mut letters, "longer than the file may be", NOON_US);
        assert_eq!((metrics.dead_letters.get(), metrics.dead_letters_dropped.get()), (2, 2));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), one);
    }

    #[test]
    fn old_files_are_deleted_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mut letters, _) = letters(folder.path(), 1 << 20);
        letters.delete_before(20_779);
        (0..3).for_each(|day| keep(&mut letters, "old", NOON_US + day * DAY_US));
        let other = folder.path().join("letters/1999-01-01.ndjson.gz");
        std::fs::write(&other, "").unwrap();
        assert_eq!(letters.days().min(), Some(20_777));
        letters.delete_before(20_779);
        assert_eq!(letters.days().collect::<Vec<_>>(), [20_779]);
        assert!(other.exists());
    }
}
