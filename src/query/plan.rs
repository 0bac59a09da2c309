//! What a question means: names held against the configuration, once, with an error that
//! says what there is.

use std::sync::Arc;

use super::literal::{Literal, Literals, is_number};
use super::reply::Failure;
use super::request::Question;
use crate::config::{AggregateKind, FieldType, Formula, Output, Part, Schema, Summary, suggestion};
use crate::event::parse_date;
use crate::ingest::scalar;
use crate::key::KeyValue;
use crate::limits;
use crate::row::{GroupKey, Grouping};

/// Keys that are looked up one by one instead of walking all rows.
const MAX_POINTS: usize = 1024;

/// A column of an answer.
pub enum Column {
    /// A part of the group's key, by its place there.
    Key(usize),
    /// A part of an aggregate.
    Output(Output),
    /// Computed from aggregates.
    Derived(Formula),
}

/// A question as it is meant.
pub struct QuestionPlan {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// First and last day.
    pub days: (i32, i32),
    /// What is folded.
    pub grouping: Arc<Grouping>,
    /// Names and meanings of the columns, those of the key first.
    pub columns: Vec<(String, Column)>,
    /// The column that orders the rows, and whether the greatest come first.
    pub order: Option<(usize, bool)>,
    /// Rows that come back.
    pub limit: usize,
    /// Single keys to look up; none: walk.
    pub points: Option<Vec<Vec<KeyValue>>>,
    /// Values that all keys begin with.
    pub leading: Vec<KeyValue>,
}

impl QuestionPlan {
    /// Holds a question against the configuration.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn new(question: &Question, schema: &Schema, max_rows: usize) -> Result<Self, Failure> {
        let one_row = question.get.is_some();
        let name = match (&question.get, &question.summary) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    "bad_request",
                    "get and summary exclude each other",
                    "use one",
                ));
            }
            (Some(name), None) | (None, Some(name)) => name,
            (None, None) => {
                return Err(Failure::new(
                    "bad_request",
                    "neither summary nor get",
                    "name a summary",
                ));
            }
        };
        let at = find_summary(name, schema)?;
        let summary = &schema.summaries[at];
        let days = days(question, one_row)?;
        let only = conditions(question, schema, summary, one_row)?;
        let by = question
            .by
            .iter()
            .map(|name| group_key(name, schema, summary))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(twice) = by.iter().enumerate().find(|(i, k)| by[..*i].contains(k)) {
            let message = format!("\"{}\" is named twice in by", question.by[twice.0]);
            return Err(Failure::new("bad_request", message, "name it once"));
        }
        let columns = columns(question, summary, &by)?;
        let order = question.order.as_deref().map(|o| order(o, &columns, summary)).transpose()?;
        let (points, leading) = points(&only);
        let encode = |values: &Vec<KeyValue>| {
            let piece = |value: &KeyValue| {
                let mut bytes = Vec::new();
                value.push(&mut bytes);
                bytes
            };
            values.iter().map(piece).collect()
        };
        let grouping = Grouping {
            by,
            only: only.iter().map(|values| values.as_ref().map(encode)).collect(),
            aggregates: aggregates(&columns),
            max_groups: max_rows,
        };
        Ok(Self {
            summary: at,
            days,
            grouping: Arc::new(grouping),
            columns,
            order,
            limit: question.limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX)),
            points,
            leading,
        })
    }
}

/// The place of a summary.
pub fn find_summary(name: &str, schema: &Schema) -> Result<usize, Failure> {
    schema.summaries.iter().position(|s| s.name == name).ok_or_else(|| {
        let known = schema.summaries.iter().map(|s| s.name.as_str());
        let hint = suggestion(name, known);
        Failure::new("unknown_summary", format!("there is no summary \"{name}\""), hint)
    })
}

fn days(question: &Question, one_row: bool) -> Result<(i32, i32), Failure> {
    let read = |text: &Option<String>, name: &str| match text {
        None => Ok(None),
        Some(text) => parse_date(text).map(Some).ok_or_else(|| {
            let message = format!("{name} = \"{text}\" is not a day");
            Failure::new("bad_value", message, "write it as 2026-11-20")
        }),
    };
    let day = read(&question.day, "day")?;
    let (from, to) = (read(&question.from, "from")?, read(&question.to, "to")?);
    match (one_row, day) {
        (true, Some(day)) if from.is_none() && to.is_none() => Ok((day, day)),
        (true, _) => Err(Failure::new(
            "bad_request",
            "get needs day, and neither from nor to",
            "\"day\":\"2026-11-20\"",
        )),
        (false, Some(_)) => {
            Err(Failure::new("bad_request", "day goes with get", "use from and to"))
        }
        (false, None) => {
            let (from, to) =
                (from.unwrap_or(crate::limits::FIRST_DAY), to.unwrap_or(crate::limits::LAST_DAY));
            if from > to {
                let (message, hint) = match (&question.from, &question.to) {
                    (Some(_), Some(_)) => ("from lies behind to", "swap them"),
                    (Some(_), None) => ("from lies behind the last day, 2199-12-31", "ask earlier"),
                    _ => ("to lies before the first day, 1970-01-01", "ask later"),
                };
                return Err(Failure::new("bad_value", message, hint));
            }
            Ok((from, to))
        }
    }
}

