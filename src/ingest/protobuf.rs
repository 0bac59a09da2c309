//! Events from a protobuf `EventBatch` (`schemas/events.proto`), read by prost.
//!
//! A row with values in JSON goes the way of JSON, as the object that says the same.

use std::borrow::Cow;

use prost::Message as _;
use serde::de::IgnoredAny;

use super::json::{Span, Token};
use super::members::{Members, PathMember};
use super::refusal::Reason;
use super::stage::Stage;
use super::{decode, wire};
use crate::config::{Schema, path_steps};
use crate::event::Value;
use wire::value::Kind;

/// The rows of one message and what their names mean.
pub struct Rows {
    batch: wire::EventBatch,
    names: Vec<Name>,
    /// Per name, the row that had it last, counted from 1.
    seen: Vec<usize>,
}

/// A name of a message.
struct Name {
    /// None: it is no UTF-8.
    member: Option<PathMember>,
    steps: Vec<String>,
}

impl Rows {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Reason::MalformedProtobuf`].
    pub fn decode(bytes: &[u8], members: &mut Members) -> Result<Self, Reason> {
        let batch = wire::EventBatch::decode(bytes).map_err(|_| Reason::MalformedProtobuf)?;
        let name = |name: &Vec<u8>| {
            let steps = path_steps(&String::from_utf8_lossy(name));
            Name { member: is_utf8(name).then(|| members.find_path(&steps)), steps }
        };
        let names: Vec<Name> = batch.names.iter().map(name).collect();
        Ok(Self { seen: vec![0; names.len()], batch, names })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.rows.is_empty()
    }

    /// Whether a row holds JSON. Refuses one with values that have no name, with a name that it
    /// has twice (a short row could say a long name so often that no memory would hold what was
    /// said), or with texts that are no UTF-8.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&mut self, at: usize) -> Result<bool, Reason> {
        let row = &self.batch.rows[at];
        if row.name.len() != row.value.len() {
            return Err(Reason::MalformedProtobuf);
        }
        let mut holds_json = false;
        for (&name, value) in row.name.iter().zip(&row.value) {
            let place = name as usize;
            let Some(name) = self.names.get(place) else { return Err(Reason::MalformedProtobuf) };
            if std::mem::replace(&mut self.seen[place], at + 1) == at + 1 {
                return Err(Reason::MalformedProtobuf);
            }
            let is_text = match &value.kind {
                Some(Kind::String(text)) => is_utf8(text),
                Some(Kind::Json(text)) => {
                    holds_json = true;
                    is_utf8(text)
                }
                _ => true,
            };
            if !is_text || name.member.is_none() {
                return Err(Reason::InvalidUtf8);
            }
        }
        Ok(holds_json)
    }

    /// A checked row as the JSON object that says the same.
    ///
    /// # Errors
    /// Where a value is not one of JSON and nothing else: it must not become a member of its own.
    pub fn json(&self, at: usize) -> Result<String, Reason> {
        for value in &self.batch.rows[at].value {
            if let Some(Kind::Json(text)) = &value.kind {
                serde_json::from_slice::<IgnoredAny>(text).map_err(|_| Reason::MalformedJson)?;
            }
        }
        Ok(self.to_json(at, usize::MAX))
    }

    /// Stages a checked row that holds no JSON.
    pub fn stage(&self, at: usize, members: &mut Members, stage: &mut Stage, schema: &Schema) {
        let row = &self.batch.rows[at];
        for (&name, value) in row.name.iter().zip(&row.value) {
            let Name { member, steps } = &self.names[name as usize];
            let whole = match member {
                Some(PathMember::Known(id)) => {
                    let node = members.node(*id);
                    let mut whole = node.is_leaf();
                    for &field in &node.fields {
                        whole &= !stage.value(field, typed(value));
                    }
                    if node.is_time {
                        whole &= stage_time(stage, schema, value);
                    }
                    whole
                }
                Some(PathMember::Within(id)) => {
                    let node = members.node(*id);
                    node.fields.iter().for_each(|&f| stage.refuse_field(f, Reason::WrongType));
                    if node.is_time {
                        stage.refuse(Reason::BadTime);
                    }
                    true
                }
                Some(PathMember::Unknown(place)) => {
                    members.count_unknown(*place);
                    false
                }
                None => false,
            };
            if !whole {
                stage.keep(member_text(steps, value).as_bytes());
            }
        }
    }

    /// One row as a JSON object that says the same, up to so many bytes of it.
    pub fn to_json(&self, at: usize, most: usize) -> String {
        let row = &self.batch.rows[at];
        let mut text = String::from("{");
        for (&name, value) in row.name.iter().zip(&row.value) {
            if text.len() > most {
                break;
            }
            if text.len() > 1 {
                text.push(',');
            }
            let steps = self.names.get(name as usize).map_or(&[][..], |name| &name.steps);
            text += &member_text(steps, value);
        }
        text + "}"
    }
}

fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()
}

fn typed(value: &wire::Value) -> Value<'_> {
    match &value.kind {
        None => Value::Null,
        Some(Kind::String(text) | Kind::Json(text)) => Value::Text(text),
        Some(Kind::Int(int)) => Value::Int(*int),
        Some(Kind::Double(double)) => Value::Float(*double),
        Some(Kind::Bool(bool)) => Value::Bool(*bool),
    }
}

fn stage_time(stage: &mut Stage, schema: &Schema, value: &wire::Value) -> bool {
    let (text, is_number) = match &value.kind {
        None => return true,
        Some(Kind::String(text)) => (Cow::Borrowed(text.as_slice()), false),
        Some(Kind::Int(int)) => (int.to_string().into_bytes().into(), true),
        Some(Kind::Double(double)) if double.is_finite() => {
            (double.to_string().into_bytes().into(), true)
        }
        _ => {
            stage.refuse(Reason::BadTime);
            return true;
        }
    };
    let span = Span::new(0, text.len());
    let token = if is_number { Token::Number(span) } else { Token::String(span, false) };
    decode::stage_time(stage, schema, &text, token)
}

/// `"name":value` as JSON, within objects where the path has several steps; NaN and infinities,
/// which JSON has not, as text.
fn member_text(steps: &[String], value: &wire::Value) -> String {
    let text = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
    let value = match &value.kind {
        None => "null".to_owned(),
        Some(Kind::String(bytes)) => text(bytes),
        Some(Kind::Json(json)) => String::from_utf8_lossy(json).into_owned(),
        Some(Kind::Int(int)) => int.to_string(),
        Some(Kind::Double(double)) if double.is_finite() => double.to_string(),
        Some(Kind::Double(double)) => text(double.to_string().as_bytes()),
        Some(Kind::Bool(bool)) => bool.to_string(),
    };
    let (first, rest) = steps.split_first().map_or(("?", &[][..]), |(first, rest)| (first, rest));
    let mut member = text(first.as_bytes());
    rest.iter().for_each(|step| member += &format!(":{{{}", text(step.as_bytes())));
    member += &format!(":{value}");
    member + &"}".repeat(rest.len())
}
