//! Lines of JSON gathered into messages: as they are, or as protobuf `EventBatch`.

use std::collections::{BTreeMap, HashMap};

use prost::Message as _;
use serde_json::value::RawValue;

use crate::config::written_path;
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
    names: HashMap<Vec<u8>, u32>,
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
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|e| format!("is not a JSON object: {e}"))?;
        let mut row = Row::default();
        for (name, value) in members {
            let kind = kind(value.get()).map_err(|why| format!("\"{name}\" {why}"))?;
            // A name here is a path there.
            let path = written_path(&[name]).into_bytes();
            let next = self.names.len() as u32;
            let place = *self.names.entry(path).or_insert_with_key(|path| {
                self.message.names.push(path.clone());
                next
            });
            row.name.push(place);
            row.value.push(Value { kind });
        }
        Ok(row)
    }
}

/// A value; as JSON where protobuf would not say it as it is written.
fn kind(text: &str) -> Result<Option<Kind>, String> {
    let unescaped = || serde_json::from_str::<String>(text).map_err(|e| e.to_string());
    Ok(match text.as_bytes().first() {
        Some(b'n') => None,
        Some(b't' | b'f') => Some(Kind::Bool(text == "true")),
        Some(b'"') => Some(Kind::String(unescaped()?.into_bytes())),
        Some(b'[' | b'{') => Some(Kind::Json(text.into())),
        _ => Some(number(text)),
    })
}

/// A number; its text matters where it is a key.
fn number(text: &str) -> Kind {
    if let Some(int) = text.parse::<i64>().ok().filter(|int| int.to_string() == text) {
        return Kind::Int(int);
    }
    match text.parse::<f64>() {
        Ok(double) if double.to_string() == text => Kind::Double(double),
        _ => Kind::Json(text.into()),
    }
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
    fn objects_become_rows_that_say_the_same() {
        let mut batch = Batch::new(Form::Protobuf, 10);
        batch.add(br#"{"a":1,"ok":true,"u":{"id":"x"},"u.v":null}"#).unwrap();
        batch.add(br#"{"u.v":"y","c":0.25,"a":[1, 2]}"#).unwrap();
        let mut out = Vec::new();
        batch.take(&mut out);
        assert_eq!(out[0], 0x82);
        let message = EventBatch::decode(&out[..]).unwrap();
        let names: Vec<&[u8]> = message.names.iter().map(Vec::as_slice).collect();
        assert_eq!(names, [&b"a"[..], b"ok", b"u", br"u\.v", b"c"]);
        assert_eq!(message.rows[0].name, [0, 1, 2, 3]);
        let kinds = |row: usize| {
            message.rows[row].value.iter().map(|v| v.kind.clone()).collect::<Vec<Option<Kind>>>()
        };
        let json = |text: &str| Some(Kind::Json(text.into()));
        let object = json(r#"{"id":"x"}"#);
        assert_eq!(kinds(0), [Some(Kind::Int(1)), Some(Kind::Bool(true)), object, None]);
        let text = Some(Kind::String(b"y".to_vec()));
        assert_eq!(kinds(1), [json("[1, 2]"), Some(Kind::Double(0.25)), text]);
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["17850.0", "1e3", "0.50", "-0", "007", "18446744073709551616", "1e999"] {
            assert!(matches!(number(text), Kind::Json(_) | Kind::Double(_)), "{text}");
        }
        assert_eq!(number("-0"), Kind::Double(-0.0));
        assert_eq!(number("12.5"), Kind::Double(12.5));
        assert_eq!(number("12.50"), Kind::Json(b"12.50".to_vec()));
        assert_eq!(number("-7"), Kind::Int(-7));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let mut batch = Batch::new(Form::Protobuf, 10);
        for line in ["[1]", "x", "7", "{\"a\":007}", "{\"a\":1"] {
            assert!(batch.add(line.as_bytes()).is_err(), "{line}");
        }
        assert_eq!(batch.len(), 0);
    }
}
