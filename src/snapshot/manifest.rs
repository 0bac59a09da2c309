//! `DATE.rN.json`: what a revision is, for the programs that read it. Everything here
//! follows from the events and the configuration; a manifest holds no time of its own.
//!
//! In: a publication. Out: JSON, and the manifest of JSON.

use serde::{Deserialize, Serialize};

use sketches::ak::Settings;
use sketches::unique::Family;

use super::columns::{Column, Folded};
use crate::config::{AggregateKind, Summary, family_name, mapping};

/// The description of one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the summary.
    pub summary: String,
    /// The day, YYYY-MM-DD.
    pub day: String,
    /// The zone whose midnights begin and end it.
    pub zone: String,
    /// From 1; a greater one replaces it.
    pub revision: u32,
    /// Whether the day had ended, and the grace after it, when this was published.
    pub complete: bool,
    /// Rows of the file.
    pub rows: u64,
    /// Events that the day has seen.
    pub events: u64,
    /// Of the file in the exact dialect, in hexadecimal digits.
    pub sha256: String,
    /// Bytes of that file.
    pub bytes: u64,
    /// All events before this sequence number are in it, and no others.
    pub journal_position: u64,
    /// Number of the checkpoint that it was read from.
    pub checkpoint: u64,
    /// Arrival of the last of those events, or later.
    pub as_of: String,
    /// Number of the summary's definition.
    pub definition: u32,
    /// Columns of the exact dialect, in order.
    pub columns: Vec<ManifestColumn>,
    /// How the sketches were made.
    pub sketches: Vec<Sketch>,
    /// The files.
    pub files: Vec<ManifestFile>,
    /// Cells of the dialect `excel` that were cut to what a spreadsheet takes.
    pub excel_cells_cut: u64,
    /// Cells in which U+FFFD stands for U+0000.
    #[serde(default)]
    pub nul_cells_replaced: u64,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The parameters of one aggregate's sketches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Sketch {
    /// Distinct values.
    Unique {
        /// Name of the aggregate.
        aggregate: String,
        /// The column with the sketch.
        column: String,
        /// Which hash and format: `ak` as PostgreSQL's `hll` takes them, `datasketches` as
        /// Apache's libraries do.
        family: String,
        /// Registers are 2^log2m.
        log2m: u8,
        /// What else PostgreSQL's type is told; for `ak` alone.
        #[serde(flatten)]
        hll: Option<HllParameters>,
    },
    /// A set of distinct values, in Apache's compact form of theta sketches.
    Theta {
        /// Name of the aggregate.
        aggregate: String,
        /// The column with the sketch.
        column: String,
        /// Values that are kept apart are 2^log2k.
        log2k: u8,
    },
    /// The most frequent values, as a list in JSON of value, upper bound and lower bound.
    Top {
        /// Name of the aggregate.
        aggregate: String,
        /// The column with the list.
        column: String,
        /// Values that it has at most.
        k: usize,
        /// Whether other orders of the same events may give other lists: true.
        depends_on_order: bool,
    },
    /// Quantiles, by DDSketch.
    Quantile {
        /// Name of the aggregate.
        aggregate: String,
        /// Greatest relative error of a quantile.
        relative_error: f64,
        /// Bins per sign that are kept apart.
        bins: i32,
        /// What was folded. Manifests of before did not say.
        #[serde(default)]
        folded: Folded,
    },
}

/// What PostgreSQL's `hll(log2m, regwidth, expthresh, sparseon)` is told beside log2m.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HllParameters {
    /// Bits of a register.
    pub regwidth: u8,
    /// Values kept one by one; −1: as many as are shorter.
    pub expthresh: i8,
    /// Whether there is a sparse form: 1.
    pub sparseon: u8,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name, in the folder of the manifest.
    pub name: String,
    /// `exact` or `excel`.
    pub dialect: String,
}

impl Manifest {
    /// Whether a publication with the content of `other` would say nothing new.
    pub fn is_same_content(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
            && self.columns == other.columns
            && self.complete == other.complete
            && self.folded().eq(other.folded())
    }

    /// What was folded, per quantile aggregate.
    fn folded(&self) -> impl Iterator<Item = (&str, Folded)> {
        self.sketches.iter().filter_map(|sketch| match sketch {
            Sketch::Quantile { aggregate, folded, .. } => Some((aggregate.as_str(), *folded)),
            _ => None,
        })
    }

    /// The names of its files in the dialect `excel`.
    pub fn excel_files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|f| f.dialect == "excel").map(|f| f.name.as_str())
    }

    /// The JSON, for people as well.
    pub fn to_json(&self) -> String {
        // A plain struct of numbers and texts has a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The manifest of JSON; none where it is damaged or of another time.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

impl ManifestFile {
    /// A file of a dialect.
    pub fn new(name: String, dialect: &str) -> Self {
        Self { name, dialect: dialect.to_owned() }
    }
}

/// How the columns are described.
pub fn describe_columns(columns: &[Column]) -> Vec<ManifestColumn> {
    let describe = |c: &Column| ManifestColumn { name: c.name.clone(), kind: c.kind.clone() };
    columns.iter().map(describe).collect()
}

/// How the sketches of a summary are described. `folded` is what was folded, per aggregate.
pub fn describe_sketches(summary: &Summary, folded: &[Folded]) -> Vec<Sketch> {
    let describe = |(at, aggregate): (usize, &crate::config::Aggregate)| match aggregate.kind {
        AggregateKind::Unique { family, log2m, .. } => {
            let settings = Settings::postgresql(log2m);
            let hll = HllParameters {
                regwidth: settings.register_bits,
                expthresh: -1,
                sparseon: u8::from(settings.sparse),
            };
            Some(Sketch::Unique {
                aggregate: aggregate.name.clone(),
                column: aggregate.kind.columns(&aggregate.name).pop()?,
                family: family_name(family).to_owned(),
                log2m,
                hll: (family == Family::Ak).then_some(hll),
            })
        }
        AggregateKind::Theta { log2k, .. } => Some(Sketch::Theta {
            aggregate: aggregate.name.clone(),
            column: aggregate.kind.columns(&aggregate.name).pop()?,
            log2k,
        }),
        AggregateKind::Top { k, .. } => Some(Sketch::Top {
            aggregate: aggregate.name.clone(),
            column: aggregate.name.clone(),
            k,
            depends_on_order: true,
        }),
        AggregateKind::Quantile { error, .. } => Some(Sketch::Quantile {
            aggregate: aggregate.name.clone(),
            relative_error: error,
            bins: mapping(error).kept().bins(),
            folded: folded[at],
        }),
        _ => None,
    };
    summary.aggregates.iter().enumerate().filter_map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::fixture;

    #[test]
    fn sketches_say_how_they_were_made() {
        let schema = fixture::schema();
        let folded = [0, 0, 0, 7, 0].map(|values| Folded { values, rows: values.min(1) });
        let sketches = describe_sketches(&schema.summaries[0], &folded);
        let json = serde_json::to_value(sketches).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"kind": "unique", "aggregate": "users", "column": "users_hll", "family": "ak",
                 "log2m": 14, "regwidth": 5, "expthresh": -1, "sparseon": 1},
                {"kind": "quantile", "aggregate": "latency", "relative_error": 0.01, "bins": 2048,
                 "folded": {"values": 7, "rows": 1}},
            ])
        );
    }

    #[test]
    fn damaged_manifests_are_none() {
        assert_eq!(Manifest::from_json(b"{\"revision\": 1}"), None);
        assert_eq!(Manifest::from_json(b""), None);
    }
}
