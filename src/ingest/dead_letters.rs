//! Refused events, kept with their reason: one JSON object per line in
//! `dead-letters/DATE.ndjson`, DATE being the arrival's in UTC. Files are bounded in size
//! and number; what does not fit is counted.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::refusal::Reason;
use crate::config;
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
    day: i64,
    file: Option<BufWriter<File>>,
    written: u64,
    last_warning_us: Option<i64>,
}

impl DeadLetters {
    /// Dead letters in a folder, which is made when the first one comes.
    pub fn new(folder: PathBuf, limits: config::DeadLetters, metrics: Arc<Metrics>) -> Self {
        Self {
            folder,
            limits,
            metrics,
            day: i64::MIN,
            file: None,
            written: 0,
            last_warning_us: None,
        }
    }

    /// Counts and keeps a refused event. What cannot be kept is counted as such; nothing
    /// here stops the events that follow.
    pub fn keep(&mut self, letter: &Letter<'_>) {
        self.metrics.events_refused.add(1);
        self.metrics.refused[letter.reason as usize].1.add(1);
        let outcome = self.write(letter);
        match &outcome {
            Ok(true) => self.metrics.dead_letters.add(1),
            _ => self.metrics.dead_letters_dropped.add(1),
        }
        let due = self.last_warning_us.is_none_or(|at| {
            (letter.arrival_us - at).abs() >= limits::LOG_EVERY_SECONDS * 1_000_000
        });
        if due {
            self.last_warning_us = Some(letter.arrival_us);
            let (reason, source) = (letter.reason.name(), letter.source);
            let refused = self.metrics.events_refused.get();
            match outcome {
                Ok(_) => tracing::warn!(reason, source, refused, "event refused; see dead-letters"),
                Err(error) => tracing::error!(%error, folder = %self.folder.display(),
                    "dead letters cannot be written; refused events are only counted"),
            }
        }
    }

    /// Hands what was written to the operating system.
    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && file.flush().is_err()
        {
            // The next letter opens the file again and reports what is wrong.
            self.file = None;
        }
    }

    /// Writes a line; false where the day's file is full.
    fn write(&mut self, letter: &Letter<'_>) -> std::io::Result<bool> {
        let day = letter.arrival_us.div_euclid(86_400_000_000);
        if self.day != day || self.file.is_none() {
            self.open(day)?;
        }
        if self.written >= self.limits.max_file {
            return Ok(false);
        }
        let line = line_of(letter);
        let Some(file) = &mut self.file else { return Ok(false) };
        let result = file.write_all(line.as_bytes());
        if result.is_err() {
            self.file = None;
        }
        result?;
        self.written += line.len() as u64;
        Ok(true)
    }

    fn open(&mut self, day: i64) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}.ndjson", date_of(day)));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        self.written = file.metadata()?.len();
        self.file = Some(BufWriter::new(file));
        if self.day != day {
            self.day = day;
            self.remove_old(day);
        }
        Ok(())
    }

    fn remove_old(&self, today: i64) {
        let oldest = format!("{}.ndjson", date_of(today - i64::from(self.limits.keep_days)));
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Names of equal form compare as their dates do.
            if name.len() == oldest.len() && name.ends_with(".ndjson") && *name < *oldest {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn date_of(day: i64) -> String {
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(day));
    date.map_or_else(|_| "unknown".to_owned(), |date| date.to_string())
}

fn line_of(letter: &Letter<'_>) -> String {
    let kept = &letter.bytes[..letter.bytes.len().min(limits::DEAD_LETTER_BYTES)];
    let arrival = jiff::Timestamp::from_microsecond(letter.arrival_us).unwrap_or_default();
    let mut line = json!({
        "arrival": arrival.to_string(),
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
