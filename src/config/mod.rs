//! The configuration, in two steps: as written ([`written`], what the file says) and as
//! meant ([`Config`], checked and resolved to numbers). Nothing downstream sees the first.
//!
//! In: the path of a TOML file. Out: a [`Config`], or one [`ConfigError`] that names the
//! file, the line, the key and what was expected. Knows no sockets and no stored data.

mod addresses;
mod definition;
mod error;
mod formula;
mod number;
mod paths;
mod predicate;
mod record_path;
mod resolve;
mod resolve_aggregates;
mod resolve_events;
mod sql;
mod units;
#[allow(missing_docs)] // field by field the keys of schemas/reference.toml, explained there
pub mod written;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use sketches::quantile::Mapping;
use sketches::unique::Family;

pub use definition::{AggregateDefinition, Definition, DimensionDefinition};
pub use error::ConfigError;
pub(crate) use error::{Problem, shortened, suggestion};
pub use formula::{Formula, Output, Part};
pub use paths::{check_folder, expect_file, socket_path};
pub use predicate::{Comparison, Like, Operand, Ordered, Predicate};
pub use record_path::{Steps, path_steps, written_path};
pub use units::{parse_bytes, parse_micros};

/// The whole configuration as meant.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the store, the published files and the dead letters live.
    pub data_dir: PathBuf,
    /// Number of shard threads, at least 1.
    pub shards: usize,
    /// Bytes that rows in memory may take before cold days leave it.
    pub memory_limit: u64,
    /// How events come in.
    pub ingest: IngestSockets,
    /// How questions come in.
    pub query: QuerySockets,
    /// Microseconds between two checkpoints.
    pub checkpoint_interval_us: i64,
    /// When and how days are published.
    pub snapshots: Snapshots,
    /// How refused events are kept.
    pub dead_letters: DeadLetters,
    /// How the program logs.
    pub log: Log,
    /// What an event is and what is summed up of it.
    pub schema: Schema,
}

/// `[ingest.zmq]`
#[derive(Clone, Debug)]
pub struct IngestSockets {
    /// Addresses that a PULL socket binds.
    pub bind: Vec<String>,
    /// Format of the messages.
    pub format: Format,
    /// Bytes of a message beyond which it is refused and counted.
    pub max_message: u64,
    /// Messages that libzmq queues for each sender before that sender waits.
    pub receive_high_water_mark: i32,
    /// Bytes of the kernel's receive buffer for each sender; 0 leaves it to the kernel.
    pub receive_buffer: i32,
    /// File in which senders are asked to hold back while the server is stopped.
    pub state_file: Option<PathBuf>,
}

/// Format of incoming messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Protobuf where the first byte says so, else JSON.
    Auto,
    /// JSON objects, one or more.
    Json,
    /// `EventBatch` of `schemas/events.proto`.
    Protobuf,
}

/// `[query.zmq]`
#[derive(Clone, Debug)]
pub struct QuerySockets {
    /// Addresses that the ROUTER socket binds.
    pub bind: Vec<String>,
    /// Threads that answer.
    pub workers: usize,
    /// Groups that one answer may hold before it is an error.
    pub max_rows: usize,
    /// Rows that one answer may read before it is an error.
    pub max_scan: u64,
    /// Microseconds that one answer may take before it is an error.
    pub timeout_us: i64,
}

/// `[snapshots]`
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// Microseconds after midnight at which a day is published.
    pub grace_us: i64,
    /// Microseconds without a change after which a changed past day is published again.
    pub quiet_us: i64,
    /// Revisions of a day that are kept.
    pub keep_revisions: u32,
    /// Whether the `excel` dialect is published beside the exact one.
    pub excel: bool,
    /// Whether published files have U+FFFD for U+0000, which some readers cannot hold.
    pub replaces_nul: bool,
}

/// `[dead_letters]`
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// Bytes of one day's file beyond which refused events are only counted.
    pub max_file: u64,
    /// Days after which a file is deleted.
    pub keep_days: u32,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// One JSON object per line instead of text.
    pub json: bool,
    /// A filter as `tracing` reads it.
    pub level: String,
}

/// What an event is and what is summed up of it.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Where an event's time is and how it is written.
    pub time: TimeField,
    /// Path of the event's id, where it has one.
    pub id: Option<Vec<String>>,
    /// The zone whose midnight ends the day.
    pub zone: TimeZone,
    /// Its IANA name.
    pub zone_name: String,
    /// Microseconds that an event may be ahead of its arrival.
    pub future_tolerance_us: i64,
    /// All fields; summaries name them by their place here.
    pub fields: Vec<Field>,
    /// All summaries, in the order of the file.
    pub summaries: Vec<Summary>,
}

/// `event.time`
#[derive(Clone, Debug)]
pub struct TimeField {
    /// Path into the record.
    pub path: Vec<String>,
    /// How the time is written.
    pub format: TimeFormat,
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Whole or fractional seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// Microseconds since 1970.
    UnixMicros,
    /// `2026-11-20T12:34:56.789Z`, with an offset.
    Rfc3339,
    /// A strptime pattern; read in the zone of `[event]` where it has no offset.
    Pattern(String),
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::UnixSeconds => "unix_s",
            Self::UnixMillis => "unix_ms",
            Self::UnixMicros => "unix_us",
            Self::Rfc3339 => "rfc3339",
            Self::Pattern(pattern) => pattern,
        })
    }
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// UTF-8 text.
    String,
    /// 64-bit integer.
    Int,
    /// 64-bit integer scaled by 10^-scale.
    Decimal(u8),
    /// Finite, below 2^40 in size.
    Float,
    /// true or false.
    Bool,
}

