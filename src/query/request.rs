//! A question as it was asked, in JSON or protobuf.

use std::collections::BTreeMap;

use prost::Message as _;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;

use super::known::check_question;
use super::literal::{Literal, Literals, is_number};
use super::reply::Failure;
use crate::ingest::wire;
use wire::cell::Kind;

/// A question, before it is held against the configuration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Comes back in the answer, which has it from [`Question::id_of`].
    pub id: Option<IgnoredAny>,
    /// The summary.
    pub summary: Option<String>,
    /// First day.
    pub from: Option<String>,
    /// Last day.
    pub to: Option<String>,
    /// Values of dimensions that are taken: one, or a list.
    #[serde(default, rename = "where")]
    pub only: Conditions,
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
    pub key: Option<Conditions>,
    /// The summary of which a day is to be published now.
    pub export: Option<String>,
    /// With `export`: also in the `excel` dialect.
    pub excel: Option<bool>,
    /// Whether every event accepted so far is seen; if not, those of the open batch are not.
    pub fresh: Option<bool>,
    /// Wait until there are so many events to be seen.
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
    pub only: Conditions,
}

/// Values by dimension, each dimension named once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions(BTreeMap<String, Literals>);

impl Conditions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The dimensions, and the value or the list of values of each.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Literals)> {
        self.0.iter()
    }

    /// Adds a dimension; the error says that it is there already.
    fn add(&mut self, dimension: String, values: Literals) -> Result<(), String> {
        if self.0.contains_key(&dimension) {
            return Err(format!("the dimension \"{dimension}\" is named twice"));
        }
        self.0.insert(dimension, values);
        Ok(())
    }
}

/// A map would take the last of two values without a word.
impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Conditions;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object of dimensions and their values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Conditions, M::Error> {
                let mut all = Conditions::default();
                while let Some((dimension, json)) = members.next_entry::<_, &RawValue>()? {
                    let values = Literals::read(json).map_err(M::Error::custom)?;
                    all.add(dimension, values).map_err(M::Error::custom)?;
                }
                Ok(all)
            }
        }
        from.deserialize_map(Members)
    }
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

    /// Whether the events of the open batch are seen.
    pub fn is_fresh(&self) -> bool {
        self.fresh.unwrap_or(true)
    }

    /// The id of a question in JSON just as it was written, also of one that could not be
    /// understood, so that its sender can tell.
    pub fn id_of(text: &[u8]) -> Option<&RawValue> {
        #[derive(Deserialize)]
        struct Identified<'t> {
            #[serde(borrow)]
            id: Option<&'t RawValue>,
        }
        serde_json::from_slice::<Identified<'_>>(text).ok()?.id
    }

    /// The id of a question in protobuf, also of one that could not be understood.
    pub fn id_of_wire(bytes: &[u8]) -> String {
        wire::Question::decode(bytes).map_or(String::new(), |question| question.id)
    }

    /// Reads a question in protobuf.
    ///
    /// # Errors
    /// What is not understood.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, Failure> {
        check_question(bytes)?;
        let question = wire::Question::decode(bytes).map_err(Failure::no_message)?;
        let get = text(question.get);
        // A summary without dimensions has a row with an empty key.
        let one_row = get.as_deref().is_some_and(|g| g != "stats");
        let has_key = one_row || !question.key.is_empty();
        let key = conditions(question.key, |mut values| match values.len() {
            1 => Literals::One(values.remove(0)),
            _ => Literals::Any(values),
        })?;
        Ok(Self {
            id: None,
            summary: text(question.summary),
            from: text(question.from),
            to: text(question.to),
            only: conditions(question.r#where, Literals::Any)?,
            by: question.by,
            select: (!question.select.is_empty()).then_some(question.select),
            order: text(question.order),
            limit: question.limit,
            set: question.set.map(wire_set).transpose()?,
            key: has_key.then_some(key),
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

/// Conditions of protobuf; `join` makes one value or a list of what is given for a dimension.
fn conditions(
    all: Vec<wire::Condition>,
    join: fn(Vec<Literal>) -> Literals,
) -> Result<Conditions, Failure> {
    let mut conditions = Conditions::default();
    for condition in all {
        let values = condition.values.iter().map(wire_value).collect::<Result<_, _>>()?;
        conditions.add(condition.dimension, join(values)).map_err(|message| {
            Failure::new("bad_request", message, "name it once, with all its values")
        })?;
    }
    Ok(conditions)
}

fn wire_set(set: wire::Set) -> Result<SetQuestion, Failure> {
    let part = |part: wire::SetPart| {
        Ok(SetPart {
            summary: part.summary,
            theta: text(part.theta),
            from: text(part.from),
            to: text(part.to),
            only: conditions(part.r#where, Literals::Any)?,
        })
    };
    let parts = |all: Vec<wire::SetPart>| all.into_iter().map(part).collect::<Result<_, Failure>>();
    Ok(SetQuestion { and: parts(set.and)?, or: parts(set.or)?, not: parts(set.not)? })
}

fn wire_value(cell: &wire::Cell) -> Result<Literal, Failure> {
    let wrong = |message: String, hint: &str| Err(Failure::new("bad_value", message, hint));
    Ok(match &cell.kind {
        None => Literal::Null,
        Some(Kind::String(text)) => Literal::Text(text.clone()),
        Some(Kind::Int(int)) => Literal::Number(int.to_string()),
        Some(Kind::Double(double)) => match Number::from_f64(*double) {
            Some(number) => Literal::Number(number.to_string()),
            None => {
                return wrong(format!("{double} is no value of a dimension"), "a finite number");
            }
        },
        Some(Kind::Bool(bool)) => Literal::Bool(*bool),
        Some(Kind::Decimal(text)) if is_number(text) => Literal::Number(text.clone()),
        Some(Kind::Decimal(text)) => {
            return wrong(format!("\"{text}\" is not a number"), "a decimal such as 1.25");
        }
        Some(Kind::Items(_)) => {
            let hint = "a text, a number or a truth value";
            return wrong("a list is no value of a dimension".to_owned(), hint);
        }
    })
}
