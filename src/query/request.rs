//! A question as it was asked, in JSON or protobuf.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::Failure;
use crate::ingest::wire;
use wire::cell::Kind;

/// A question, before it is held against the configuration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Comes back in the answer.
    pub id: Option<Value>,
    /// The summary.
    pub summary: Option<String>,
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
    /// Values of dimensions that are taken: one, or a list.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, Value>,
    /// Dimensions that make a group, and `day`.
    #[serde(default)]
    pub by: Vec<String>,
    /// Columns; none: all.
    pub select: Option<Vec<String>>,
    /// A column, with `-` for the greatest first.
    pub order: Option<String>,
    /// Rows that come back.
    pub limit: Option<u64>,
    /// Sets whose members in common are counted.
    pub set: Option<SetQuestion>,
    /// `stats`, or the summary of which one row is asked.
    pub get: Option<String>,
    /// The day of that row.
    pub day: Option<String>,
    /// The dimensions of that row.
    pub key: Option<BTreeMap<String, Value>>,
    /// The summary of which a day is to be published now.
    pub export: Option<String>,
    /// With `export`: also in the `excel` dialect.
    pub excel: Option<bool>,
    /// Whether every event accepted so far is seen; if not, those of the open batch are not.
    pub fresh: Option<bool>,
    /// Wait until so many events were accepted.
    pub min_events: Option<u64>,
    /// Milliseconds that it may take.
    pub timeout_ms: Option<u64>,
}

/// Who is in all of `and`, in any of `or` and in none of `not`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SetQuestion {
    /// All of these.
    #[serde(default)]
    pub and: Vec<SetPart>,
    /// Any of these; none given: no matter.
    #[serde(default)]
    pub or: Vec<SetPart>,
    /// None of these.
    #[serde(default)]
    pub not: Vec<SetPart>,
}

/// One set: the values that an aggregate `theta` has seen in some keys and days.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SetPart {
    /// The summary.
    pub summary: String,
    /// The aggregate; may be left out where the summary has one such.
    pub theta: Option<String>,
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
    /// Values of dimensions that are taken: one, or a list.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, Value>,
}

impl Question {
    /// Reads a question in JSON.
    ///
    /// # Errors
    /// What is not understood.
    pub fn from_json(text: &[u8]) -> Result<Self, Failure> {
        let hint = r#"{"summary":"…","from":"2026-11-20","by":["…"]} or {"get":"stats"}"#;
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(Failure::new("bad_request", "a question is a JSON object", hint));
        }
        serde_json::from_slice(text).map_err(|e| Failure::new("bad_request", e.to_string(), hint))
    }

    /// The id of a question that could not be understood, so that its sender can tell.
    pub fn id_of(text: &[u8]) -> Option<Value> {
        let value: Value = serde_json::from_slice(text).ok()?;
        value.get("id").cloned()
    }

    /// Reads a question in protobuf.
    ///
    /// # Errors
    /// What is not understood.
    pub fn from_wire(question: wire::Question) -> Result<Self, Failure> {
        let get = text(question.get);
        let key = conditions(question.key)?.into_iter().map(|(name, values)| {
            let one = values.as_array().and_then(|v| v.first()).cloned();
            (name, one.unwrap_or(Value::Null))
        });
        let one_row = get.as_deref().is_some_and(|g| g != "stats");
        Ok(Self {
            id: text(question.id).map(Value::from),
            summary: text(question.summary),
            from: text(question.from),
            to: text(question.to),
            only: conditions(question.r#where)?,
            by: question.by,
            select: (!question.select.is_empty()).then_some(question.select),
            order: text(question.order),
            limit: question.limit,
            set: question.set.map(wire_set).transpose()?,
            key: one_row.then(|| key.collect()),
            get,
            day: text(question.day),
            export: None,
            excel: None,
            fresh: question.fresh,
            min_events: question.min_events,
            timeout_ms: question.timeout_ms,
        })
    }
}

/// An empty text of protobuf is none.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn conditions(all: Vec<wire::Condition>) -> Result<BTreeMap<String, Value>, Failure> {
    let value = |c: wire::Condition| {
        let values: Result<Vec<_>, _> = c.values.iter().map(wire_value).collect();
        values.map(|values| (c.dimension, Value::Array(values)))
    };
    all.into_iter().map(value).collect()
}

fn wire_set(set: wire::Set) -> Result<SetQuestion, Failure> {
    let part = |part: wire::SetPart| {
        Ok(SetPart {
            summary: part.summary,
            theta: text(part.theta),
            from: text(part.from),
            to: text(part.to),
            only: conditions(part.r#where)?,
        })
    };
    let parts = |all: Vec<wire::SetPart>| all.into_iter().map(part).collect::<Result<_, Failure>>();
    Ok(SetQuestion { and: parts(set.and)?, or: parts(set.or)?, not: parts(set.not)? })
}

fn wire_value(cell: &wire::Cell) -> Result<Value, Failure> {
    Ok(match &cell.kind {
        None => Value::Null,
        Some(Kind::String(text)) => json!(text),
        Some(Kind::Int(int)) => json!(int),
        Some(Kind::Double(double)) => json!(double),
        Some(Kind::Bool(bool)) => json!(bool),
        Some(Kind::Items(_)) => {
            let hint = "a text, a number or a truth value";
            return Err(Failure::new("bad_value", "a list is no value of a dimension", hint));
        }
        Some(Kind::Decimal(text)) => serde_json::from_str(text).map_err(|_| {
            Failure::new(
                "bad_value",
                format!("\"{text}\" is not a number"),
                "a decimal such as 1.25",
            )
        })?,
    })
}
