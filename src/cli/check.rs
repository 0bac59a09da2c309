//! `summarizer check`: validates a configuration and prints what was understood.

use super::{Configured, say};
use crate::config::{
    AggregateKind, Config, FieldSource, Purpose, Schema, Summary, family_name, mapping,
};
use crate::server::question_address;
use crate::snapshot::Origin;
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
    let config = args.configured.load(Purpose::Serve)?;
    let folder = config.data_dir.join("store");
    Origin::expect_store(&config.data_dir, &folder).map_err(anyhow::Error::msg)?;
    let state = match Store::is_in(&folder).then(|| Store::open_read_only(&folder)) {
        None => "nothing is stored there yet",
        Some(Err(error)) if Store::would_be_mended(&folder, &error) => {
            "its store lacks files of its last checkpoint, which the next start gives back to it"
        }
        Some(store) => {
            let store = store?;
            // What a running server has published since may be more than was just seen of its store.
            if matches!(question_address(&config.data_dir), Ok(None)) {
                Origin::check(&config.data_dir, &store).map_err(anyhow::Error::msg)?;
            }
            Registry::resolve(&store, &config.schema)?;
            "fits what is stored there"
        }
    };
    say(format!(
        "{}\n{} is sound; data in {}: {state}",
        describe(&config),
        args.configured.config.display(),
        config.data_dir.display()
    ))
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
            FieldSource::Derived(_) => format!("{}, {}", field.kind, schema.explain(at)),
        };
        out.push(format!("  {:<20} {from}", field.name));
    }
    for summary in &schema.summaries {
        out.push(String::new());
        describe_summary(schema, summary, &mut out);
    }
    out.join("\n") + "\n"
}

/// What quantiles of an error keep.
fn describe_bins(error: f64) -> String {
    let mapping = mapping(error);
    format!(
        "within {} %, by {} bins a sign: {} orders of magnitude below the greatest value, lower \
         values are folded into the lowest bin, which the answer and the file's manifest tell",
        error * 100.0,
        mapping.kept().bins(),
        mapping.orders_of_magnitude()
    )
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
        let of = |f: usize| format!("{} ({})", schema.fields[f].name, schema.explain(f));
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
                format!("quantiles of {}, {}", of(field), describe_bins(error))
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
    fn quantiles_say_what_they_keep() {
        for (error, said) in [
            (0.001, "within 0.1 %, by 15104 bins a sign: 13 orders of magnitude"),
            (0.01, "within 1 %, by 2048 bins a sign: 17 orders of magnitude"),
        ] {
            let described = describe_bins(error);
            assert!(described.starts_with(said) && described.contains("folded"), "{described}");
        }
    }
}
