//! From states to what people read: one cell per column, the same in answers and files.

use std::fmt::Write;

use serde_json::json;
use sketches::quantile::Mapping;
use sketches::top::Frequent;
use sketches::unique::Estimate;

use crate::config::{AggregateKind, FieldType, Formula, Output, Part, Schema, Summary, mapping};
use crate::key::KeyValue;
use crate::row::state::{OVERFLOWED, Scalar, State, float_of_word};

use crate::event::date;

/// One value of an answer or a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// true or false.
    Bool(bool),
    /// An exact number: digits, and how many of them are decimals.
    Exact(i128, u8),
    /// A float, never -0, NaN or infinite.
    Float(f64),
    /// Text.
    Text(String),
    /// A day, as days since 1970.
    Day(i32),
    /// The most frequent values, by descending count.
    Items(Vec<Frequent>),
}

impl Cell {
    /// An exact whole number.
    pub fn int(value: impl Into<i128>) -> Self {
        Self::Exact(value.into(), 0)
    }

    /// A float; null where it is not finite.
    pub fn float(value: f64) -> Self {
        if value.is_finite() { Self::Float(value + 0.0) } else { Self::Null }
    }

    /// The value as a float, where it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Exact(digits, scale) => Some(*digits as f64 / 10f64.powi(i32::from(*scale))),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The value as plain text; null is empty.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out);
        out
    }

    /// Appends the value as plain text; null is nothing, and the most frequent values are a
    /// list in JSON of value, count (the upper bound) and lower bound.
    pub fn write_text(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Null => Ok(()),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Exact(digits, 0) => write!(out, "{digits}"),
            Self::Exact(digits, scale) => {
                let sign = if *digits < 0 { "-" } else { "" };
                let (size, scale) = (digits.unsigned_abs(), usize::from(*scale));
                let unit = 10u128.pow(scale as u32);
                write!(out, "{sign}{}.{:0scale$}", size / unit, size % unit)
            }
            Self::Float(value) => write!(out, "{value}"),
            Self::Text(text) => write!(out, "{text}"),
            Self::Day(day) => write!(out, "{}", date(*day)),
            Self::Items(items) => {
                let triple = |item: &Frequent| json!([item.item, item.upper, item.lower]);
                write!(out, "{}", items.iter().map(triple).collect::<serde_json::Value>())
            }
        };
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Text(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::Day(_) => {
                out.push('"');
                self.write_text(out);
                out.push('"');
            }
            Self::Items(items) => {
                let object = |Frequent { item, lower, upper }: &Frequent| json!({ "value": item, "count": upper, "lower": lower, "upper": upper });
                let list: serde_json::Value = items.iter().map(object).collect();
                out.push_str(&list.to_string());
            }
            other => other.write_text(out),
        }
    }

    /// The order of answers: numbers by size, then texts by bytes (as the one that stands for
    /// a sum beyond all numbers), null last. The numbers of one column are of one kind.
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Exact(a, s), Self::Exact(b, t)) if s == t => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Day(a), Self::Day(b)) => a.cmp(b),
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                _ => a.rank().cmp(&b.rank()),
            },
        }
    }

    /// The place of its kind among others.
    fn rank(&self) -> u8 {
        match self {
            Self::Exact(..) | Self::Float(_) => 0,
            Self::Bool(_) => 1,
            Self::Day(_) => 2,
            Self::Text(_) => 3,
            Self::Items(_) => 4,
            Self::Null => 5,
        }
    }
}

/// The cell of a dimension. `kind` is the type of its field.
pub fn key_cell(value: KeyValue, kind: FieldType) -> Cell {
    match (value, kind) {
        (KeyValue::Null, _) => Cell::Null,
        (KeyValue::Bool(b), _) => Cell::Bool(b),
        (KeyValue::Int(i), _) => Cell::int(i),
        (KeyValue::Decimal(i), FieldType::Decimal(scale)) => Cell::Exact(i128::from(i), scale),
        (KeyValue::Decimal(i), _) => Cell::int(i),
        (KeyValue::String(text), _) => Cell::Text(text),
    }
}

/// Turns states of a summary's aggregates into cells.
pub struct Finisher {
    /// Per aggregate: type of its field, and the mapping of its bins.
    aggregates: Vec<(FieldType, Option<Mapping>)>,
}

impl Finisher {
    /// For a summary.
    pub fn new(schema: &Schema, summary: &Summary) -> Self {
        let finish = |kind: &AggregateKind| {
            let field = kind.field().map_or(FieldType::Int, |f| schema.fields[f].kind);
            let mapping = match kind {
                AggregateKind::Quantile { error, .. } => Some(mapping(*error)),
                _ => None,
            };
            (field, mapping)
        };
        Self { aggregates: summary.aggregates.iter().map(|a| finish(&a.kind)).collect() }
    }

