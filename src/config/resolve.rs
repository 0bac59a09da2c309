//! From the configuration as written to the configuration as meant: the settings of the
//! program here, what an event is and what is summed up in `resolve_events`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::addresses::{addresses, is_among};
use super::written::{self, CountOrAuto, Text};
use super::{
    Config, DeadLetters, Format, IngestSockets, Log, Problem, Purpose, QuerySockets, Snapshots,
};
use super::{paths, resolve_events, suggestion, units};
use crate::limits;

/// What log levels may be set for: all of it, or a room of `lib.rs`.
const PROGRAM: &str = env!("CARGO_PKG_NAME");
const ROOMS: [&str; 19] = [
    "cli",
    "clock",
    "config",
    "connections",
    "event",
    "ingest",
    "key",
    "limits",
    "metrics",
    "output",
    "partition",
    "query",
    "row",
    "sequencer",
    "serve",
    "server",
    "shard",
    "snapshot",
    "store",
];

/// Resolves the text of a file, with another data folder instead of its own if one is named.
pub(super) fn resolve(
    text: &str,
    purpose: Purpose,
    data_dir: Option<&Path>,
) -> Result<Config, Problem> {
    let file: written::File = toml::from_str(text).map_err(|e| syntax_problem(text, &e))?;
    refuse_unbuilt(&file)?;
    if data_dir.is_none() {
        paths::check_data_dir(&file)?;
    }
    if purpose == Purpose::Serve {
        paths::check_sockets(&file)?;
    }
    let asked_at = file.query.zmq.bind.as_ref().map_or(0..0, Spanned::span);
    let (ingest, query) = (ingest(file.ingest.zmq)?, query(file.query.zmq)?);
    let shared = query.bind.iter().find(|a| is_among(a, &ingest.bind));
    if let Some(address) = shared {
        let message = format!("{address} is ingest.zmq.bind as well; give each its own");
        return Err(Problem::new(asked_at, "query.zmq.bind", message));
    }
    Ok(Config {
        data_dir: data_dir.map_or_else(|| self::data_dir(file.data_dir), Path::to_owned),
        shards: shards(file.shards)?,
        memory_limit: memory_limit(&file.memory_limit)?,
        ingest,
        query,
        checkpoint_interval_us: micros_or(
            &file.checkpoint.interval,
            "checkpoint.interval",
            1,
            5_000_000,
        )?,
        snapshots: snapshots(&file.snapshots)?,
        dead_letters: dead_letters(&file.dead_letters)?,
        log: log(file.log)?,
        schema: resolve_events::schema(&file.event, &file.field, &file.summary)?,
    })
}

/// What serde or the TOML parser says, with the key that it points to.
fn syntax_problem(text: &str, error: &toml::de::Error) -> Problem {
    let offset = error.span().map(|s| s.start);
    // What can be read, however much is wrong.
    let (file, _) = DeTable::parse_recoverable(text);
    let key = offset.and_then(|at| key_at(file.get_ref(), at)).unwrap_or_default();
    let message = error.message().lines().collect::<Vec<_>>().join("; ").replace('`', "\"");
    Problem { offset, key, message }
}

/// The innermost key whose name or value is at `offset`, with what it is in: tables of a list
/// by their names, as in `summary.pages.aggregates.users.log2m`.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    // What is not closed is noticed at its end.
    let is_here = |span: Range<usize>| (span.start..=span.end).contains(&offset);
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        let within = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, offset),
            DeValue::Array(items) => items.iter().find_map(|item| {
                let inner = item.get_ref().as_table()?;
                let named = inner.get("name").and_then(|name| name.get_ref().as_str());
                let below = key_at(inner, offset);
                let path = named.into_iter().chain(below.as_deref()).collect::<Vec<_>>().join(".");
                (below.is_some() || is_here(item.span())).then_some(path)
            }),
            _ => None,
        };
        match within {
            Some(within) if within.is_empty() => Some(name.to_string()),
            Some(within) => Some(format!("{name}.{within}")),
            None => (is_here(key.span()) || is_here(value.span())).then(|| name.to_string()),
        }
    })
}

fn refuse_unbuilt(file: &written::File) -> Result<(), Problem> {
    let unbuilt = |span: Range<usize>, key: &str, what: &str| {
        Problem::new(span, key, format!("{what} not built yet; remove it to go on without"))
    };
    for (section, key) in [(&file.journal, "journal"), (&file.dedup, "dedup"), (&file.http, "http")]
    {
        if let Some(section) = section {
            return Err(unbuilt(section.span(), key, "this section is"));
        }
    }
    let curves =
        [(&file.ingest.zmq.curve, "ingest.zmq.curve"), (&file.query.zmq.curve, "query.zmq.curve")];
    for (curve, key) in curves {
        if let Some(curve) = curve {
            return Err(unbuilt(curve.span(), key, "CURVE authentication is"));
        }
    }
    Ok(())
}

