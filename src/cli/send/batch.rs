//! Lines of JSON gathered into messages: as they are, or as protobuf `EventBatch`.

use std::collections::{BTreeMap, HashMap};

use prost::Message as _;
use serde_json::value::RawValue;

use crate::ingest::wire::value::Kind;
use crate::ingest::wire::{EventBatch, Row, Value};

/// Bytes beyond which a message is not filled further, far below what a server takes.
const MESSAGE_BYTES: usize = 1 << 20;

/// Form of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Lines of JSON, unchanged
    Json,
    /// `EventBatch` of schemas/events.proto
    Protobuf,
}

/// A message that is being filled.
pub struct Batch {
    form: Form,
    most: usize,
    events: usize,
    text: Vec<u8>,
    text_bytes: usize,
    message: EventBatch,
    names: HashMap<String, u32>,
}

impl Batch {
    /// An empty one for at most `most` events.
    pub fn new(form: Form, most: usize) -> Self {
        let (message, names) = Default::default();
        Self { form, most: most.max(1), events: 0, text: Vec::new(), text_bytes: 0, message, names }
    }

    /// Number of events in it.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Whether an event of `bytes` bytes belongs into the next message.
    pub fn is_full_for(&self, bytes: usize) -> bool {
        self.events >= self.most || self.events > 0 && self.text_bytes + bytes > MESSAGE_BYTES
    }

    /// Adds an event.
    ///
    /// # Errors
    /// Why the line has no protobuf form. As JSON any line is passed on.
    pub fn add(&mut self, line: &[u8]) -> Result<(), String> {
        match self.form {
            Form::Json => {
                if self.events > 0 {
                    self.text.push(b'\n');
                }
                self.text.extend_from_slice(line);
            }
            Form::Protobuf => {
                let row = self.row(line)?;
                self.message.rows.push(row);
            }
        }
        self.events += 1;
        self.text_bytes += line.len() + 1;
        Ok(())
    }

    /// Writes the message into `out` and empties the batch.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        out.clear();
        match self.form {
            Form::Json => std::mem::swap(out, &mut self.text),
            // A vector grows as needed; nothing else can fail.
            Form::Protobuf => drop(self.message.encode(out)),
        }
        self.message = EventBatch::default();
        self.names.clear();
        (self.events, self.text_bytes) = (0, 0);
    }

    fn row(&mut self, line: &[u8]) -> Result<Row, String> {
        let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
        let mut row = Row::default();
        self.add_members(&mut row, "", text)?;
        Ok(row)
    }

    /// Adds the members of an object; those of objects within it under paths: `user.id`.
    fn add_members(&mut self, row: &mut Row, parent: &str, object: &str) -> Result<(), String> {
        let members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(object).map_err(|e| format!("is not a JSON object: {e}"))?;
        for (name, value) in members {
            let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
            if value.get().starts_with('{') {
                self.add_members(row, &path, value.get())?;
                continue;
            }
            let kind = kind(value.get()).map_err(|why| format!("\"{path}\" {why}"))?;
            let next = self.names.len() as u32;
            let place = *self.names.entry(path).or_insert_with_key(|path| {
                self.message.names.push(path.clone());
                next
            });
            row.name.push(place);
            row.value.push(Value { kind });
        }
        Ok(())
    }
}

/// A value that is no object.
fn kind(text: &str) -> Result<Option<Kind>, String> {
    Ok(match text.as_bytes().first() {
        Some(b'n') => None,
        Some(b't' | b'f') => Some(Kind::Bool(text == "true")),
        Some(b'"') => Some(Kind::String(serde_json::from_str(text).map_err(|e| e.to_string())?)),
        Some(b'[') => {
            return Err("is an array, which protobuf events have not; use --format json".into());
        }
        _ => Some(number(text)?),
    })
}

/// A number whose every digit survives.
fn number(text: &str) -> Result<Kind, String> {
    if let Ok(int) = text.parse() {
        return Ok(Kind::Int(int));
    }
    let double: f64 = text.parse().map_err(|_| format!("is not a number: {text}"))?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Fifteen significant digits always survive a double; more may.
    let exact = digits.trim_start_matches('0').len() <= 15 || double.to_string() == text;
    if !double.is_finite() || !exact {
        return Err(format!("is {text}, more than a double holds; use --format json"));
    }
    Ok(Kind::Double(double))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_passes_unchanged_in_bounded_messages() {
        let mut batch = Batch::new(Form::Json, 2);
        let mut out = Vec::new();
        batch.add(b"{\"a\":1}").unwrap();
        assert!(!batch.is_full_for(100) && batch.is_full_for(2 << 20));
        batch.add(b"not json \xff").unwrap();
        assert!(batch.is_full_for(0));
        batch.take(&mut out);
        assert_eq!(out, b"{\"a\":1}\nnot json \xff");
        assert!(batch.is_empty());
        assert!(!batch.is_full_for(2 << 20), "a large event goes alone");
    }

    #[test]
    fn objects_become_rows_with_paths() {
        let mut batch = Batch::new(Form::Protobuf, 10);
        batch.add(br#"{"a":1,"u":{"id":"x","n":null},"ok":true}"#).unwrap();
        batch.add(br#"{"u":{"id":"y"},"c":0.25}"#).unwrap();
        let mut out = Vec::new();
        batch.take(&mut out);
        assert_eq!(out[0], 0x82);
        let message = EventBatch::decode(&out[..]).unwrap();
        assert_eq!(message.names, ["a", "ok", "u.id", "u.n", "c"]);
        assert_eq!(message.rows[0].name, [0, 1, 2, 3]);
        let kinds: Vec<_> = message.rows[0].value.iter().map(|v| v.kind.clone()).collect();
        let text = |text: &str| Some(Kind::String(text.to_owned()));
        assert_eq!(kinds, [Some(Kind::Int(1)), Some(Kind::Bool(true)), text("x"), None]);
        assert_eq!(message.rows[1].name, [4, 2]);
        assert_eq!(message.rows[1].value[0].kind, Some(Kind::Double(0.25)));
    }

    #[test]
    fn what_protobuf_cannot_say_is_refused() {
        let mut batch = Batch::new(Form::Protobuf, 10);
        for line in [
            "[1]",
            "x",
            r#"{"a":[1]}"#,
            r#"{"a":18446744073709551615}"#,
            r#"{"a":1e999}"#,
            r#"{"a":0.12345678901234567890}"#,
        ] {
            assert!(batch.add(line.as_bytes()).is_err(), "{line}");
        }
        assert_eq!(batch.len(), 0);
    }
}