/// Per dimension, the values that are taken, each once and in order, as their pieces then are.
fn conditions(
    question: &Question,
    schema: &Schema,
    summary: &Summary,
    one_row: bool,
) -> Result<Vec<Option<Vec<KeyValue>>>, Failure> {
    let conditions = match (&question.key, one_row) {
        (None, false) => &question.only,
        (Some(key), true) if question.only.is_empty() => key,
        (None, true) => {
            return Err(Failure::new(
                "bad_request",
                "get needs key",
                "\"key\":{\"dimension\":\"value\"}",
            ));
        }
        _ => {
            return Err(Failure::new("bad_request", "key goes with get, where without", "use one"));
        }
    };
    let mut only = vec![None; summary.dimensions.len()];
    for (name, values) in conditions.iter() {
        let at = dimension(name, schema, summary)?;
        let kind = schema.fields[summary.dimensions[at]].kind;
        let values = match values {
            Literals::Any(_) if one_row => {
                let message = format!("key has a list for \"{name}\"");
                return Err(Failure::new("bad_request", message, "one value of each dimension"));
            }
            Literals::Any(list) => list.as_slice(),
            Literals::One(one) => std::slice::from_ref(one),
        };
        if values.len() > limits::MAX_CONDITION_VALUES {
            let message = format!("{} values of \"{name}\"", values.len());
            let hint = format!("at most {}", limits::MAX_CONDITION_VALUES);
            return Err(Failure::new("bad_request", message, hint));
        }
        let taken = values.iter().map(|v| key_value(name, v, kind));
        let mut taken = taken.collect::<Result<Vec<_>, _>>()?;
        taken.sort_unstable();
        taken.dedup();
        only[at] = Some(taken);
    }
    if one_row && let Some(missing) = only.iter().position(Option::is_none) {
        let name = &schema.fields[summary.dimensions[missing]].name;
        let message = format!("key lacks the dimension \"{name}\"");
        return Err(Failure::new("bad_request", message, "name every dimension; null is a value"));
    }
    Ok(only)
}

fn dimension(name: &str, schema: &Schema, summary: &Summary) -> Result<usize, Failure> {
    let names = || summary.dimensions.iter().map(|&d| schema.fields[d].name.as_str());
    names().position(|n| n == name).ok_or_else(|| {
        let message = format!("\"{name}\" is not a dimension of summary \"{}\"", summary.name);
        Failure::new("unknown_column", message, suggestion(name, names()))
    })
}

fn group_key(name: &str, schema: &Schema, summary: &Summary) -> Result<GroupKey, Failure> {
    match name {
        "day" => Ok(GroupKey::Day),
        name => dimension(name, schema, summary).map(GroupKey::Dimension),
    }
}

/// A value of a dimension. A number is what it would be in an event.
fn key_value(name: &str, value: &Literal, kind: FieldType) -> Result<KeyValue, Failure> {
    let exact = match (value, kind) {
        (Literal::Null, _) => Some(KeyValue::Null),
        (Literal::Text(text), FieldType::String) => Some(KeyValue::String(text.clone())),
        // One with a point has many texts, of which the event had another perhaps: 12.50.
        (Literal::Number(text), FieldType::String) => {
            let is_plain = text.bytes().all(|b| b == b'-' || b.is_ascii_digit());
            is_plain.then(|| KeyValue::String(text.clone()))
        }
        (Literal::Bool(b), FieldType::Bool) => Some(KeyValue::Bool(*b)),
        (Literal::Number(text), FieldType::Int) => {
            scalar::int(text.as_bytes()).ok().map(KeyValue::Int)
        }
        (Literal::Number(text), FieldType::Decimal(scale)) => decimal(text, scale),
        // For clients whose numbers are floats.
        (Literal::Text(text), FieldType::Decimal(scale)) if is_number(text) => decimal(text, scale),
        _ => None,
    };
    exact.ok_or_else(|| {
        let message = format!("{value} is not a value of \"{name}\", which is {kind}");
        Failure::new("bad_value", message, "null, or a value of that type")
    })
}

/// A decimal from the text of a number, all of whose digits it can hold.
fn decimal(text: &str, scale: u8) -> Option<KeyValue> {
    match scalar::decimal(text.as_bytes(), scale) {
        Ok((digits, false)) => Some(KeyValue::Decimal(digits)),
        _ => None,
    }
}

