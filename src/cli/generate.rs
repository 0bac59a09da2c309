//! `summarizer generate`: prints the canonical workload as lines of JSON.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};

use super::workload::{self, Generator};
use crate::event::parse_date;

/// Print the canonical ad day: events as lines of JSON, the same for the same seed
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    summarizer generate --events 1000000 | summarizer send --to tcp://127.0.0.1:5555\n  \
    summarizer generate --events 1000000 --days 7 --out week.ndjson.gz")]
pub struct Args {
    /// How many events
    #[arg(long, value_name = "N")]
    pub events: u64,
    /// Another seed makes other events
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Days that the events are spread over evenly
    #[arg(long, value_name = "D", default_value_t = 1)]
    pub days: u32,
    /// The first of them [default: so that the last is 2026-11-20]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub first_day: Option<i32>,
    /// Write to a file instead of the standard output; compressed if its name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Reads a day of the command line, as days since 1970.
pub(super) fn day(text: &str) -> Result<i32, String> {
    parse_date(text).ok_or_else(|| "expected a day such as 2026-11-20".to_owned())
}

/// The first day: the one that was asked for, or so that the last is the canonical one.
pub(super) fn first_day(asked: Option<i32>, days: u32) -> i32 {
    let before = i32::try_from(days.saturating_sub(1)).unwrap_or(i32::MAX);
    asked.unwrap_or(workload::LAST_DAY.saturating_sub(before))
}

/// Runs the command.
///
/// # Errors
/// Where the days cannot be, or the output cannot be written. A reader that has seen
/// enough (`| head`) is no error.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let days = first_day(args.first_day, args.days);
    let generator = Generator::new(args.seed, args.events, args.days, days)?;
    let bar = progress(args.events);
    let written = match &args.out {
        Some(path) => write_file(generator, path, &bar)
            .with_context(|| format!("cannot write {}; choose another --out", path.display())),
        None => match write_lines(generator, &mut BufWriter::new(io::stdout().lock()), &bar) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write to the standard output"),
        },
    };
    bar.finish_and_clear();
    written
}

fn write_file(generator: Generator, path: &Path, bar: &ProgressBar) -> io::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
        let mut out = GzEncoder::new(file, Compression::default());
        write_lines(generator, &mut out, bar)?;
        return out.finish()?.flush();
    }
    let mut out = file;
    write_lines(generator, &mut out, bar)
}

/// Bytes of lines that are made before they are written.
const PIECE: usize = 64 << 10;

fn write_lines(generator: Generator, out: &mut impl Write, bar: &ProgressBar) -> io::Result<()> {
    let mut text = Vec::with_capacity(PIECE + 1024);
    let mut waiting = 0;
    for event in generator {
        event.write_json(&mut text);
        waiting += 1;
        if text.len() >= PIECE {
            out.write_all(&text)?;
            text.clear();
            bar.inc(std::mem::take(&mut waiting));
        }
    }
    out.write_all(&text)?;
    bar.inc(waiting);
    out.flush()
}

/// A bar on stderr, where that is a terminal.
fn progress(events: u64) -> ProgressBar {
    let bar = ProgressBar::new(events);
    let style = "{bar:40} {human_pos} of {human_len} events, {per_sec}, {eta} left";
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn args(events: u64, out: &Path) -> Args {
        Args { events, seed: 4, days: 2, first_day: None, out: Some(out.to_owned()) }
    }

    #[test]
    fn a_file_and_a_compressed_file_hold_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("e.ndjson"), folder.path().join("e.ndjson.gz"));
        run(&args(2000, &plain)).unwrap();
        run(&args(2000, &packed)).unwrap();
        let plain = std::fs::read_to_string(plain).unwrap();
        let mut unpacked = String::new();
        let file = File::open(packed).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut unpacked).unwrap();
        assert_eq!(plain, unpacked);
        assert_eq!(plain.lines().count(), 2000);
        // Two days, the second of which is the canonical one.
        let ts =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["ts"].as_i64();
        let day = |line: &str| ts(line).unwrap().div_euclid(86_400_000) as i32;
        assert_eq!(plain.lines().next().map(day), Some(workload::LAST_DAY - 1));
        assert_eq!(plain.lines().last().map(day), Some(workload::LAST_DAY));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = run(&args(1, Path::new("/nonexistent/e.ndjson"))).unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/e.ndjson"), "{error:#}");
    }
}
