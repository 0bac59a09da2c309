//! Resolving the aggregates of a summary: which kind, of which field, with which parameters;
//! and the columns that they are published as, which must not collide.

use std::collections::HashMap;
use std::ops::Range;

use sketches::theta::LOG2K;
use sketches::top::K;
use sketches::unique::Family;

use super::resolve::number_or;
use super::resolve_events::{check_name, filter, find_field};
use super::written::{self, Text};
use super::{
    Aggregate, AggregateKind, Derivation, Field, FieldSource, FieldType, Problem, Summary,
    family_name, suggestion,
};

/// Which fields an aggregate can measure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// All.
    Any,
    /// Those with a sum.
    Numbers,
    /// Those whose values are told apart exactly.
    Exact,
    /// Those whose values are names, of letters or digits.
    Names,
}

impl Takes {
    /// Why a field cannot be measured; none: it can.
    fn refusal(self, field: &Field) -> Option<String> {
        let number = matches!(field.kind, FieldType::Int | FieldType::Decimal(_))
            || field.kind == FieldType::Float;
        let what = match self {
            Self::Numbers if !number => "needs a number (int, decimal or float)",
            Self::Exact if field.kind == FieldType::Float => {
                "needs values that are told apart exactly (a decimal, say)"
            }
            Self::Names if !matches!(field.kind, FieldType::String | FieldType::Int) => {
                "needs a string or an int"
            }
            _ => return None,
        };
        Some(format!("{what}, and \"{}\" is {}", field.name, field.kind))
    }
}

/// What is said beside the kind.
struct Parameters {
    family: Family,
    log2m: u8,
    log2k: u8,
    k: usize,
    error: f64,
}

impl Parameters {
    fn new(written: &written::Aggregate, key: &str) -> Result<Self, Problem> {
        let family = family(&written.family, &format!("{key}.family"))?;
        let log2m = match family {
            // PostgreSQL takes no more registers.
            Family::Ak => 4..=17,
            Family::DataSketches => 4..=18,
        };
        let log2k = i64::from(*LOG2K.start())..=i64::from(*LOG2K.end());
        let k = *K.start() as i64..=*K.end() as i64;
        Ok(Self {
            family,
            log2m: number_or(&written.log2m, &format!("{key}.log2m"), log2m, 14)? as u8,
            log2k: number_or(&written.log2k, &format!("{key}.log2k"), log2k, 12)? as u8,
            k: number_or(&written.k, &format!("{key}.k"), k, 100)? as usize,
            error: quantile_error(written, key)?,
        })
    }
}

type Make = fn(usize, &Parameters) -> AggregateKind;

pub(super) fn aggregate(
    written: &written::Aggregate,
    fields: &[Field],
    summary_key: &str,
) -> Result<Aggregate, Problem> {
    let name = written.name.get_ref().clone();
    let key = format!("{summary_key}.aggregates.{name}");
    check_name(&written.name, &key)?;
    let problem = |message: String| Problem::new(written.name.span(), key.as_str(), message);
    let parameters = Parameters::new(written, &key)?;
    let mut kinds = Vec::new();
    if let Some(count) = &written.count {
        if !count.get_ref() {
            return Err(Problem::new(count.span(), format!("{key}.count"), "expected true"));
        }
        kinds.push(AggregateKind::Count);
    }
    let of_field: [(&Option<Text>, Takes, Make); 8] = [
        (&written.sum, Takes::Numbers, |f, _| AggregateKind::Sum(f)),
        (&written.min, Takes::Any, |f, _| AggregateKind::Min(f)),
        (&written.max, Takes::Any, |f, _| AggregateKind::Max(f)),
        (&written.last, Takes::Any, |f, _| AggregateKind::Last(f)),
        (&written.unique, Takes::Exact, |field, p| AggregateKind::Unique {
            field,
            family: p.family,
            log2m: p.log2m,
        }),
        (&written.theta, Takes::Exact, |field, p| AggregateKind::Theta { field, log2k: p.log2k }),
        (&written.top, Takes::Names, |field, p| AggregateKind::Top { field, k: p.k }),
        (&written.quantile, Takes::Numbers, |field, p| AggregateKind::Quantile {
            field,
            error: p.error,
        }),
    ];
    for (field_name, takes, make) in of_field {
        let Some(field_name) = field_name else { continue };
        let at = find_field(field_name, fields, &key)?;
        if let Some(refusal) = takes.refusal(&fields[at]) {
            return Err(Problem::new(field_name.span(), key, refusal));
        }
        kinds.push(make(at, &parameters));
    }
    let [kind] = kinds[..] else {
        return Err(problem(format!(
            "expected exactly one of count, sum, min, max, last, unique, theta, top, quantile; found {}",
            kinds.len()
        )));
    };
    if let AggregateKind::Quantile { field, .. } = kind
        && let FieldSource::Derived(Derivation::Bucket { field: of, .. }) = fields[field].source
    {
        let message = format!("quantile of a bucket; take \"{}\" itself", fields[of].name);
        return Err(problem(message));
    }
    let belongings = [
        (written.family.is_some(), "family", written.unique.is_some(), "unique"),
        (written.log2m.is_some(), "log2m", written.unique.is_some(), "unique"),
        (written.log2k.is_some(), "log2k", written.theta.is_some(), "theta"),
        (written.k.is_some(), "k", written.top.is_some(), "top"),
        (written.error.is_some(), "error", written.quantile.is_some(), "quantile"),
    ];
    for (said, parameter, fits, owner) in belongings {
        if said && !fits {
            return Err(problem(format!("{parameter} belongs to {owner}")));
        }
    }
    Ok(Aggregate { name, kind, filter: filter(&written.filter, fields, &key)? })
}

