//! What is wrong with a configuration, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::MAX_ERROR_BYTES;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 where no line is at fault.
    pub line: usize,
    /// The key, such as `summary.placements.dimensions`.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if self.line > 0 {
            write!(out, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// A problem found while resolving: where in the text, which key, what.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) offset: Option<usize>,
    pub(super) key: String,
    pub(super) message: String,
}

impl Problem {
    /// A problem at a place of the text.
    pub(crate) fn new(
        span: std::ops::Range<usize>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { offset: Some(span.start), key: key.into(), message: message.into() }
    }

    /// The problem as it is told.
    pub(super) fn at(self, text: &str, path: &Path) -> ConfigError {
        let line = self.offset.map_or(0, |at| 1 + text[..at.min(text.len())].matches('\n').count());
        let [key, message] = [&self.key, &self.message].map(|text| shortened(text).into_owned());
        ConfigError { file: path.to_owned(), line, key, message }
    }
}

/// A text that quotes what somebody wrote, of a length that a person reads: the middle of a longer
/// one is left out, since what is wrong and what to do stand at its ends.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_ERROR_BYTES {
        return text.into();
    }
    let head = text.floor_char_boundary(MAX_ERROR_BYTES * 3 / 4);
    let tail = text.ceil_char_boundary(text.len() - MAX_ERROR_BYTES / 4);
    let left_out = tail - head;
    format!("{} … ({left_out} bytes left out) … {}", &text[..head], &text[tail..]).into()
}

/// `; did you mean "…"?` where one of `known` is close to `name`, and the list otherwise.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let close = known
        .iter()
        // Nothing is close to a name that is far longer, and to find out would take long.
        .filter(|k| name.len() <= 2 * k.len() + 8)
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .min();
    match close {
        Some((_, near)) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("expected one of: {}", known.join(", ")),
    }
}
