//! From the configuration as written to the configuration as meant: the settings of the
//! program here, what an event is and what is summed up in `resolve_events`.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::written::{self, CountOrAuto, OneOrMany, Text};
use super::{Config, DeadLetters, Format, IngestSockets, Log, Problem, QuerySockets, Snapshots};
use super::{resolve_events, suggestion, units};
use crate::limits;

/// Resolves the text of a file.
pub(super) fn resolve(text: &str) -> Result<Config, Problem> {
    let file: written::File = toml::from_str(text).map_err(|e| syntax_problem(text, &e))?;
    refuse_unbuilt(&file)?;
    let asked_at = file.query.zmq.bind.as_ref().map_or(0..0, Spanned::span);
    let (ingest, query) = (ingest(file.ingest.zmq)?, query(file.query.zmq)?);
    let shared = query.bind.iter().find(|a| is_among(a, &ingest.bind));
    if let Some(address) = shared {
        let message = format!("{address} is ingest.zmq.bind as well; give each its own");
        return Err(Problem::new(asked_at, "query.zmq.bind", message));
    }
    Ok(Config {
        data_dir: data_dir(file.data_dir)?,
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

/// Addresses, each refused unless it stays on this machine or `insecure` says otherwise.
fn addresses(
    bind: Option<Spanned<OneOrMany>>,
    key: &str,
    default: &str,
    insecure: bool,
) -> Result<Vec<String>, Problem> {
    let Some(bind) = bind else { return Ok(vec![default.to_owned()]) };
    let span = bind.span();
    for (at, address) in bind.get_ref().0.iter().enumerate() {
        if is_among(address, &bind.get_ref().0[..at]) {
            return Err(Problem::new(span, key, format!("{address} is named twice")));
        }
        let local =
            local_address(address).map_err(|message| Problem::new(span.clone(), key, message))?;
        if !local && !insecure {
            let message = format!(
                "{address} is not on the loopback and CURVE authentication is not built yet; \
                 bind 127.0.0.1 or set insecure = true to serve anyone who can reach it"
            );
            return Err(Problem::new(span, key, message));
        }
    }
    if bind.get_ref().0.is_empty() {
        return Err(Problem::new(span, key, format!("no address; expected e.g. \"{default}\"")));
    }
    Ok(bind.into_inner().0)
}

/// Whether an address is one of several, also where its path is written in another way.
fn is_among(address: &str, others: &[String]) -> bool {
    let place = |address: &str| match address.strip_prefix("ipc://") {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.into()),
        None => address.into(),
    };
    // The system chooses another port each time.
    !address.ends_with(":*") && others.iter().any(|other| place(other) == place(address))
}

/// Whether an address can be reached from this machine only.
fn local_address(address: &str) -> Result<bool, String> {
    if let Some(path) = address.strip_prefix("ipc://") {
        // The longest path a Unix socket may have, less its terminator.
        return match path.len() {
            0 => Err(format!("{address} names no path")),
            108.. => Err(format!("the path of {address} is longer than 107 bytes")),
            _ => Ok(true),
        };
    }
    let expected = || {
        format!(
            "\"{address}\" is not an address such as tcp://127.0.0.1:5555 or ipc:///run/summarizer.sock"
        )
    };
    let host_port = address.strip_prefix("tcp://").ok_or_else(expected)?;
    let (host, port) = host_port.rsplit_once(':').ok_or_else(expected)?;
    if port != "*" && port.parse::<u16>().is_err() {
        return Err(expected());
    }
    // Brackets are a pair around the whole of it, or none.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.contains(['[', ']']) {
        return Err(expected());
    }
    match host.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(ip.to_canonical().is_loopback()),
        Err(_) if host.is_empty() => Err(expected()),
        Err(_) if host == "localhost" => Err("bind 127.0.0.1 or [::1] instead of localhost, \
             which may be either"
            .to_owned()),
        Err(_) => Ok(host == "lo"),
    }
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
        state_file: written.state_file.map_or(Ok(None), state_file)?,
    })
}

/// The path of the state file; an empty text is none.
fn state_file(written: Text) -> Result<Option<PathBuf>, Problem> {
    let path = PathBuf::from(written.get_ref());
    if path.is_dir() {
        let message = format!("{} is a folder; name a file in it", path.display());
        return Err(Problem::new(written.span(), "ingest.zmq.state_file", message));
    }
    Ok((!written.get_ref().is_empty()).then_some(path))
}

fn data_dir(written: Option<Text>) -> Result<PathBuf, Problem> {
    let Some(written) = written else { return Ok(PathBuf::from("data")) };
    if written.get_ref().is_empty() {
        return Err(Problem::new(written.span(), "data_dir", "names no folder"));
    }
    Ok(PathBuf::from(written.into_inner()))
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
    let keep = number_or(&written.keep_revisions, "snapshots.keep_revisions", 1..=1_000_000, 2)?;
    Ok(Snapshots {
        grace_us: micros_or(&written.grace, "snapshots.grace", 0, 3_600_000_000)?,
        quiet_us: micros_or(&written.quiet, "snapshots.quiet", 0, 60_000_000)?,
        keep_revisions: keep as u32,
        excel,
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
    const PROGRAM: &str = env!("CARGO_PKG_NAME");
    if part.contains('[') || LEVELS.contains(&part.to_lowercase().as_str()) {
        return Ok(());
    }
    match part.split_once('=') {
        Some((module, _)) if module.split("::").next() == Some(PROGRAM) => Ok(()),
        Some((module, _)) => Err(format!(
            "\"{module}\" is no module of this program; expected {PROGRAM}, or one such as \
             {PROGRAM}::store"
        )),
        None => {
            let hint = suggestion(part, LEVELS.into_iter());
            Err(format!("\"{part}\" is not one of {}; {hint}", LEVELS.join(", ")))
        }
    }
}