fn family(written: &Option<Text>, key: &str) -> Result<Family, Problem> {
    let Some(written) = written else { return Ok(Family::default()) };
    let all = [Family::Ak, Family::DataSketches];
    all.into_iter().find(|&f| family_name(f) == written.get_ref()).ok_or_else(|| {
        let hint = suggestion(written.get_ref(), all.into_iter().map(family_name));
        let message = format!("\"{}\" is not a family; {hint}", written.get_ref());
        Problem::new(written.span(), key, message)
    })
}

fn quantile_error(written: &written::Aggregate, key: &str) -> Result<f64, Problem> {
    let Some(error) = &written.error else { return Ok(0.01) };
    let range = sketches::quantile::RELATIVE_ERROR;
    if range.contains(error.get_ref()) {
        return Ok(*error.get_ref());
    }
    let (least, most) = (range.start(), range.end());
    let message = format!("{} is not between {least} and {most}", error.get_ref());
    Err(Problem::new(error.span(), format!("{key}.error"), message))
}

/// The columns of the published file, to refuse names that collide there.
pub(super) struct Columns(HashMap<String, String>);

impl Columns {
    pub(super) fn new(summary: &Summary, fields: &[Field]) -> Self {
        let names = summary.dimensions.iter().map(|&d| fields[d].name.clone());
        Self(names.chain(["day".to_owned()]).map(|n| (n.clone(), n)).collect())
    }

    pub(super) fn add_aggregate(
        &mut self,
        aggregate: &Aggregate,
        span: Range<usize>,
        key: &str,
    ) -> Result<(), Problem> {
        let name = &aggregate.name;
        let mut columns = aggregate.kind.columns(name);
        // In questions and in the store its name is its own too, where no column has it.
        if !columns.contains(name) {
            columns.push(name.clone());
        }
        for column in columns {
            self.add_for(column, name, span.clone(), &format!("{key}.aggregates.{name}"))?;
        }
        Ok(())
    }

    pub(super) fn add(&mut self, name: &str, span: Range<usize>, key: &str) -> Result<(), Problem> {
        self.add_for(name.to_owned(), name, span, key)
    }

    fn add_for(
        &mut self,
        column: String,
        owner: &str,
        span: Range<usize>,
        key: &str,
    ) -> Result<(), Problem> {
        if let Some(other) = self.0.insert(column.clone(), owner.to_owned()) {
            let message =
                format!("its column \"{column}\" collides with one of \"{other}\"; rename one");
            return Err(Problem::new(span, key, message));
        }
        Ok(())
    }
}

impl AggregateKind {
    /// The columns of the published file for an aggregate called `name`.
    pub fn columns(&self, name: &str) -> Vec<String> {
        match self {
            Self::Unique { .. } => {
                vec![name.to_owned(), format!("{name}_error"), format!("{name}_hll")]
            }
            Self::Theta { .. } => {
                vec![name.to_owned(), format!("{name}_error"), format!("{name}_theta")]
            }
            Self::Quantile { .. } => {
                ["p50", "p90", "p95", "p99"].iter().map(|p| format!("{name}_{p}")).collect()
            }
            _ => vec![name.to_owned()],
        }
    }
}