fn shards(written: Option<Spanned<CountOrAuto>>) -> Result<usize, Problem> {
    let Some(written) = written else { return Ok(cores()) };
    match written.get_ref() {
        CountOrAuto::Auto => Ok(cores()),
        CountOrAuto::Count(n @ 1..=256) => Ok(*n as usize),
        CountOrAuto::Count(n) => Err(Problem::new(
            written.span(),
            "shards",
            format!("{n} is not between 1 and 256; \"auto\" takes one per core"),
        )),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A span of time from `least` milliseconds to ten years.
pub(super) fn micros_or(
    text: &Option<Text>,
    key: &str,
    least_ms: i64,
    default: i64,
) -> Result<i64, Problem> {
    const MOST_US: i64 = 3650 * 86_400_000_000;
    let Some(text) = text else { return Ok(default) };
    let written = text.get_ref();
    let message = match units::parse_micros(written) {
        None => format!("\"{written}\" is not a span of time such as 100ms, 60s, 10m, 1h"),
        Some(us) if us < least_ms * 1000 => format!("\"{written}\" is less than {least_ms}ms"),
        Some(us) if us > MOST_US => format!("\"{written}\" is more than ten years, 3650d"),
        Some(us) => return Ok(us),
    };
    Err(Problem::new(text.span(), key, message))
}

fn bytes_or(text: &Option<Text>, key: &str, default: u64) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(default) };
    units::parse_bytes(text.get_ref()).filter(|b| *b > 0).ok_or_else(|| {
        let message = format!("\"{}\" is not a size such as 64KB, 10MB, 1GiB", text.get_ref());
        Problem::new(text.span(), key, message)
    })
}

fn memory_limit(text: &Option<Text>) -> Result<u64, Problem> {
    const LEAST: u64 = 100_000;
    let limit = bytes_or(text, "memory_limit", 1_000_000_000)?;
    if limit < LEAST {
        let span = text.as_ref().map_or(0..0, Spanned::span);
        let message = format!("{limit} bytes are less than {} KB", LEAST / 1000);
        return Err(Problem::new(span, "memory_limit", message));
    }
    Ok(limit)
}

pub(super) fn number_or(
    number: &Option<Spanned<i64>>,
    key: &str,
    range: std::ops::RangeInclusive<i64>,
    default: i64,
) -> Result<i64, Problem> {
    let Some(number) = number else { return Ok(default) };
    if range.contains(number.get_ref()) {
        return Ok(*number.get_ref());
    }
    let message =
        format!("{} is not between {} and {}", number.get_ref(), range.start(), range.end());
    Err(Problem::new(number.span(), key, message))
}

fn ingest(written: written::IngestZmq) -> Result<IngestSockets, Problem> {
    let format = match &written.format {
        None => Format::Auto,
        Some(text) => match text.get_ref().as_str() {
            "auto" => Format::Auto,
            "json" => Format::Json,
            "protobuf" => Format::Protobuf,
            other => {
                let message = format!("\"{other}\" is not one of auto, json, protobuf");
                return Err(Problem::new(text.span(), "ingest.zmq.format", message));
            }
        },
    };
    let max_message = bytes_or(&written.max_message, "ingest.zmq.max_message", 10_000_000)?;
    if max_message > limits::MAX_MESSAGE_BYTES {
        let span = written.max_message.as_ref().map_or(0..0, Spanned::span);
        let message = format!("at most {} MB", limits::MAX_MESSAGE_BYTES / 1_000_000);
        return Err(Problem::new(span, "ingest.zmq.max_message", message));
    }
    let mark = &written.receive_high_water_mark;
    let high = number_or(mark, "ingest.zmq.receive_high_water_mark", 1..=1_000_000, 100)?;
    let budget = bytes_or(&written.receive_budget, "ingest.zmq.receive_budget", 1_000_000_000)?;
    if max_message.saturating_mul(high as u64) > budget {
        let spans =
            [mark.as_ref().map(Spanned::span), written.max_message.as_ref().map(Spanned::span)];
        let span = spans
            .into_iter()
            .flatten()
            .next()
            .unwrap_or_else(|| written.receive_budget.as_ref().map_or(0..0, Spanned::span));
        let message = format!(
            "{high} messages of {max_message} bytes may wait for each sender, more than \
             receive_budget = {budget} bytes; lower receive_high_water_mark or max_message, or \
             raise receive_budget"
        );
        return Err(Problem::new(span, "ingest.zmq.receive_budget", message));
    }
    let buffer = match &written.receive_buffer {
        // Written out, the default is what it is when left out: the kernel decides.
        Some(text) if text.get_ref() == "0" => 0,
        some => bytes_or(some, "ingest.zmq.receive_buffer", 0)?,
    };
    if buffer > limits::MAX_RECEIVE_BUFFER_BYTES {
        let span = written.receive_buffer.as_ref().map_or(0..0, Spanned::span);
        let message = format!("at most {} GiB", limits::MAX_RECEIVE_BUFFER_BYTES >> 30);
        return Err(Problem::new(span, "ingest.zmq.receive_buffer", message));
    }
    Ok(IngestSockets {
        bind: addresses(
            written.bind,
            "ingest.zmq.bind",
            "tcp://127.0.0.1:5555",
            written.insecure.unwrap_or(false),
        )?,
        format,
        max_message,
        receive_high_water_mark: high as i32,
        receive_buffer: buffer as i32,
        state_file: written.state_file.and_then(state_file),
    })
}

