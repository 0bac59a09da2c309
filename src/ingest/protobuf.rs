//! Events from a protobuf `EventBatch` (`schemas/events.proto`), read by prost.

use prost::Message as _;

use super::json::{Span, Token};
use super::members::{Member, Members};
use super::refusal::Reason;
use super::stage::Stage;
use super::{decode, wire};
use crate::config::Schema;
use crate::event::Value;
use wire::value::Kind;

/// The rows of one message and what their names mean.
pub struct Rows {
    batch: wire::EventBatch,
    members: Vec<Member>,
}

impl Rows {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Reason::InvalidUtf8`] or [`Reason::MalformedProtobuf`].
    pub fn decode(bytes: &[u8], members: &mut Members) -> Result<Self, Reason> {
        let batch = wire::EventBatch::decode(bytes).map_err(|e| {
            let text = e.to_string();
            if text.contains("UTF-8") { Reason::InvalidUtf8 } else { Reason::MalformedProtobuf }
        })?;
        let members = batch.names.iter().map(|name| members.find_path(name)).collect();
        Ok(Self { batch, members })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.rows.is_empty()
    }

    /// Stages one row.
    pub fn stage(&self, at: usize, members: &mut Members, stage: &mut Stage, schema: &Schema) {
        let row = &self.batch.rows[at];
        if row.name.len() != row.value.len() {
            stage.refuse(Reason::MalformedProtobuf);
            return;
        }
        for (&name, value) in row.name.iter().zip(&row.value) {
            let Some(&member) = self.members.get(name as usize) else {
                stage.refuse(Reason::MalformedProtobuf);
                return;
            };
            let whole = match member {
                Member::Known(id) => {
                    let node = members.node(id);
                    let mut whole = !node.fields.is_empty() || node.is_time;
                    for &field in &node.fields {
                        whole &= !stage.value(field, typed(value));
                    }
                    if node.is_time {
                        whole &= stage_time(stage, schema, value);
                    }
                    whole
                }
                Member::Unknown(place) => {
                    members.count_unknown(place);
                    false
                }
            };
            if !whole {
                stage.keep(member_text(&self.batch.names[name as usize], value).as_bytes());
            }
        }
    }

    /// One row as the JSON object that would have said the same.
    pub fn to_json(&self, at: usize) -> String {
        let row = &self.batch.rows[at];
        let unnamed = String::from("?");
        let members = row.name.iter().zip(&row.value).map(|(&name, value)| {
            member_text(self.batch.names.get(name as usize).unwrap_or(&unnamed), value)
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

fn typed(value: &wire::Value) -> Value<'_> {
    match &value.kind {
        None => Value::Null,
        Some(Kind::String(text)) => Value::Text(text.as_bytes()),
        Some(Kind::Int(int)) => Value::Int(*int),
        Some(Kind::Double(double)) => Value::Float(*double),
        Some(Kind::Bool(bool)) => Value::Bool(*bool),
    }
}

fn stage_time(stage: &mut Stage, schema: &Schema, value: &wire::Value) -> bool {
    let (text, is_number) = match &value.kind {
        None => return true,
        Some(Kind::String(text)) => (text.clone(), false),
        Some(Kind::Int(int)) => (int.to_string(), true),
        Some(Kind::Double(double)) if double.is_finite() => (double.to_string(), true),
        _ => {
            stage.refuse(Reason::BadTime);
            return true;
        }
    };
    let span = Span::new(0, text.len());
    let token = if is_number { Token::Number(span) } else { Token::String(span, false) };
    decode::stage_time(stage, schema, text.as_bytes(), token)
}

/// `"name":value` as JSON; NaN and infinities, which JSON has not, as text.
fn member_text(name: &str, value: &wire::Value) -> String {
    let value = match &value.kind {
        None => serde_json::Value::Null,
        Some(Kind::String(text)) => text.as_str().into(),
        Some(Kind::Int(int)) => (*int).into(),
        Some(Kind::Double(double)) if double.is_finite() => (*double).into(),
        Some(Kind::Double(double)) => double.to_string().into(),
        Some(Kind::Bool(bool)) => (*bool).into(),
    };
    format!("{}:{value}", serde_json::Value::from(name))
}
