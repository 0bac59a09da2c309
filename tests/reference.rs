//! Keeps `schemas/reference.toml` true: it loads, shows the defaults that the code has, and
//! names every key that the code knows and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use summarizer::config::{Config, ConfigError};
use toml::{Table, Value};

/// Keys that are known only to be refused as not built yet. The file names them in a comment.
const UNBUILT: [&str; 5] = ["journal", "dedup", "http", "ingest.zmq.curve", "query.zmq.curve"];

/// A configuration without any setting.
const MINIMAL: &str = r#"
    [event]
    time = { field = "ts", format = "unix_ms" }
    [[summary]]
    name = "all"
    dimensions = []
    aggregates = [{ name = "events", count = true }]
"#;

/// Keys of the schema that the file writes out with their default value.
const DEFAULTS: [&str; 9] = [
    "event.zone",
    "event.future_tolerance",
    "field.from",
    "field.type",
    "summary.aggregates.family",
    "summary.aggregates.log2m",
    "summary.aggregates.log2k",
    "summary.aggregates.k",
    "summary.aggregates.error",
];

fn path() -> &'static Path {
    Path::new("schemas/reference.toml")
}

fn text() -> String {
    std::fs::read_to_string(path()).expect("schemas/reference.toml is there")
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

fn table() -> Table {
    text().parse().expect("it is TOML")
}

#[test]
fn it_loads() {
    Config::load(path()).unwrap_or_else(|error| panic!("{error}"));
}

/// The Debug text of everything but the schema. Destructured, so that a new part of the
/// configuration cannot be forgotten here.
fn settings(config: Config) -> Vec<(&'static str, String)> {
    let Config {
        data_dir,
        shards,
        memory_limit,
        ingest,
        query,
        checkpoint_interval_us,
        snapshots,
        dead_letters,
        log,
        schema: _,
    } = config;
    vec![
        ("data_dir", format!("{data_dir:?}")),
        ("shards", format!("{shards:?}")),
        ("memory_limit", format!("{memory_limit:?}")),
        ("ingest", format!("{ingest:?}")),
        ("query", format!("{query:?}")),
        ("checkpoint", format!("{checkpoint_interval_us:?}")),
        ("snapshots", format!("{snapshots:?}")),
        ("dead_letters", format!("{dead_letters:?}")),
        ("log", format!("{log:?}")),
    ]
}

#[test]
fn it_shows_the_defaults_of_the_program() {
    let minimal = parse(MINIMAL).unwrap_or_else(|error| panic!("{error}"));
    let reference = parse(&text()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings(reference), settings(minimal));
}

#[test]
fn it_shows_the_defaults_of_the_schema() {
    let whole = parse(&text()).unwrap_or_else(|error| panic!("{error}"));
    let mut left_out = table();
    let mut removed = BTreeSet::new();
    for_each_table(&mut left_out, "", &mut |table, at| {
        // A type that is not the default one has to stay.
        let is_default = |key: &str, value: &Value| {
            DEFAULTS.contains(&join(at, key).as_str())
                && (key != "type" || value.as_str() == Some("string"))
        };
        table.retain(|key, value| {
            let remove = is_default(key, value);
            if remove {
                removed.insert(join(at, key));
            }
            !remove
        });
    });
    assert_eq!(removed, DEFAULTS.map(str::to_owned).into(), "keys that the file writes out");
    let without = parse(&left_out.to_string()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(format!("{:?}", whole.schema), format!("{:?}", without.schema));
}

#[test]
fn an_optional_path_is_taken_as_written() {
    let with = MINIMAL.to_owned() + "[ingest.zmq]\nstate_file = \"/run/x/state\"\n";
    let config = parse(&with).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.ingest.state_file.as_deref(), Some(Path::new("/run/x/state")));
}

#[test]
fn it_names_every_key_and_no_other() {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut places = Vec::new();
    let mut written = table();
    for_each_table(&mut written, "", &mut |table, at| {
        named.entry(at.to_owned()).or_default().extend(table.keys().cloned());
        places.push(at.to_owned());
    });
    for (at, named) in &named {
        let known: BTreeSet<String> = known_keys(at)
            .into_iter()
            .filter(|key| !UNBUILT.contains(&join(at, key).as_str()))
            .collect();
        assert_eq!(*named, known, "keys of [{at}]: left the file's, right the program's");
    }
    assert!(places.len() > named.len(), "lists of tables were walked");
}

#[test]
fn it_says_what_is_not_built_yet() {
    let comments: String = text().lines().filter(|l| l.starts_with('#')).collect();
    for key in UNBUILT {
        let (table, last) = key.rsplit_once('.').unwrap_or(("", key));
        let shown = if last == "curve" { key } else { last };
        assert!(comments.contains(shown), "no comment names {key}");
        assert!(known_keys(table).contains(last), "{key} is not a key of the program");
    }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Visits a table and all tables in it; those of a list share one name.
fn for_each_table(table: &mut Table, at: &str, visit: &mut impl FnMut(&mut Table, &str)) {
    visit(table, at);
    for (key, value) in table.iter_mut() {
        let at = join(at, key);
        match value {
            Value::Table(inner) => for_each_table(inner, &at, visit),
            Value::Array(items) => {
                for item in items.iter_mut().filter_map(Value::as_table_mut) {
                    for_each_table(item, &at, visit);
                }
            }
            _ => {}
        }
    }
}

/// The keys that the program knows in a table: those it names when it meets another one.
fn known_keys(at: &str) -> BTreeSet<String> {
    const UNKNOWN: &str = "no_such_key";
    let mut changed = table();
    let mut done = false;
    for_each_table(&mut changed, "", &mut |table, place| {
        if place == at && !done {
            table.insert(UNKNOWN.to_owned(), Value::Boolean(true));
            done = true;
        }
    });
    assert!(done, "[{at}] is in the file");
    let error = parse(&changed.to_string()).expect_err("an unknown key is refused");
    let (_, expected) = error
        .message
        .split_once(&format!("unknown field \"{UNKNOWN}\", expected "))
        .unwrap_or_else(|| panic!("[{at}]: {error}"));
    // "one of "a", "b"", or "a" or "b", or just "a": every second piece is a key.
    expected.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