fn columns(
    question: &Question,
    summary: &Summary,
    by: &[GroupKey],
) -> Result<Vec<(String, Column)>, Failure> {
    let keys = question.by.iter().enumerate().take(by.len());
    let mut columns: Vec<(String, Column)> =
        keys.map(|(at, name)| (name.clone(), Column::Key(at))).collect();
    let names = question.select.clone().unwrap_or_else(|| all_columns(summary));
    if names.is_empty() {
        return Err(Failure::new("bad_request", "select is empty", "leave it out for all columns"));
    }
    if columns.len() + names.len() > limits::MAX_ANSWER_COLUMNS {
        let message = format!("{} columns", columns.len() + names.len());
        let hint = format!("at most {}", limits::MAX_ANSWER_COLUMNS);
        return Err(Failure::new("bad_request", message, hint));
    }
    for name in names {
        if columns.iter().any(|(known, _)| *known == name) {
            let message = format!("\"{name}\" is named twice in by and select");
            return Err(Failure::new("bad_request", message, "name it once"));
        }
        let derived = summary.derived.iter().find(|d| d.name == name);
        let column = match derived {
            Some(derived) => Column::Derived(derived.formula.clone()),
            None => Column::Output(Output::find(summary, &name).map_err(|message| {
                Failure::new(
                    "unknown_column",
                    message,
                    "select aggregates, parts of them or derived columns",
                )
            })?),
        };
        columns.push((name, column));
    }
    Ok(columns)
}

fn all_columns(summary: &Summary) -> Vec<String> {
    let aggregates = summary.aggregates.iter().flat_map(|a| match a.kind {
        AggregateKind::Quantile { .. } => {
            ["p50", "p90", "p95", "p99"].iter().map(|p| format!("{}.{p}", a.name)).collect()
        }
        _ => vec![a.name.clone()],
    });
    aggregates.chain(summary.derived.iter().map(|d| d.name.clone())).collect()
}

fn order(
    text: &str,
    columns: &[(String, Column)],
    summary: &Summary,
) -> Result<(usize, bool), Failure> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let at = columns.iter().position(|(n, _)| n == name).ok_or_else(|| {
        let known = columns.iter().map(|(n, _)| n.as_str());
        let hint = suggestion(name, known);
        Failure::new(
            "unknown_column",
            format!("order = \"{text}\" names no column of the answer"),
            hint,
        )
    })?;
    match &columns[at].1 {
        Column::Output(output) if output.is_list(summary) => {
            let message = format!("order = \"{text}\" names a list of values");
            Err(Failure::new("bad_request", message, "order by its count, or by another column"))
        }
        _ => Ok((at, descending)),
    }
}

/// The aggregates that columns need.
fn aggregates(columns: &[(String, Column)]) -> Vec<usize> {
    let mut all = Vec::new();
    for (_, column) in columns {
        match column {
            Column::Key(_) => {}
            Column::Output(output) => all.push(output.aggregate),
            Column::Derived(formula) => formula.aggregates(&mut all),
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// The keys that satisfy the conditions, where they are few; and the values that all of
/// them begin with.
fn points(only: &[Option<Vec<KeyValue>>]) -> (Option<Vec<Vec<KeyValue>>>, Vec<KeyValue>) {
    let single = |values: &Option<Vec<KeyValue>>| match values.as_deref() {
        Some([one]) => Some(one.clone()),
        _ => None,
    };
    let leading = only.iter().map_while(single).collect();
    let count = only.iter().try_fold(1usize, |n, values| {
        values.as_ref().map(|v| n.saturating_mul(v.len())).filter(|n| *n <= MAX_POINTS)
    });
    if count.is_none() {
        return (None, leading);
    }
    let mut points = vec![Vec::new()];
    for values in only.iter().flatten() {
        points = points
            .iter()
            .flat_map(|point: &Vec<KeyValue>| {
                values.iter().map(|v| point.iter().chain([v]).cloned().collect::<Vec<_>>())
            })
            .collect();
    }
    (Some(points), leading)
}

/// Columns whose bounds are told: the name and the aggregate of each number of distinct values.
pub fn distinct_columns<'p>(
    plan: &'p QuestionPlan,
    summary: &'p Summary,
) -> impl Iterator<Item = (&'p str, usize)> + 'p {
    plan.columns.iter().filter_map(|(name, column)| match column {
        Column::Output(Output { aggregate, part: Part::Value }) => {
            let kind = &summary.aggregates[*aggregate].kind;
            let distinct =
                matches!(kind, AggregateKind::Unique { .. } | AggregateKind::Theta { .. });
            distinct.then_some((name.as_str(), *aggregate))
        }
        _ => None,
    })
}