impl fmt::Display for FieldType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => out.write_str("string"),
            Self::Int => out.write_str("int"),
            Self::Decimal(scale) => write!(out, "decimal({scale})"),
            Self::Float => out.write_str("float"),
            Self::Bool => out.write_str("bool"),
        }
    }
}

/// One configured field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in summaries, files and questions.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
    /// Where its value comes from.
    pub source: FieldSource,
}

/// Where a field's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// A path into the record.
    Record(Vec<String>),
    /// Computed from the event's time or from another field.
    Derived(Derivation),
}

/// How a derived field is computed. Fields are named by their place in [`Schema::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivation {
    /// `night` from 0 h, `morning` from 6 h, `afternoon` from 12 h, `evening` from 18 h.
    DayPart,
    /// 0 to 23, in the zone.
    Hour,
    /// 1 (Monday) to 7 (Sunday), in the zone.
    Weekday,
    /// The lower edge of the value's bucket: `width` is in units of the field's scale.
    Bucket {
        /// The field.
        field: usize,
        /// Width of a bucket.
        width: i64,
    },
    /// Lower case by Unicode's rules.
    Lower {
        /// The field.
        field: usize,
    },
    /// The first characters.
    Prefix {
        /// The field.
        field: usize,
        /// How many.
        characters: usize,
    },
}

/// One configured summary.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its name: of files, in questions.
    pub name: String,
    /// The fields that make a key.
    pub dimensions: Vec<usize>,
    /// Which events it takes.
    pub filter: Option<Filter>,
    /// What it keeps per key.
    pub aggregates: Vec<Aggregate>,
    /// What is computed from the aggregates on output.
    pub derived: Vec<Derived>,
    /// Days that it keeps; none: for ever.
    pub retain_days: Option<u32>,
}

/// A condition and how it is written in canonical SQL.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Canonical text, compared when the configuration changes.
    pub sql: String,
    /// What is evaluated.
    pub predicate: Predicate,
}

/// One configured aggregate.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Its name: of columns, in questions.
    pub name: String,
    /// What it computes.
    pub kind: AggregateKind,
    /// Which of the summary's events it sees.
    pub filter: Option<Filter>,
}

/// What an aggregate computes, of which field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AggregateKind {
    /// Number of events.
    Count,
    /// Sum of an int, decimal or float field.
    Sum(usize),
    /// Smallest value.
    Min(usize),
    /// Greatest value.
    Max(usize),
    /// Value of the newest event.
    Last(usize),
    /// Number of distinct values.
    Unique {
        /// The field.
        field: usize,
        /// Which hash and published form.
        family: Family,
        /// Registers of the dense form are 2^log2m.
        log2m: u8,
    },
    /// Number of distinct values, as sets that can be intersected and subtracted.
    Theta {
        /// The field.
        field: usize,
        /// Values that are kept apart are 2^log2k.
        log2k: u8,
    },
    /// The most frequent values.
    Top {
        /// The field.
        field: usize,
        /// How many of them.
        k: usize,
    },
    /// Quantiles.
    Quantile {
        /// The field.
        field: usize,
        /// Relative error of a quantile.
        error: f64,
    },
}

/// How a family is called in the configuration and in manifests.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ak => "ak",
        Family::DataSketches => "datasketches",
    }
}

/// The mapping of a quantile whose error was checked.
#[allow(clippy::expect_used)]
pub fn mapping(error: f64) -> Mapping {
    Mapping::new(error).expect("the configuration has checked the error")
}

impl AggregateKind {
    /// The field that is measured; none for a count.
    pub fn field(&self) -> Option<usize> {
        match *self {
            Self::Count => None,
            Self::Sum(field) | Self::Min(field) | Self::Max(field) | Self::Last(field) => {
                Some(field)
            }
            Self::Unique { field, .. }
            | Self::Theta { field, .. }
            | Self::Top { field, .. }
            | Self::Quantile { field, .. } => Some(field),
        }
    }
}

/// A column computed on output.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Its name.
    pub name: String,
    /// The formula as written.
    pub sql: String,
    /// What is computed, in f64; null where undefined.
    pub formula: Formula,
}

impl Schema {
    /// Identifies the schema on batches: equal schemas, equal numbers.
    pub fn fingerprint(&self) -> u64 {
        use sha2::Digest;
        let described = format!(
            "{:?} {:?} {} {} {:?} {:?}",
            self.time,
            self.id,
            self.zone_name,
            self.future_tolerance_us,
            self.fields,
            self.summaries
        );
        let hash = sha2::Sha256::digest(described.as_bytes());
        hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Summary {
    /// The place of an aggregate by name.
    pub fn aggregate(&self, name: &str) -> Option<usize> {
        self.aggregates.iter().position(|a| a.name == name)
    }
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve: its sockets and files must be possible.
    Serve,
    /// To publish what is stored: nobody connects.
    Publish,
}

impl Config {
    /// Reads and resolves a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_for(Purpose::Serve, path, None)
    }

    /// Reads and resolves a file; its data is in another folder than it says, if one is named.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load_for(
        purpose: Purpose,
        path: &Path,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
            file: path.to_owned(),
            line: 0,
            key: String::new(),
            message: format!("cannot be read: {e}; name a readable TOML file with -c FILE"),
        })?;
        Self::parse_for(purpose, &text, path, data_dir)
    }

    /// Resolves the text of a file. `path` is for messages only.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_for(Purpose::Serve, text, path, None)
    }

    /// Resolves the text of a file as [`Config::load_for`] does.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse_for(
        purpose: Purpose,
        text: &str,
        path: &Path,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        resolve::resolve(text, purpose, data_dir).map_err(|problem| problem.at(text, path))
    }
}
