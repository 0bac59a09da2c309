//! Events from a protobuf `EventBatch` (`schemas/events.proto`), read by prost.

use prost::Message as _;

use super::json::{Span, Token};
use super::members::{Member, Members};
use super::refusal::Reason;
use super::stage::Stage;
use super::{decode, wire};
use crate::config::Schema;
use crate::event::Value;
use crate::limits;
use wire::value::Kind;

/// The rows of one message and what their names mean.
pub struct Rows {
    batch: wire::EventBatch,
    members: Vec<Member>,
    /// Per name, the row that had it last, counted from 1.
    seen: Vec<usize>,
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
        let members: Vec<_> = batch.names.iter().map(|name| members.find_path(name)).collect();
        Ok(Self { seen: vec![0; members.len()], batch, members })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.rows.is_empty()
    }

    /// Stages one row. A name that it has twice is refused: a short row could say a long name
    /// so often that no memory would hold what was said.
    pub fn stage(&mut self, at: usize, members: &mut Members, stage: &mut Stage, schema: &Schema) {
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
            if std::mem::replace(&mut self.seen[name as usize], at + 1) == at + 1 {
                stage.refuse(Reason::MalformedProtobuf);
                return;
            }
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

    /// One row as the JSON object that would have said the same, as far as a dead letter goes.
    pub fn to_json(&self, at: usize) -> String {
        let row = &self.batch.rows[at];
        let mut text = String::from("{");
        for (&name, value) in row.name.iter().zip(&row.value) {
            if text.len() > limits::DEAD_LETTER_BYTES {
                break;
            }
            let name = self.batch.names.get(name as usize).map_or("?", String::as_str);
            if text.len() > 1 {
                text.push(',');
            }
            text += &member_text(name, value);
        }
        text + "}"
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
