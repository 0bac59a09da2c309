//! What comes back: an answer or a failure, in JSON or protobuf.

use std::fmt::Write;

use serde_json::{Value, json};
use sketches::top::Frequent;

use super::folded::{Folded, folded_json, folded_wire};
use crate::config::shortened;
use crate::event::timestamp;
use crate::ingest::wire;
use crate::output::Cell;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// A failure. What it quotes of a question is cut.
    pub fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let [message, hint] =
            [message.into(), hint.into()].map(|text: String| shortened(&text).into_owned());
        Self { code, message, hint }
    }

    /// Bytes that are neither JSON nor protobuf.
    pub fn no_message(error: prost::DecodeError) -> Self {
        let hint = "a question is a JSON object or a Question of schemas/query.proto";
        Self::new("bad_request", error.to_string(), hint)
    }

    /// There will be no answer.
    pub fn stopping() -> Self {
        Self::new("stopping", "the server is stopping", "ask again when it is back")
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let error = json!({ "code": self.code, "message": self.message, "hint": self.hint });
        json!({ "error": error }).to_string()
    }

    /// As protobuf.
    pub fn to_wire(&self, id: String) -> wire::Answer {
        let error = wire::Failure {
            code: self.code.to_owned(),
            message: self.message.clone(),
            hint: self.hint.clone(),
        };
        wire::Answer { id, error: Some(error), ..wire::Answer::default() }
    }
}

/// Lower and upper bound (two standard errors) of a number of distinct values, where one is known.
pub type Bounds = Option<(f64, f64)>;

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// One list of cells per group.
    pub rows: Vec<Vec<Cell>>,
    /// Of all groups, also those beyond the limit.
    pub totals: Vec<Cell>,
    /// Per column of a number of distinct values: the bounds, per row.
    pub bounds: Vec<(String, Vec<Bounds>)>,
    /// Quantiles of which values were folded.
    pub folded: Vec<Folded>,
    /// When it was so, in microseconds since 1970.
    pub as_of_us: i64,
    /// Sequence number after the last event that it covers.
    pub events: u64,
    /// Aggregates that were added later, and when, in microseconds since 1970.
    pub since: Vec<(String, i64)>,
}

fn write_cells(cells: &[Cell], out: &mut String) {
    out.push('[');
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        cell.write_json(out);
    }
    out.push(']');
}

impl Answer {
    /// As JSON. Exact numbers keep all their digits.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"columns\":{},\"rows\":[", json!(self.columns));
        for (at, row) in self.rows.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_cells(row, &mut out);
        }
        out.push_str("],\"totals\":");
        write_cells(&self.totals, &mut out);
        let bounds = self.bounds.iter().map(|(name, bounds)| {
            let pair = |(lower, upper)| [lower as i64, upper as i64];
            let pairs = bounds.iter().map(|bounds: &Bounds| json!(bounds.map(pair)));
            (name.clone(), pairs.collect::<Value>())
        });
        let bounds = Value::Object(bounds.collect());
        let as_of = timestamp(self.as_of_us);
        // Writing to a string cannot fail.
        let _ = write!(out, ",\"bounds\":{bounds}");
        if let Some((rows, totals)) = folded_json(&self.folded) {
            let _ = write!(out, ",\"folded\":{rows},\"folded_totals\":{totals}");
        }
        let _ = write!(out, ",\"as_of\":\"{as_of}\",\"events\":{}", self.events);
        if !self.since.is_empty() {
            let _ = write!(out, ",\"since\":{}", since_json(&self.since));
        }
        out.push('}');
        out
    }

    /// As protobuf.
    pub fn to_wire(&self, id: String) -> wire::Answer {
        let line = |cells: &[Cell]| wire::Line { cells: cells.iter().map(wire_cell).collect() };
        wire::Answer {
            id,
            columns: self.columns.clone(),
            rows: self.rows.iter().map(|r| line(r)).collect(),
            totals: Some(line(&self.totals)),
            bounds: self
                .bounds
                .iter()
                .map(|(column, bounds)| wire::Bounds {
                    column: column.clone(),
                    lower: bounds.iter().map(|b| b.map_or(f64::NAN, |b| b.0)).collect(),
                    upper: bounds.iter().map(|b| b.map_or(f64::NAN, |b| b.1)).collect(),
                })
                .collect(),
            as_of: timestamp(self.as_of_us),
            events: self.events,
            since: since_wire(&self.since),
            folded: folded_wire(&self.folded),
            ..wire::Answer::default()
        }
    }
}

/// When aggregates that were added later began to count.
pub(super) fn since_json(since: &[(String, i64)]) -> Value {
    since.iter().map(|(name, us)| (name.clone(), Value::from(timestamp(*us)))).collect()
}

/// The same in protobuf.
pub(super) fn since_wire(since: &[(String, i64)]) -> Vec<wire::Since> {
    let one = |(aggregate, us): &(String, i64)| wire::Since {
        aggregate: aggregate.clone(),
        since: timestamp(*us),
    };
    since.iter().map(one).collect()
}

fn wire_cell(cell: &Cell) -> wire::Cell {
    use wire::cell::Kind;
    let kind = match cell {
        Cell::Null => None,
        Cell::Bool(value) => Some(Kind::Bool(*value)),
        Cell::Float(value) => Some(Kind::Double(*value)),
        Cell::Exact(digits, 0) => Some(match i64::try_from(*digits) {
            Ok(int) => Kind::Int(int),
            Err(_) => Kind::Decimal(cell.text()),
        }),
        Cell::Exact(..) => Some(Kind::Decimal(cell.text())),
        Cell::Items(items) => {
            let item = |f: &Frequent| wire::Item {
                value: f.item.clone(),
                count: f.upper,
                lower: f.lower,
                upper: f.upper,
            };
            Some(Kind::Items(wire::Items { items: items.iter().map(item).collect() }))
        }
        Cell::Text(_) | Cell::Day(_) => Some(Kind::String(cell.text())),
    };
    wire::Cell { kind }
}
