//! Events as the protobuf message `EventBatch`. The message and its texts are used again
//! for the next batch, so that making one costs little beside taking it in.

use prost::Message as _;

use super::names::{AD_SIZES, BROWSERS, COUNTRIES, FIELDS, KINDS};
use super::{Event, text};
use crate::ingest::wire::value::Kind;
use crate::ingest::wire::{EventBatch, Row, Value};

/// A batch that is being filled.
#[derive(Default)]
pub struct Batch {
    message: EventBatch,
    used: usize,
    scratch: Vec<u8>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        let names = FIELDS.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { message: EventBatch { names, rows: Vec::new() }, ..Self::default() }
    }

    /// Number of events in it.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        if self.used == self.message.rows.len() {
            self.message.rows.push(Row {
                name: (0..FIELDS.len() as u32).collect(),
                value: vec![Value::default(); FIELDS.len()],
            });
        }
        let values = &mut self.message.rows[self.used].value;
        self.used += 1;
        self.scratch.clear();
        text::write_hex(&mut self.scratch, event.id);
        set_text(&mut values[0], "", &self.scratch);
        values[1].kind = Some(Kind::Int(event.ts_ms));
        let numbered = [
            (2, "u", u64::from(event.user)),
            (3, "p", u64::from(event.placement)),
            (4, "c", u64::from(event.campaign)),
            (8, "r", u64::from(event.region)),
        ];
        for (place, letter, number) in numbered {
            self.scratch.clear();
            text::write_number(&mut self.scratch, number);
            set_text(&mut values[place], letter, &self.scratch);
        }
        set_text(&mut values[5], AD_SIZES[usize::from(event.ad_size)], b"");
        set_text(&mut values[6], BROWSERS[usize::from(event.browser)], b"");
        set_text(&mut values[7], COUNTRIES[usize::from(event.country)], b"");
        set_text(&mut values[9], KINDS[usize::from(event.kind)], b"");
        // Both are read back through the shortest text of the double, which is exact here.
        values[10].kind = Some(Kind::Double(f64::from(event.cost_micros) / 1e6));
        values[11].kind = Some(Kind::Double(f64::from(event.latency_us) / 1e3));
    }

    /// Appends the message to `out` and forgets the events.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.message.rows.truncate(self.used);
        self.used = 0;
        // A vector grows as needed; nothing else can fail.
        let _ = self.message.encode(out);
    }
}

/// Sets a value to a text, in the memory of the text that was there.
fn set_text(value: &mut Value, start: &str, digits: &[u8]) {
    if !matches!(value.kind, Some(Kind::String(_))) {
        value.kind = Some(Kind::String(Vec::new()));
    }
    if let Some(Kind::String(text)) = &mut value.kind {
        text.clear();
        text.extend_from_slice(start.as_bytes());
        text.extend_from_slice(digits);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, LAST_DAY};
    use super::*;

    /// Both forms must say the same, member by member, also when a batch is used again.
    #[test]
    fn protobuf_says_what_json_says() {
        let events: Vec<Event> = Generator::new(9, 250, 1, LAST_DAY).unwrap().collect();
        let mut batch = Batch::new();
        for part in events.chunks(100) {
            part.iter().for_each(|event| batch.push(event));
            assert_eq!(batch.len(), part.len());
            let mut bytes = Vec::new();
            batch.finish(&mut bytes);
            assert_eq!(bytes[0], 0x82);
            let message = EventBatch::decode(&bytes[..]).unwrap();
            assert_eq!(message.rows.len(), part.len());
            for (row, event) in message.rows.iter().zip(part) {
                let mut line = Vec::new();
                event.write_json(&mut line);
                let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
                for (name, value) in row.name.iter().zip(&row.value) {
                    let told = &json[std::str::from_utf8(&message.names[*name as usize]).unwrap()];
                    match value.kind.as_ref().unwrap() {
                        Kind::String(text) | Kind::Json(text) => {
                            assert_eq!(told.as_str().unwrap().as_bytes(), text);
                        }
                        Kind::Int(int) => assert_eq!(told, int),
                        Kind::Double(double) => assert_eq!(told.as_f64(), Some(*double)),
                        Kind::Bool(bool) => assert_eq!(told, bool),
                    }
                }
            }
        }
    }
}
