//! The columns of a summary's published file: `day`, dimensions, aggregates, derived.
//!
//! In: a key and a stored row. Out: one cell per column. Cells come from the same door as
//! those of answers ([`Finisher`]); only the sketch of a unique count is a file's own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sketches::unique::Family;
use sketches::{ak, datasketches};

use crate::config::{AggregateKind, FieldType, Formula, Output, Part, Schema, Summary};
use crate::key::take_piece;
use crate::output::{Cell, Finisher, key_cell};
use crate::row::codec::StoredRow;
use crate::row::{Layout, State};

/// The parts of a quantile that are published, in the order of their columns.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Where a column's cells come from.
#[derive(Clone, Debug)]
enum Source {
    Day,
    /// The next piece of the key.
    Dimension(FieldType),
    Output(Output),
    /// The sketch of an aggregate, in the bytes that other systems read.
    Sketch(usize),
    Derived(Formula),
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as the configuration writes types; besides `date`, `hll`, `bytea` and
    /// `json`, the types of PostgreSQL that take days, sketches and frequent values.
    pub kind: String,
    source: Source,
}

impl Column {
    /// Whether its cells are sketches, which a spreadsheet has no use for.
    pub fn is_sketch(&self) -> bool {
        matches!(self.source, Source::Sketch(_))
    }
}

/// Values that were counted as further from zero than they are, being too far below the greatest of
/// their row: quantiles among them are beyond their error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// How many.
    pub values: u64,
    /// Of how many rows.
    pub rows: u64,
}

/// The columns of a summary.
pub struct Columns {
    columns: Vec<Column>,
    layout: Arc<Layout>,
}

impl Columns {
    /// The columns of a summary whose rows have this layout.
    pub fn new(schema: &Schema, summary: &Summary, layout: Arc<Layout>) -> Self {
        let mut columns = vec![column("day", "date", Source::Day)];
        for &dimension in &summary.dimensions {
            let field = &schema.fields[dimension];
            columns.push(column(&field.name, field.kind, Source::Dimension(field.kind)));
        }
        for (aggregate, configured) in summary.aggregates.iter().enumerate() {
            let kind = &configured.kind;
            let field = kind.field().map_or(FieldType::Int, |f| schema.fields[f].kind);
            let names = kind.columns(&configured.name);
            for (name, (kind, source)) in names.iter().zip(sources(aggregate, kind, field)) {
                columns.push(column(name, kind, source));
            }
        }
        for derived in &summary.derived {
            columns.push(column(&derived.name, "float", Source::Derived(derived.formula.clone())));
        }
        Self { columns, layout }
    }

    /// The columns, in order.
    pub fn list(&self) -> &[Column] {
        &self.columns
    }

    /// Fills `cells` with those of one row. `key` holds the pieces of its dimensions.
    ///
    /// An aggregate that the row does not have, because it was configured later or has seen
    /// no value, is null; counts, sums and uniques that have seen nothing are zero.
    pub fn fill(
        &self,
        day: i32,
        key: &[u8],
        row: &StoredRow,
        finisher: &Finisher,
        cells: &mut Vec<Cell>,
    ) {
        let state = |aggregate: usize| -> Option<&State> {
            let number = self.layout.numbers[aggregate];
            let at = row.states.binary_search_by_key(&number, |(n, _)| *n).ok()?;
            Some(&row.states[at].1)
        };
        let mut rest = key;
        cells.clear();
        cells.extend(self.columns.iter().map(|column| match &column.source {
            Source::Day => Cell::Day(day),
            Source::Dimension(kind) => {
                take_piece(&mut rest).map_or(Cell::Null, |value| key_cell(value, *kind))
            }
            Source::Output(output) => finisher.cell(*output, state(output.aggregate)),
            Source::Sketch(aggregate) => match state(*aggregate) {
                Some(state) => published(state),
                None => Cell::Null,
            },
            Source::Derived(formula) => finisher.derived(formula, &state),
        }));
    }

    /// Adds what the quantiles of one row have folded, per aggregate.
    pub fn count_folded(&self, row: &StoredRow, folded: &mut [Folded]) {
        for (number, state) in &row.states {
            if let (Some(at), values @ 1..) = (self.layout.position(*number), state.folded()) {
                folded[at].values += values;
                folded[at].rows += 1;
            }
        }
    }
}

fn column(name: &str, kind: impl ToString, source: Source) -> Column {
    Column { name: name.to_owned(), kind: kind.to_string(), source }
}

/// Type and source of each of an aggregate's columns, in the order of
/// [`AggregateKind::columns`].
fn sources(aggregate: usize, kind: &AggregateKind, field: FieldType) -> Vec<(String, Source)> {
    let part =
        |kind: FieldType, part| (kind.to_string(), Source::Output(Output { aggregate, part }));
    match kind {
        AggregateKind::Unique { family, .. } => {
            let sketch = match family {
                Family::Ak => "hll",
                Family::DataSketches => "bytea",
            };
            vec![
                part(FieldType::Int, Part::Value),
                part(FieldType::Float, Part::Error),
                (sketch.to_owned(), Source::Sketch(aggregate)),
            ]
        }
        AggregateKind::Theta { .. } => vec![
            part(FieldType::Int, Part::Value),
            part(FieldType::Float, Part::Error),
            ("bytea".to_owned(), Source::Sketch(aggregate)),
        ],
        AggregateKind::Top { .. } => {
            vec![("json".to_owned(), Source::Output(Output { aggregate, part: Part::Value }))]
        }
        AggregateKind::Quantile { .. } => {
            QUANTILES.iter().map(|&q| part(FieldType::Float, Part::Quantile(q))).collect()
        }
        AggregateKind::Count => vec![part(FieldType::Int, Part::Value)],
        _ => vec![part(field, Part::Value)],
    }
}

