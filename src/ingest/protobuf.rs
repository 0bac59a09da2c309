//! Events from a protobuf `EventBatch` (`schemas/events.proto`).
//!
//! A row goes the way of JSON, as the object that says the same, where it holds JSON or where
//! its names may contradict one another.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::event_batch::{self, EventBatch};
use super::json::{Span, Token};
use super::members::{Members, NodeId, PathMember};
use super::refusal::Reason;
use super::row_text::{self, Item};
use super::stage::Stage;
use crate::config::{Schema, Steps};
use crate::event::Value;
use crate::limits;

/// The rows of one message and what their names mean.
pub struct Rows<'a> {
    batch: EventBatch<'a>,
    names: Vec<Name>,
    /// Per name, its place in the order of all paths; empty until somebody asks.
    ranks: Vec<u32>,
    /// Per name, the row that had it last, counted from 1.
    seen: Vec<usize>,
    /// The row that was found sound last, counted from 1.
    sound: usize,
}

/// What a name of a message means.
enum Name {
    /// A field, the time or the id.
    Known(NodeId),
    /// The place of an unknown name.
    Unknown(usize),
    /// Something of which another name may say something else.
    Shared,
    /// No row can have it.
    Refused(Reason),
}

impl Name {
    /// `name` is one of those that [`Members::begin`] was called for.
    fn new(name: &[u8], members: &mut Members) -> Self {
        let Ok(path) = std::str::from_utf8(name) else { return Self::Refused(Reason::InvalidUtf8) };
        // All steps but the last are objects within the event.
        if Steps::new(path).nth(limits::MAX_JSON_DEPTH + 1).is_some() {
            return Self::Refused(Reason::TooDeep);
        }
        match members.find_path(path) {
            PathMember::Unknown(place) => Self::Unknown(place),
            PathMember::Known(id) if !members.node(id).has_children && !members.is_repeated(id) => {
                Self::Known(id)
            }
            PathMember::Known(_) | PathMember::Within => Self::Shared,
        }
    }
}

