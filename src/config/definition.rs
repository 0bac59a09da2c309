//! What a stored row was made with: the part of a summary's configuration that gives its
//! numbers their meaning. The store keeps it under a permanent number and compares.

use serde::{Deserialize, Serialize};

use super::{AggregateKind, Derivation, Field, FieldSource, Schema, Summary, family_name};

/// A summary as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// IANA name of the zone whose midnight ends the day.
    pub zone: String,
    /// Dimensions, in the order of the key.
    pub dimensions: Vec<DimensionDefinition>,
    /// Canonical text of the filter; empty: none.
    pub filter: String,
    /// Aggregates by name.
    pub aggregates: Vec<AggregateDefinition>,
}

/// A dimension as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DimensionDefinition {
    /// Its name.
    pub name: String,
    /// Its type and, where derived, how.
    pub kind: String,
}

/// An aggregate as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateDefinition {
    /// Its name.
    pub name: String,
    /// Kind, field, type and parameters.
    pub kind: String,
    /// Canonical text of the filter; empty: none.
    pub filter: String,
}

impl Definition {
    /// The definition of a summary.
    pub fn of(schema: &Schema, summary: &Summary) -> Self {
        let text = |filter: &Option<super::Filter>| {
            filter.as_ref().map_or_else(String::new, |f| f.sql.clone())
        };
        Self {
            zone: schema.zone_name.clone(),
            dimensions: summary
                .dimensions
                .iter()
                .map(|&d| DimensionDefinition {
                    name: schema.fields[d].name.clone(),
                    kind: describe_field(schema, &schema.fields[d]),
                })
                .collect(),
            filter: text(&summary.filter),
            aggregates: summary
                .aggregates
                .iter()
                .map(|a| AggregateDefinition {
                    name: a.name.clone(),
                    kind: describe_aggregate(schema, &a.kind),
                    filter: text(&a.filter),
                })
                .collect(),
        }
    }
}

impl Schema {
    /// How a field is described where its meaning matters: `decimal(6)`, `prefix(url, 3)`.
    pub fn describe(&self, field: usize) -> String {
        describe_field(self, &self.fields[field])
    }
}

fn describe_field(schema: &Schema, field: &Field) -> String {
    let FieldSource::Derived(derivation) = &field.source else { return field.kind.to_string() };
    let name = |f: &usize| &schema.fields[*f].name;
    match derivation {
        Derivation::DayPart => "day_part()".to_owned(),
        Derivation::Hour => "hour()".to_owned(),
        Derivation::Weekday => "weekday()".to_owned(),
        Derivation::Bucket { field: f, width } => {
            format!("bucket({}, {width}) as {}", name(f), field.kind)
        }
        Derivation::Lower { field: f } => format!("lower({})", name(f)),
        Derivation::Prefix { field: f, characters } => format!("prefix({}, {characters})", name(f)),
    }
}

fn describe_aggregate(schema: &Schema, kind: &AggregateKind) -> String {
    let of = |f: usize| format!("{} {}", schema.fields[f].name, schema.describe(f));
    match *kind {
        AggregateKind::Count => "count".to_owned(),
        AggregateKind::Sum(f) => format!("sum of {}", of(f)),
        AggregateKind::Min(f) => format!("min of {}", of(f)),
        AggregateKind::Max(f) => format!("max of {}", of(f)),
        AggregateKind::Last(f) => format!("last of {}", of(f)),
        AggregateKind::Unique { field, family, log2m } => {
            format!("unique of {}, family {}, log2m {log2m}", of(field), family_name(family))
        }
        AggregateKind::Theta { field, log2k } => format!("theta of {}, log2k {log2k}", of(field)),
        AggregateKind::Top { field, k } => format!("top of {}, k {k}", of(field)),
        AggregateKind::Quantile { field, error } => {
            format!("quantile of {}, error {error}", of(field))
        }
    }
}