/// The path of the state file; an empty text is none.
fn state_file(written: Text) -> Option<PathBuf> {
    let path = written.into_inner();
    (!path.is_empty()).then(|| path.into())
}

fn data_dir(written: Option<Text>) -> PathBuf {
    written.map_or(paths::DATA_DIR.to_owned(), Spanned::into_inner).into()
}

fn query(written: written::QueryZmq) -> Result<QuerySockets, Problem> {
    Ok(QuerySockets {
        bind: addresses(
            written.bind,
            "query.zmq.bind",
            "tcp://127.0.0.1:5556",
            written.insecure.unwrap_or(false),
        )?,
        workers: number_or(&written.workers, "query.zmq.workers", 1..=64, 2)? as usize,
        max_rows: number_or(&written.max_rows, "query.zmq.max_rows", 1..=100_000_000, 1_000_000)?
            as usize,
        max_scan: number_or(
            &written.max_scan,
            "query.zmq.max_scan",
            1..=1_000_000_000_000,
            1_000_000_000,
        )? as u64,
        timeout_us: micros_or(&written.timeout, "query.zmq.timeout", 1, 30_000_000)?,
    })
}

fn snapshots(written: &written::Snapshots) -> Result<Snapshots, Problem> {
    let mut excel = false;
    if let Some(dialects) = &written.dialects {
        for dialect in &dialects.get_ref().0 {
            match dialect.as_str() {
                "exact" => {}
                "excel" => excel = true,
                other => {
                    let message = format!("\"{other}\" is not one of exact, excel");
                    return Err(Problem::new(dialects.span(), "snapshots.dialects", message));
                }
            }
        }
        if !dialects.get_ref().0.iter().any(|d| d == "exact") {
            let message = "the exact dialect is always published; add \"exact\"";
            return Err(Problem::new(dialects.span(), "snapshots.dialects", message));
        }
    }
    let replaces_nul = match &written.nul {
        None => true,
        Some(nul) => match nul.get_ref().as_str() {
            "replace" => true,
            "keep" => false,
            other => {
                let message = format!("\"{other}\" is not one of replace, keep");
                return Err(Problem::new(nul.span(), "snapshots.nul", message));
            }
        },
    };
    let keep = number_or(&written.keep_revisions, "snapshots.keep_revisions", 1..=1_000_000, 2)?;
    Ok(Snapshots {
        grace_us: micros_or(&written.grace, "snapshots.grace", 0, 3_600_000_000)?,
        quiet_us: micros_or(&written.quiet, "snapshots.quiet", 0, 60_000_000)?,
        keep_revisions: keep as u32,
        excel,
        replaces_nul,
    })
}

fn dead_letters(written: &written::DeadLetters) -> Result<DeadLetters, Problem> {
    let keep = number_or(&written.keep_days, "dead_letters.keep_days", 1..=100_000, 30)?;
    Ok(DeadLetters {
        max_file: bytes_or(&written.max_file, "dead_letters.max_file", 64_000_000)?,
        keep_days: keep as u32,
    })
}

fn log(written: written::Log) -> Result<Log, Problem> {
    let json = match &written.format {
        None => false,
        Some(text) => match text.get_ref().as_str() {
            "text" => false,
            "json" => true,
            other => {
                let message = format!("\"{other}\" is not one of text, json");
                return Err(Problem::new(text.span(), "log.format", message));
            }
        },
    };
    if let Some(text) = &written.level {
        let parsed: Result<tracing_subscriber::EnvFilter, _> = text.get_ref().parse();
        parsed.map_err(|e| Problem::new(text.span(), "log.level", e.to_string()))?;
        text.get_ref()
            .split(',')
            .try_for_each(|part| check_level(part.trim()))
            .map_err(|message| Problem::new(text.span(), "log.level", message))?;
    }
    Ok(Log { json, level: written.level.map_or("info".to_owned(), Spanned::into_inner) })
}

/// The library takes any word that is no level for the name of a module, and then all others
/// are silent; and one that is not there is silent itself.
fn check_level(part: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let (module, level) = part.rsplit_once('=').unwrap_or(("", part));
    if part.contains('[') {
        return Ok(());
    }
    if !LEVELS.contains(&level.to_lowercase().as_str()) {
        let hint = suggestion(level, LEVELS.into_iter());
        return Err(format!("\"{level}\" is not one of {}; {hint}", LEVELS.join(", ")));
    }
    let mut steps = module.split("::");
    let room = (steps.next(), steps.next());
    if let (Some("" | PROGRAM), None) = room {
        return Ok(());
    }
    let hint = match room {
        (Some(PROGRAM), Some(room)) if ROOMS.contains(&room) => return Ok(()),
        (Some(PROGRAM), Some(room)) => suggestion(room, ROOMS.into_iter()),
        _ => format!("expected {PROGRAM}, or one such as {PROGRAM}::store"),
    };
    Err(format!("\"{module}\" is no module of this program; {hint}"))
}