/// A sketch in the bytes that other systems read.
fn published(state: &State) -> Cell {
    let mut bytes = Vec::new();
    match state {
        State::Unique(unique) => match unique.family() {
            Family::Ak => ak::write_row(unique, &mut bytes),
            Family::DataSketches => datasketches::write(unique, &mut bytes),
        },
        State::Theta(theta) => theta.write_apache(&mut bytes),
        _ => return Cell::Null,
    }
    Cell::Text(hex(&bytes))
}

/// `\x` and lower-case hexadecimal digits: how PostgreSQL reads bytes.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 + 2 * bytes.len());
    out.push_str("\\x");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

#[cfg(test)]
mod tests {
    use sketches::unique::{Coupon, Unique};

    use super::*;
    use crate::key::KeyValue;
    use crate::snapshot::fixture;

    #[test]
    fn columns_and_cells_of_a_row() {
        let schema = fixture::schema();
        let layout = fixture::layout(&schema, vec![1, 2, 3, 4, 5]);
        let columns = Columns::new(&schema, &schema.summaries[0], layout);
        let list: Vec<String> =
            columns.list().iter().map(|c| format!("{} {}", c.name, c.kind)).collect();
        assert_eq!(
            list,
            [
                "day date",
                "site string",
                "price decimal(2)",
                "views int",
                "cost decimal(6)",
                "users int",
                "users_error float",
                "users_hll hll",
                "latency_p50 float",
                "latency_p90 float",
                "latency_p95 float",
                "latency_p99 float",
                "page string",
                "cost_per_view float",
            ]
        );
        let finisher = Finisher::new(&schema, &schema.summaries[0]);
        let mut key = Vec::new();
        KeyValue::Null.push(&mut key);
        KeyValue::Decimal(-150).push(&mut key);
        let mut users = Unique::new(14);
        users.insert(Coupon::of_bytes(b"u1"));
        let states =
            vec![(1, State::Count(4)), (2, State::Sum(1_500_000)), (3, State::Unique(users))];
        let mut cells = Vec::new();
        let row = StoredRow { definition: 1, states };
        columns.fill(20_777, &key, &row, &finisher, &mut cells);
        let texts: Vec<String> = cells.iter().map(Cell::text).collect();
        assert_eq!(texts[..6], ["2026-11-20", "", "-1.50", "4", "1.500000", "1"]);
        assert_eq!(cells[1], Cell::Null);
        assert!(texts[7].starts_with("\\x138e7f"), "{}", texts[7]);
        // Neither quantiles nor the newest page are known of this row.
        assert!(cells[8..13].iter().all(|c| *c == Cell::Null));
        assert_eq!(cells[13], Cell::Float(0.375));
    }

    #[test]
    fn each_family_is_published_in_its_own_bytes() {
        let mut apache = Unique::with_family(Family::DataSketches, 12);
        (0..1000).for_each(|i| {
            apache.insert(Coupon::datasketches_of_i64(i));
        });
        let Cell::Text(text) = published(&State::Unique(apache.clone())) else { panic!("no text") };
        let digits = text.strip_prefix("\\x").unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        assert_eq!(datasketches::read(&bytes).unwrap(), apache);
        let Cell::Text(text) = published(&State::Unique(Unique::new(12))) else {
            panic!("no text")
        };
        assert_eq!(text, "\\x118c7f");
    }

    #[test]
    fn what_saw_nothing_is_zero_and_what_was_not_configured_is_null() {
        let schema = fixture::schema();
        // Permanent numbers need not follow the order of the configuration.
        let layout = fixture::layout(&schema, vec![9, 2, 7, 4, 5]);
        let zeros = [(2, 1), (7, 2), (9, 0)].map(|(number, at)| (number, layout.zero(at).unwrap()));
        let columns = Columns::new(&schema, &schema.summaries[0], layout);
        let finisher = Finisher::new(&schema, &schema.summaries[0]);
        let mut key = Vec::new();
        KeyValue::String(String::new()).push(&mut key);
        KeyValue::Null.push(&mut key);
        let mut cells = Vec::new();
        let row = StoredRow { definition: 1, states: zeros.into() };
        columns.fill(0, &key, &row, &finisher, &mut cells);
        let texts: Vec<String> = cells.iter().map(Cell::text).collect();
        assert_eq!(texts[3..8], ["0", "0.000000", "0", "0", "\\x118e7f"]);
        assert_eq!(cells[1], Cell::Text(String::new()));
        assert_eq!(cells[13], Cell::Null, "zero by zero");
        columns.fill(0, &key, &StoredRow { definition: 1, states: vec![] }, &finisher, &mut cells);
        assert!(cells[3..].iter().all(|c| *c == Cell::Null));
    }
}
