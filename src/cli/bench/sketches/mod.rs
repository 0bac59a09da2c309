//! `summarizer bench sketches`: what the sketches cost, beside the libraries that do the
//! same, and the most that is wanted of ours.
//!
//! Each library is measured in a process of its own: memory is how much that grew, allocator
//! and all, and no library finds what another left behind.

mod measure;
mod quantile;
mod unique;

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::cli::say;
use measure::Figures;

/// Measure the sketches, beside other libraries
///
/// A sketch a key, of which the r-th sees ⌈keys / r⌉ values, and single busy sketches. Times
/// are processor time of one thread, the least of three runs; memory is how much a process
/// that fills the sketches grew, their own places included.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  summarizer bench sketches\n  summarizer bench sketches --keys 100000 --json"
)]
pub struct Args {
    /// Sketches that are filled
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    keys: u32,
    /// Print JSON on a terminal too
    #[arg(long)]
    json: bool,
    /// Measure this one here, and print its figures
    #[arg(long, hide = true)]
    part: Option<String>,
}

/// What is measured in one process: its name, the column of its figures, and how.
struct Part {
    name: &'static str,
    column: &'static str,
    measure: fn(usize) -> Figures,
}

const OURS: &str = "ours";

/// All columns: ours, and the libraries by name.
const COLUMNS: [&str; 4] = [OURS, "datasketches", "hyperloglogplus", "sketches-ddsketch"];

const PARTS: [Part; 6] = [
    Part { name: "unique", column: OURS, measure: unique::ours },
    Part { name: "unique-datasketches", column: COLUMNS[1], measure: unique::datasketches },
    Part { name: "unique-hyperloglogplus", column: COLUMNS[2], measure: unique::hyperloglogplus },
    Part { name: "quantile", column: OURS, measure: quantile::ours },
    Part { name: "quantile-ddsketch", column: COLUMNS[3], measure: quantile::ddsketch },
    Part { name: "coupons", column: OURS, measure: unique::coupons },
];

/// One line of the table. Its name is what the parts call the figure.
struct Work {
    name: &'static str,
    unit: &'static str,
    wanted_at_most: Option<f64>,
}

const fn work(name: &'static str, unit: &'static str, wanted_at_most: Option<f64>) -> Work {
    Work { name, unit, wanted_at_most }
}

/// The lines. Updates of the libraries include their hash, or finding the bin.
const WORKS: [Work; 18] = [
    work("unique: memory of a key", "bytes", Some(80.0)),
    work("unique: update, key by key", "ns", Some(20.0)),
    work("unique: update, shuffled over all keys, in batches", "ns", Some(40.0)),
    work("unique: update, shuffled over all keys, one by one", "ns", None),
    work("unique: update of one dense sketch", "ns", Some(2.0)),
    work("unique: union of two dense sketches", "µs", Some(2.0)),
    work("unique: estimate of a dense sketch", "µs", None),
    work("unique: store a dense sketch", "µs", None),
    work("unique: read a dense sketch", "µs", None),
    work("unique: publish a dense sketch", "µs", None),
    work("quantile: memory of a key", "bytes", Some(150.0)),
    work("quantile: add, key by key", "ns", Some(20.0)),
    work("quantile: add to one hot sketch", "ns", None),
    work("quantile: one question", "µs", None),
    work("quantile: bin of a value", "ns", Some(5.0)),
    work("coupon of 8 bytes", "ns", None),
    work("coupon of 16 bytes", "ns", None),
    work("coupon of 32 bytes", "ns", None),
];

/// Runs the command.
///
/// # Errors
/// Where a process cannot be started or fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(name) = &args.part {
        let part = PARTS.iter().find(|part| part.name == name);
        let part = part.with_context(|| format!("there is no part {name}"))?;
        return say(serde_json::to_string(&(part.measure)(args.keys as usize))?);
    }
    let mut rows: Vec<Map<String, Value>> = WORKS.iter().map(empty_row).collect();
    for part in &PARTS {
        for (name, figure) in measure_apart(part, args.keys)? {
            let row = WORKS.iter().position(|work| work.name == name);
            let row = row.with_context(|| format!("no row is called {name}"))?;
            rows[row].insert(part.column.to_owned(), figure);
        }
    }
    if args.json || !std::io::stdout().is_terminal() {
        say(json!({ "keys": args.keys, "rows": rows }))
    } else {
        say(table(&rows))
    }
}

fn empty_row(work: &Work) -> Map<String, Value> {
    let known = [
        ("work", work.name.into()),
        ("unit", work.unit.into()),
        ("wanted_at_most", work.wanted_at_most.into()),
    ];
    let columns = COLUMNS.map(|column| (column, Value::Null));
    known.into_iter().chain(columns).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Measures a part in a process of its own.
fn measure_apart(part: &Part, keys: u32) -> anyhow::Result<Map<String, Value>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "sketches", "--part", part.name, "--keys", &keys.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start the measurement of {}", part.name))?;
    if !output.status.success() {
        bail!("the measurement of {} ended with {}", part.name, output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the measurement of {} printed no figures", part.name))
}

fn table(rows: &[Map<String, Value>]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    let titles = ["work", "unit", OURS, "wanted at most"];
    table.set_header(titles.iter().chain(&COLUMNS[1..]));
    let names = ["work", "unit", OURS, "wanted_at_most"];
    for row in rows {
        table.add_row(names.iter().chain(&COLUMNS[1..]).map(|&name| match row.get(name) {
            Some(Value::Number(figure)) => format!("{:.2}", figure.as_f64().unwrap_or(0.0)),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        }));
    }
    table
}