impl<'a> Rows<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Reason::MalformedProtobuf`].
    pub fn decode(bytes: &'a [u8], members: &mut Members) -> Result<Self, Reason> {
        let batch = EventBatch::decode(bytes).map_err(|_| Reason::MalformedProtobuf)?;
        members.begin();
        let names: Vec<Name> = batch.names.iter().map(|name| Name::new(name, members)).collect();
        Ok(Self { seen: vec![0; names.len()], ranks: Vec::new(), batch, names, sound: 0 })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether a row must go the way of JSON. Refuses one with values that have no name, with a
    /// name that it has twice (a short row could say a long name so often that no memory would
    /// hold what was said) or that leads too deep, or with texts that are no UTF-8.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&mut self, at: usize) -> Result<bool, Reason> {
        let row = self.batch.get(at);
        if row.names.len() != row.values.len() {
            return Err(Reason::MalformedProtobuf);
        }
        let mut is_json = false;
        for (&name, value) in row.names.iter().zip(row.values) {
            let place = name as usize;
            let Some(name) = self.names.get(place) else { return Err(Reason::MalformedProtobuf) };
            if std::mem::replace(&mut self.seen[place], at + 1) == at + 1 {
                return Err(Reason::MalformedProtobuf);
            }
            let is_text = match value {
                event_batch::Value::Text(text) => is_utf8(text),
                event_batch::Value::Json(text) => {
                    is_json = true;
                    is_utf8(text)
                }
                _ => true,
            };
            match name {
                Name::Refused(reason) => return Err(*reason),
                _ if !is_text => return Err(Reason::InvalidUtf8),
                Name::Shared => is_json = true,
                Name::Known(_) | Name::Unknown(_) => {}
            }
        }
        self.sound = at + 1;
        Ok(is_json)
    }

    /// A checked row as the JSON object that says the same.
    ///
    /// # Errors
    /// Where a value is not one of JSON and nothing else: it must not become a member of its own.
    pub fn json(&mut self, at: usize) -> Result<String, Reason> {
        for value in self.batch.get(at).values {
            if let event_batch::Value::Json(text) = value {
                serde_json::from_slice::<IgnoredAny>(text).map_err(|_| Reason::MalformedJson)?;
            }
        }
        Ok(self.to_json(at, usize::MAX))
    }

    /// Stages a checked row that need not go the way of JSON.
    pub fn stage(&mut self, at: usize, members: &mut Members, stage: &mut Stage, schema: &Schema) {
        let row = self.batch.get(at);
        // Of these the batch will not hold all.
        let mut kept = Vec::new();
        for (nth, (&name, value)) in row.names.iter().zip(row.values).enumerate() {
            let whole = match self.names[name as usize] {
                Name::Known(id) => {
                    let node = members.node(id);
                    let mut whole = node.is_leaf();
                    for &field in &node.fields {
                        whole &= !stage.value(field, typed(*value));
                    }
                    if node.is_time {
                        whole &= stage_time(stage, schema, *value);
                    }
                    whole
                }
                Name::Unknown(place) => {
                    members.count_unknown(place);
                    false
                }
                Name::Shared | Name::Refused(_) => unreachable!("checked: no such name"),
            };
            if !whole {
                kept.push(nth);
            }
        }
        if !kept.is_empty() {
            stage.keep(self.members_text(at, kept, usize::MAX).as_bytes());
        }
    }

    /// One row as a JSON object that says the same, up to so many bytes of it.
    pub fn to_json(&mut self, at: usize, most: usize) -> String {
        if self.sound == at + 1 {
            let all = (0..self.batch.get(at).names.len()).collect();
            return format!("{{{}}}", self.members_text(at, all, most));
        }
        // One that is not sound is shown as it is.
        let row = self.batch.get(at);
        let mut writer = row_text::Writer::default();
        for (&place, value) in row.names.iter().zip(row.values) {
            if writer.bytes() > most {
                break;
            }
            let name = self.batch.names.get(place as usize).map_or(&b"?"[..], |name| *name);
            let path = String::from_utf8_lossy(&name[..name.len().min(most)]);
            let steps = match self.names.get(place as usize) {
                Some(Name::Known(_) | Name::Unknown(_) | Name::Shared) => {
                    Steps::new(&path).map(|step| step.into_owned().into()).collect()
                }
                _ => vec![Cow::Owned(path.into_owned())],
            };
            writer.put(steps, *value);
            writer.close(0);
        }
        format!("{{{}}}", writer.finish())
    }

    /// The members of a checked row whose places in it are given.
    fn members_text(&mut self, at: usize, mut places: Vec<usize>, most: usize) -> String {
        let row = self.batch.get(at);
        if places.len() > 1 {
            if self.ranks.is_empty() {
                self.ranks = ranks(&self.batch.names);
            }
            places.sort_by_key(|nth| self.ranks[row.names[*nth] as usize]);
        }
        let item = |&nth: &usize| {
            let name = self.batch.names[row.names[nth] as usize];
            Item { path: std::str::from_utf8(name).unwrap_or("?"), value: row.values[nth], nth }
        };
        row_text::members(&places.iter().map(item).collect::<Vec<_>>(), most)
    }
}

/// Per name, its place in the order of their paths.
fn ranks(names: &[&[u8]]) -> Vec<u32> {
    let path = |name: &u32| Steps::new(std::str::from_utf8(names[*name as usize]).unwrap_or(""));
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_by(|a, b| path(a).cmp(path(b)));
    let mut ranks = vec![0; names.len()];
    order.iter().zip(0..).for_each(|(name, rank)| ranks[*name as usize] = rank);
    ranks
}

fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()
}

fn typed(value: event_batch::Value<'_>) -> Value<'_> {
    match value {
        event_batch::Value::Null => Value::Null,
        event_batch::Value::Text(text) | event_batch::Value::Json(text) => Value::Text(text),
        event_batch::Value::Int(int) => Value::Int(int),
        event_batch::Value::Double(double) => Value::Float(double),
        event_batch::Value::Bool(bool) => Value::Bool(bool),
    }
}

fn stage_time(stage: &mut Stage, schema: &Schema, value: event_batch::Value<'_>) -> bool {
    let (text, is_number) = match value {
        event_batch::Value::Null => return true,
        event_batch::Value::Text(text) => (Cow::Borrowed(text), false),
        event_batch::Value::Int(int) => (int.to_string().into_bytes().into(), true),
        event_batch::Value::Double(double) if double.is_finite() => {
            (double.to_string().into_bytes().into(), true)
        }
        _ => {
            stage.refuse(Reason::BadTime);
            return true;
        }
    };
    let span = Span::new(0, text.len());
    let token = if is_number { Token::Number(span) } else { Token::String(span) };
    stage.time(schema, &text, token)
}
