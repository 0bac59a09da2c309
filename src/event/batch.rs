//! A batch: at most [`crate::limits::BATCH_EVENTS`] accepted events in columns, numbered, with
//! everything that was sent. All that comes behind it is a function of batches and the
//! configuration.

use crate::config::{FieldType, Schema};

use super::Date;
use super::column::{Column, TextColumn, Values};

/// Accepted events in columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Sequence number of the first event; the others follow without gaps.
    pub first_seq: u64,
    /// When the batch was opened, in microseconds since 1970. Time-dependent rules behind
    /// the sequencer use this and `first_days`, and no clock.
    pub arrival_us: i64,
    /// By summary: the first day that it takes events of.
    pub first_days: Vec<Date>,
    /// Fingerprint of the schema that decoded it.
    pub fingerprint: u64,
    /// Event times, in microseconds since 1970.
    pub time_us: Vec<i64>,
    /// Days since 1970 in the zone of `[event]`.
    pub day: Vec<i32>,
    /// One column per field of the schema, derived ones as well.
    pub fields: Vec<Column>,
    /// What no field holds, as the text of JSON members: `"a":1,"b":[2]`.
    pub rest: TextColumn,
    /// Bytes of all texts, in the fields and in `rest`.
    pub text_bytes: usize,
}

impl Batch {
    /// An empty batch for a schema.
    pub fn new(schema: &Schema) -> Self {
        let column = |kind: FieldType| {
            Column::new(match kind {
                FieldType::String => Values::Text(TextColumn::default()),
                FieldType::Int | FieldType::Decimal(_) => Values::Int(Vec::new()),
                FieldType::Float => Values::Float(Vec::new()),
                FieldType::Bool => Values::Bool(Vec::new()),
            })
        };
        Self {
            first_seq: 0,
            arrival_us: 0,
            first_days: vec![Date::MIN; schema.summaries.len()],
            fingerprint: 0,
            time_us: Vec::new(),
            day: Vec::new(),
            fields: schema.fields.iter().map(|f| column(f.kind)).collect(),
            rest: TextColumn::default(),
            text_bytes: 0,
        }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.day.len()
    }

    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.day.is_empty()
    }

    /// Sequence number after the last event.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + self.len() as u64
    }

    /// Removes all events, keeps the memory.
    pub fn clear(&mut self) {
        self.time_us.clear();
        self.day.clear();
        self.fields.iter_mut().for_each(Column::clear);
        self.rest.clear();
        self.text_bytes = 0;
    }

    /// Bytes of memory that are kept for texts.
    pub fn text_capacity(&self) -> usize {
        let texts = self.fields.iter().filter_map(|column| match &column.values {
            Values::Text(texts) => Some(texts),
            _ => None,
        });
        texts.chain([&self.rest]).map(TextColumn::capacity).sum()
    }
}
