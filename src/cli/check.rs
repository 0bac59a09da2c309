//! `summarizer check`: validates a configuration and prints what was understood.

use std::path::Path;

use anyhow::bail;

use super::{Configured, say};
use crate::config::{AggregateKind, Config, FieldSource, Schema, Summary, family_name};
use crate::store::{Registry, Store};

/// Validate a configuration and print what was understood
///
/// Also holds it against what the data folder has stored, and refuses what stored rows
/// contradict, as serve does.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  summarizer check -c schemas/wikipedia.toml")]
pub struct Args {
    #[command(flatten)]
    configured: Configured,
}

/// Runs the command.
///
/// # Errors
/// The first thing that is wrong.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.configured.load()?;
    check_paths(&config)?;
    let folder = config.data_dir.join("store");
    let stored = Store::is_in(&folder);
    if stored {
        let store = Store::open_read_only(&folder)?;
        Registry::resolve(&store, &config.schema)?;
    }
    let state = if stored { "fits what is stored there" } else { "nothing is stored there yet" };
    say(format!(
        "{}\n{} is sound; data in {}: {state}",
        describe(&config),
        args.configured.config.display(),
        config.data_dir.display()
    ))
}

/// Refuses paths that serve could not make. Whether this user may make them is left to serve,
/// which may run as another.
fn check_paths(config: &Config) -> anyhow::Result<()> {
    let shown = config.data_dir.display();
    if let Some(there) = config.data_dir.ancestors().find(|path| path.exists())
        && !there.is_dir()
    {
        bail!("data_dir: {shown} cannot be made: {} is a file; name a folder", there.display());
    }
    let state = config.ingest.state_file.iter().map(|file| ("ingest.zmq.state_file", &**file));
    let ingest = config.ingest.bind.iter().map(|address| ("ingest.zmq.bind", address));
    let query = config.query.bind.iter().map(|address| ("query.zmq.bind", address));
    let sockets = ingest.chain(query).filter_map(|(key, address)| {
        // Abstract names are not files; the system chooses a path for `*`.
        let path = address.strip_prefix("ipc://").filter(|path| !path.starts_with(['@', '*']))?;
        Some((key, Path::new(path)))
    });
    state.chain(sockets).try_for_each(|(key, path)| check_folder(key, path))
}

/// Refuses a file whose folder is not there.
fn check_folder(key: &str, file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // What is below /run is empty after a boot; the service manager makes our part of it.
    let is_made_later = ["/run", "/var/run"].iter().any(|run| folder.starts_with(run));
    if folder.is_dir() || (is_made_later && !folder.exists()) {
        return Ok(());
    }
    let what = if folder.exists() { "is no folder" } else { "does not exist" };
    bail!(
        "{key}: {} cannot be made: {} {what}; make it a folder, or choose another path",
        file.display(),
        folder.display()
    )
}

/// What was understood, for people.
pub fn describe(config: &Config) -> String {
    let schema = &config.schema;
    let mut out = Vec::new();
    out.push(format!("events     at {}", config.ingest.bind.join(", ")));
    out.push(format!("questions  at {}", config.query.bind.join(", ")));
    out.push(format!("shards     {}", config.shards));
    out.push(format!("memory     {} MB of rows", config.memory_limit / 1_000_000));
    let time = &schema.time;
    out.push(format!("time       {} as {}", time.path.join("."), time.format));
    out.push(format!("day        ends at midnight in {}", schema.zone_name));
    if let Some(id) = &schema.id {
        out.push(format!("id         {} (kept; deduplication is not built yet)", id.join(".")));
    }
    out.push("\nfields".to_owned());
    for (at, field) in schema.fields.iter().enumerate() {
        let from = match &field.source {
            FieldSource::Record(path) => format!("{}, from {}", field.kind, path.join(".")),
            FieldSource::Derived(_) => format!("{}, {}", field.kind, schema.describe(at)),
        };
        out.push(format!("  {:<20} {from}", field.name));
    }
    for summary in &schema.summaries {
        out.push(String::new());
        describe_summary(schema, summary, &mut out);
    }
    out.join("\n") + "\n"
}

fn describe_summary(schema: &Schema, summary: &Summary, out: &mut Vec<String>) {
    let dimensions: Vec<&str> =
        summary.dimensions.iter().map(|&d| schema.fields[d].name.as_str()).collect();
    let key = if dimensions.is_empty() { "one row".to_owned() } else { dimensions.join(" × ") };
    out.push(format!("summary {}: per day, {key}", summary.name));
    if let Some(filter) = &summary.filter {
        out.push(format!("  where {}", filter.sql));
    }
    for aggregate in &summary.aggregates {
        let of = |f: usize| format!("{} ({})", schema.fields[f].name, schema.describe(f));
        let what = match aggregate.kind {
            AggregateKind::Count => "number of events".to_owned(),
            AggregateKind::Sum(f) => format!("sum of {}", of(f)),
            AggregateKind::Min(f) => format!("smallest {}", of(f)),
            AggregateKind::Max(f) => format!("greatest {}", of(f)),
            AggregateKind::Last(f) => format!("newest {}", of(f)),
            AggregateKind::Unique { field, family, log2m } => {
                let family = family_name(family);
                format!("distinct values of {}, family {family}, log2m {log2m}", of(field))
            }
            AggregateKind::Theta { field, log2k } => {
                format!("set of the distinct values of {}, log2k {log2k}", of(field))
            }
            AggregateKind::Top { field, k } => {
                format!("the {k} most frequent values of {}", of(field))
            }
            AggregateKind::Quantile { field, error } => {
                format!("quantiles of {}, within {} %", of(field), error * 100.0)
            }
        };
        let filter =
            aggregate.filter.as_ref().map_or(String::new(), |f| format!(", where {}", f.sql));
        out.push(format!("  {:<20} {what}{filter}", aggregate.name));
    }
    for derived in &summary.derived {
        out.push(format!("  {:<20} {}, computed on output", derived.name, derived.sql));
    }
    if let Some(days) = summary.retain_days {
        out.push(format!("  kept for {days} days"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_refused_that_could_not_be_made() {
        let here = tempfile::tempdir().unwrap();
        std::fs::write(here.path().join("file"), "").unwrap();
        let at = |path: &str| here.path().join(path);
        let config = |data_dir: &str, state: &str, socket: &str| {
            let mut config = Config::load("schemas/wikipedia.toml".as_ref()).unwrap();
            config.data_dir = at(data_dir);
            config.ingest.state_file = Some(at(state));
            config.query.bind = vec![format!("ipc://{}", at(socket).display())];
            check_paths(&config)
                .map_err(|e| e.to_string().replace(&at("").display().to_string(), ""))
        };
        assert_eq!(config("not/there/yet", "state", "ask"), Ok(()));
        for (refused, expected) in [
            (
                config("file", "s", "a"),
                "data_dir: file cannot be made: file is a file; name a folder",
            ),
            (
                config("file/data", "s", "a"),
                "data_dir: file/data cannot be made: file is a file; name a folder",
            ),
            (
                config("data", "no/s", "a"),
                "ingest.zmq.state_file: no/s cannot be made: no does not exist; make it a folder, or choose another path",
            ),
            (
                config("data", "s", "file/a"),
                "query.zmq.bind: file/a cannot be made: file is no folder; make it a folder, or choose another path",
            ),
        ] {
            assert_eq!(refused, Err(expected.to_owned()));
        }
        assert!(check_folder("state", Path::new("/run/not-there-yet/state")).is_ok());
        assert!(check_folder("state", Path::new("state")).is_ok());
        assert!(check_folder("state", Path::new("/not-there/state")).is_err());
    }
}