    /// The cell of one part of an aggregate.
    pub fn cell(&self, output: Output, state: Option<&State>) -> Cell {
        let (field, mapping) = &self.aggregates[output.aggregate];
        match state {
            None => Cell::Null,
            Some(State::Count(count)) => Cell::int(*count),
            Some(State::Sum(OVERFLOWED)) => Cell::Text("overflow".to_owned()),
            Some(State::Sum(sum)) => match field {
                FieldType::Decimal(scale) => Cell::Exact(*sum, *scale),
                _ => Cell::int(*sum),
            },
            Some(State::FloatSum(sum)) => match sum.get() {
                Some(sum) => Cell::float(sum),
                None => Cell::Text("overflow".to_owned()),
            },
            Some(State::Min(value) | State::Max(value) | State::Last(_, value)) => {
                scalar_cell(value, *field)
            }
            Some(State::Unique(unique)) => distinct_cell(unique.estimate(), output.part),
            Some(State::Theta(theta)) => distinct_cell(theta.estimate(), output.part),
            Some(State::Top(top)) => match output.part {
                Part::Error => Cell::int(i128::from(top.error())),
                Part::Count => Cell::int(i128::from(top.count())),
                part => {
                    let mut items = top.items();
                    if let Part::First(count) = part {
                        items.truncate(count);
                    }
                    Cell::Items(items)
                }
            },
            Some(State::Quantile(quantile)) => {
                let at = |q: f64| mapping.as_ref().and_then(|m| quantile.quantile(q, m));
                let value = match output.part {
                    Part::Count => return Cell::int(i128::from(quantile.count())),
                    Part::Folded => return Cell::int(i128::from(quantile.folded())),
                    Part::Sum => Some(quantile.sum()),
                    Part::Mean if quantile.is_empty() => None,
                    Part::Mean => Some(quantile.sum() / quantile.count() as f64),
                    Part::Min => quantile.min(),
                    Part::Max => quantile.max(),
                    Part::Quantile(q) => at(q),
                    _ => at(0.5),
                };
                value.map_or(Cell::Null, Cell::float)
            }
        }
    }

    /// The cell of a derived column. `state` gives the state of an aggregate.
    pub fn derived<'s>(
        &self,
        formula: &Formula,
        state: &impl Fn(usize) -> Option<&'s State>,
    ) -> Cell {
        let value =
            formula.evaluate(&|output: Output| self.cell(output, state(output.aggregate)).as_f64());
        value.map_or(Cell::Null, Cell::float)
    }
}

fn distinct_cell(estimate: Estimate, part: Part) -> Cell {
    match part {
        Part::Error => Cell::float(estimate.std_error),
        Part::Lower => Cell::float(estimate.lower.round()),
        Part::Upper => Cell::float(estimate.upper.round()),
        _ => Cell::int(estimate.value.round() as i128),
    }
}

fn scalar_cell(value: &Scalar, field: FieldType) -> Cell {
    match (value, field) {
        (Scalar::Text(text), _) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        (Scalar::Word(word), FieldType::Float) => Cell::float(float_of_word(*word)),
        (Scalar::Word(word), FieldType::Decimal(scale)) => Cell::Exact(i128::from(*word), scale),
        (Scalar::Word(word), FieldType::Bool) => Cell::Bool(*word != 0),
        (Scalar::Word(word), _) => Cell::int(*word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_days_are_dates() {
        assert_eq!(Cell::Exact(-5, 6).text(), "-0.000005");
        assert_eq!(Cell::Exact(1_234_567, 3).text(), "1234.567");
        assert_eq!(Cell::int(i64::MIN).text(), "-9223372036854775808");
        assert_eq!(Cell::float(1e21).text(), "1000000000000000000000");
        assert_eq!(Cell::float(-0.0).text(), "0");
        assert_eq!(Cell::float(0.1 + 0.2).text(), "0.30000000000000004");
        assert_eq!(Cell::Day(20_777).text(), "2026-11-20");
    }

    #[test]
    fn cells_of_one_column_have_one_order() {
        // Sums: of numbers, beyond all numbers, of nothing.
        let ordered = [
            Cell::float(f64::MIN),
            Cell::int(i64::MIN),
            Cell::Exact(-15, 1),
            Cell::int(0),
            Cell::float(0.5),
            Cell::Exact(15, 1),
            Cell::int(i64::MAX),
            Cell::Bool(false),
            Cell::Bool(true),
            Cell::Day(1),
            Cell::Text("overflow".to_owned()),
            Cell::Text("p".to_owned()),
            Cell::Items(Vec::new()),
            Cell::Null,
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(one.compare(other), at.cmp(&other_at), "{one:?} {other:?}");
            }
        }
    }
}
