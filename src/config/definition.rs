//! What a stored row was made with: the part of a summary's configuration that gives its
//! numbers their meaning. The store keeps it under a permanent number and compares.

use serde::{Deserialize, Serialize};

use super::record_path::written_path;
use super::{
    AggregateKind, Derivation, FieldSource, FieldType, Filter, Schema, Summary, family_name,
};

/// A summary as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// IANA name of the zone whose midnight ends the day.
    pub zone: String,
    /// Where the time of an event is read from.
    pub time: String,
    /// Dimensions, in the order of the key.
    pub dimensions: Vec<DimensionDefinition>,
    /// The filter and the fields that it reads; empty: none.
    pub filter: String,
    /// Aggregates by name.
    pub aggregates: Vec<AggregateDefinition>,
}

/// A dimension as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DimensionDefinition {
    /// Its name.
    pub name: String,
    /// Its type and where it comes from.
    pub kind: String,
}

/// An aggregate as far as stored rows depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateDefinition {
    /// Its name.
    pub name: String,
    /// Kind, field, type and parameters.
    pub kind: String,
    /// The filter and the fields that it reads; empty: none.
    pub filter: String,
}

impl Definition {
    /// The definition of a summary.
    pub fn of(schema: &Schema, summary: &Summary) -> Self {
        Self {
            zone: schema.zone_name.clone(),
            time: written_path(&schema.time.path),
            dimensions: summary
                .dimensions
                .iter()
                .map(|&d| DimensionDefinition {
                    name: schema.fields[d].name.clone(),
                    kind: schema.describe(d),
                })
                .collect(),
            filter: schema.describe_filter(summary.filter.as_ref()),
            aggregates: summary
                .aggregates
                .iter()
                .map(|a| AggregateDefinition {
                    name: a.name.clone(),
                    kind: schema.describe_aggregate(&a.kind),
                    filter: schema.describe_filter(a.filter.as_ref()),
                })
                .collect(),
        }
    }
}

impl Schema {
    /// What a field holds, down to the record: `decimal(6)`, `string from user.id`,
    /// `prefix(lower(url string), 3)`. Fields of one text have one meaning.
    pub fn describe(&self, field: usize) -> String {
        // Compared with what is stored, where a width is the digits that stand for it.
        self.describe_with(field, &|width, _| width.to_string())
    }

    /// [`Schema::describe`] for people: widths of buckets are as the configuration has them.
    pub fn explain(&self, field: usize) -> String {
        self.describe_with(field, &written_number)
    }

    fn describe_with(&self, field: usize, width_of: &dyn Fn(i64, FieldType) -> String) -> String {
        let field = &self.fields[field];
        // The name of a derived field says nothing that its derivation does not say.
        let of = |f: usize| match self.fields[f].source {
            FieldSource::Record(_) => self.named(f),
            FieldSource::Derived(_) => self.describe_with(f, width_of),
        };
        match &field.source {
            // The name is the path where nothing else is said.
            FieldSource::Record(path) if *path == [field.name.as_str()] => field.kind.to_string(),
            FieldSource::Record(path) => format!("{} from {}", field.kind, written_path(path)),
            FieldSource::Derived(derivation) => match *derivation {
                Derivation::DayPart => "day_part()".to_owned(),
                Derivation::Hour => "hour()".to_owned(),
                Derivation::Weekday => "weekday()".to_owned(),
                Derivation::Bucket { field: f, width } => {
                    let width = width_of(width, field.kind);
                    format!("bucket({}, {width}) as {}", of(f), field.kind)
                }
                Derivation::Lower { field: f } => format!("lower({})", of(f)),
                Derivation::Prefix { field: f, characters } => {
                    format!("prefix({}, {characters})", of(f))
                }
            },
        }
    }

    fn named(&self, field: usize) -> String {
        format!("{} {}", self.fields[field].name, self.describe(field))
    }

    /// `n > 0 and page = '/', with n int, page string`, whatever the order of the fields.
    fn describe_filter(&self, filter: Option<&Filter>) -> String {
        let Some(filter) = filter else { return String::new() };
        let mut places = Vec::new();
        filter.predicate.fields(&mut places);
        let mut fields: Vec<String> = places.into_iter().map(|f| self.named(f)).collect();
        fields.sort();
        fields.dedup();
        match fields.is_empty() {
            true => filter.sql.clone(),
            false => format!("{}, with {}", filter.sql, fields.join(", ")),
        }
    }

    fn describe_aggregate(&self, kind: &AggregateKind) -> String {
        let of = |f: usize| self.named(f);
        match *kind {
            AggregateKind::Count => "count".to_owned(),
            AggregateKind::Sum(f) => format!("sum of {}", of(f)),
            AggregateKind::Min(f) => format!("min of {}", of(f)),
            AggregateKind::Max(f) => format!("max of {}", of(f)),
            AggregateKind::Last(f) => format!("last of {}", of(f)),
            AggregateKind::Unique { field, family, log2m } => {
                format!("unique of {}, family {}, log2m {log2m}", of(field), family_name(family))
            }
            AggregateKind::Theta { field, log2k } => {
                format!("theta of {}, log2k {log2k}", of(field))
            }
            AggregateKind::Top { field, k } => format!("top of {}, k {k}", of(field)),
            AggregateKind::Quantile { field, error } => {
                format!("quantile of {}, error {error}", of(field))
            }
        }
    }
}

/// A number as a configuration has it: of a decimal, not the digits that stand for it.
fn written_number(value: i64, kind: FieldType) -> String {
    let FieldType::Decimal(scale @ 1..) = kind else { return value.to_string() };
    let one = 10u64.pow(u32::from(scale));
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    format!("{sign}{}.{:0width$}", size / one, size % one, width = usize::from(scale))
}
