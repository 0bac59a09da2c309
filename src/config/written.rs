//! The configuration as written: what the TOML file says, before anything is checked.
//! Only `config::resolve` sees these types. Unknown keys are refused by serde.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

/// A text with its place in the file, for messages.
pub type Text = Spanned<String>;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub data_dir: Option<Text>,
    pub shards: Option<Spanned<CountOrAuto>>,
    pub memory_limit: Option<Text>,
    #[serde(default)]
    pub ingest: Ingest,
    #[serde(default)]
    pub query: Query,
    #[serde(default)]
    pub checkpoint: Checkpoint,
    #[serde(default)]
    pub snapshots: Snapshots,
    #[serde(default)]
    pub dead_letters: DeadLetters,
    #[serde(default)]
    pub log: Log,
    pub event: Spanned<Event>,
    #[serde(default)]
    pub field: Vec<Spanned<Field>>,
    #[serde(default)]
    pub summary: Vec<Spanned<Summary>>,
    // Sections of the design that are not built yet: known, so that they are refused as such.
    pub journal: Option<Spanned<toml::Table>>,
    pub dedup: Option<Spanned<toml::Table>>,
    pub http: Option<Spanned<toml::Table>>,
}

/// `[ingest]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    #[serde(default)]
    pub zmq: IngestZmq,
}

/// `[ingest.zmq]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct IngestZmq {
    pub bind: Option<Spanned<OneOrMany>>,
    pub format: Option<Text>,
    pub max_message: Option<Text>,
    pub receive_high_water_mark: Option<Spanned<i64>>,
    pub receive_buffer: Option<Text>,
    pub receive_budget: Option<Text>,
    pub state_file: Option<Text>,
    pub insecure: Option<bool>,
    pub curve: Option<Spanned<toml::Value>>,
}

/// `[query]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    pub zmq: QueryZmq,
}

/// `[query.zmq]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct QueryZmq {
    pub bind: Option<Spanned<OneOrMany>>,
    pub workers: Option<Spanned<i64>>,
    pub max_rows: Option<Spanned<i64>>,
    pub max_scan: Option<Spanned<i64>>,
    pub timeout: Option<Text>,
    pub insecure: Option<bool>,
    pub curve: Option<Spanned<toml::Value>>,
}

/// `[checkpoint]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub interval: Option<Text>,
}

/// `[snapshots]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    pub grace: Option<Text>,
    pub quiet: Option<Text>,
    pub keep_revisions: Option<Spanned<i64>>,
    pub dialects: Option<Spanned<OneOrMany>>,
    pub nul: Option<Text>,
}

/// `[dead_letters]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    pub max_file: Option<Text>,
    pub keep_days: Option<Spanned<i64>>,
}

/// `[log]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: Option<Text>,
    pub level: Option<Text>,
}

/// `[event]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub time: Spanned<Time>,
    pub id: Option<Text>,
    pub zone: Option<Text>,
    pub future_tolerance: Option<Text>,
}

/// `event.time`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    pub field: Text,
    pub format: Text,
}

/// `[[field]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: Text,
    pub from: Option<Text>,
    #[serde(rename = "type")]
    pub kind: Option<Text>,
    pub derive: Option<Text>,
}

/// `[[summary]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub name: Text,
    pub dimensions: Vec<Text>,
    #[serde(rename = "where")]
    pub filter: Option<Text>,
    pub aggregates: Vec<Spanned<Aggregate>>,
    #[serde(default)]
    pub derived: Vec<Spanned<Derived>>,
    pub retain_days: Option<Spanned<i64>>,
}

/// One entry of `aggregates`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    pub name: Text,
    pub count: Option<Spanned<bool>>,
    pub sum: Option<Text>,
    pub min: Option<Text>,
    pub max: Option<Text>,
    pub last: Option<Text>,
    pub unique: Option<Text>,
    pub theta: Option<Text>,
    pub top: Option<Text>,
    pub quantile: Option<Text>,
    pub family: Option<Text>,
    pub log2m: Option<Spanned<i64>>,
    pub log2k: Option<Spanned<i64>>,
    pub k: Option<Spanned<i64>>,
    pub error: Option<Spanned<f64>>,
    #[serde(rename = "where")]
    pub filter: Option<Text>,
}

/// One entry of `derived`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    pub name: Text,
    pub sql: Text,
}

/// `"auto"` or a whole number.
pub enum CountOrAuto {
    Auto,
    Count(i64),
}

impl<'de> Deserialize<'de> for CountOrAuto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expecting;
        impl Visitor<'_> for Expecting {
            type Value = CountOrAuto;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("\"auto\" or a whole number")
            }
            fn visit_i64<E: Error>(self, count: i64) -> Result<CountOrAuto, E> {
                Ok(CountOrAuto::Count(count))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<CountOrAuto, E> {
                match text {
                    "auto" => Ok(CountOrAuto::Auto),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Expecting)
    }
}

/// One text, or a list of texts.
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expecting;
        impl<'de> Visitor<'de> for Expecting {
            type Value = OneOrMany;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a string or a list of strings")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Expecting)
    }
}
