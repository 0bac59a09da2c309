//! One event on its way into a batch: its values are gathered here, checked against the
//! fields' types and limits, and appended all together or not at all. What is derived of them
//! is computed here as well, so that it is held against the limits before the event is accepted.

use super::derive;
use super::json::{Span, Token, unescape};
use super::refusal::Reason;
use super::{scalar, time};
use crate::config::TimeFormat::{UnixMicros, UnixMillis, UnixSeconds};
use crate::config::{Aggregate, AggregateKind, Derivation, Field, FieldSource, FieldType, Schema};
use crate::event::{Batch, DayZone, Value};
use crate::limits;

/// A value that was read but not yet appended. Texts stay where they are until then.
#[derive(Clone, Copy, Default)]
enum Staged {
    #[default]
    Null,
    /// A range of the message.
    Source(Span),
    /// A range of the scratch text.
    Scratch(Span),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// The values of one event.
pub struct Stage {
    kinds: Vec<FieldType>,
    /// Fields computed from others, in the order in which they can be.
    derived: Vec<(usize, Derivation)>,
    text_limits: Vec<(usize, Reason)>,
    /// Per field: the first size of an int that is refused.
    int_limits: Vec<u64>,
    staged: Vec<Staged>,
    scratch: Vec<u8>,
    rest: Vec<u8>,
    refusal: Option<Reason>,
    /// The field that the refusal is about.
    refused_field: Option<usize>,
    time_us: Option<i64>,
}

impl Stage {
    /// A stage for the fields of a schema.
    pub fn new(schema: &Schema) -> Self {
        // Rows keep these values themselves.
        let is_top = |f: usize| move |a: &Aggregate| matches!(a.kind, AggregateKind::Top { field, .. } if field == f);
        let is_kept = |f: usize| {
            schema
                .summaries
                .iter()
                .any(|s| s.dimensions.contains(&f) || s.aggregates.iter().any(is_top(f)))
        };
        // What a key is derived from is as long as the key.
        let mut kept: Vec<bool> = (0..schema.fields.len()).map(is_kept).collect();
        for at in (0..schema.fields.len()).rev() {
            if let FieldSource::Derived(
                Derivation::Lower { field } | Derivation::Prefix { field, .. },
            ) = schema.fields[at].source
            {
                kept[field] |= kept[at];
            }
        }
        let limit = |f: usize| match kept[f] {
            true => (limits::MAX_DIMENSION_BYTES, Reason::DimensionTooLong),
            false => (limits::MAX_STRING_BYTES, Reason::StringTooLong),
        };
        let derivation = |(at, field): (usize, &Field)| match field.source {
            FieldSource::Derived(derivation) => Some((at, derivation)),
            FieldSource::Record(_) => None,
        };
        Self {
            kinds: schema.fields.iter().map(|f| f.kind).collect(),
            derived: schema.fields.iter().enumerate().filter_map(derivation).collect(),
            text_limits: (0..schema.fields.len()).map(limit).collect(),
            int_limits: (0..schema.fields.len()).map(|f| int_limit(schema, f)).collect(),
            staged: vec![Staged::Null; schema.fields.len()],
            scratch: Vec::new(),
            rest: Vec::new(),
            refusal: None,
            refused_field: None,
            time_us: None,
        }
    }

    /// Forgets the last event.
    pub fn begin(&mut self) {
        self.staged.fill(Staged::Null);
        self.scratch.clear();
        self.rest.clear();
        self.refusal = None;
        self.refused_field = None;
        self.time_us = None;
    }

    /// Notes why the event cannot be accepted; the first reason counts.
    pub fn refuse(&mut self, reason: Reason) {
        self.refusal.get_or_insert(reason);
    }

    /// Why the event cannot be accepted.
    pub fn refusal(&self) -> Option<Reason> {
        self.refusal
    }

    /// The field that this is about, if it is about one.
    pub fn refused_field(&self) -> Option<usize> {
        self.refused_field
    }

    /// Notes that the event cannot be accepted for the value of a field.
    pub fn refuse_field(&mut self, field: usize, reason: Reason) {
        if self.refusal.is_none() {
            (self.refusal, self.refused_field) = (Some(reason), Some(field));
        }
    }

    /// Reads the event's time. Returns whether its text can be told from the microseconds.
    #[inline]
    pub fn time(&mut self, schema: &Schema, source: &[u8], token: Token) -> bool {
        let mut unescaped = Vec::new();
        let (text, is_number) = match token {
            Token::Number(span) => (span.of(source), true),
            Token::String(span) => (span.of(source), false),
            Token::Escaped(span) => {
                unescape(span.of(source), &mut unescaped);
                (unescaped.as_slice(), false)
            }
            Token::Null => return true,
            _ => {
                self.refuse(Reason::BadTime);
                return true;
            }
        };
        match time::read(text, &schema.time.format, &schema.zone) {
            Ok(time_us) => self.time_us = Some(time_us),
            Err(reason) => self.refuse(reason),
        }
        let unix = matches!(schema.time.format, UnixMicros | UnixMillis | UnixSeconds);
        unix && is_number && text.iter().all(u8::is_ascii_digit)
    }

    /// The event's time.
    pub fn time_us(&self) -> Option<i64> {
        self.time_us
    }

    /// Stages a JSON value for a field. Returns whether its text holds more than the field
    /// will.
    #[inline]
    pub fn json(&mut self, field: usize, source: &[u8], token: Token) -> bool {
        let result = match (self.kinds[field], token) {
            (_, Token::Null) => Ok((Staged::Null, false)),
            (FieldType::String, Token::String(span)) | (FieldType::String, Token::Number(span)) => {
                self.check_length(field, span.len()).map(|()| (Staged::Source(span), false))
            }
            (FieldType::String, Token::Escaped(span)) => {
                let start = self.scratch.len();
                unescape(span.of(source), &mut self.scratch);
                self.check_length(field, self.scratch.len() - start)
                    .map(|()| (Staged::Scratch(Span::new(start, self.scratch.len())), false))
            }
            (FieldType::Int, Token::Number(span)) => {
                scalar::int(span.of(source)).map(|i| (Staged::Int(i), false))
            }
            (FieldType::Decimal(scale), Token::Number(span)) => {
                scalar::decimal(span.of(source), scale).map(|(i, lossy)| (Staged::Int(i), lossy))
            }
            (FieldType::Float, Token::Number(span)) => {
                scalar::float(span.of(source)).map(|f| (Staged::Float(f), false))
            }
            (FieldType::Bool, Token::True) => Ok((Staged::Bool(true), false)),
            (FieldType::Bool, Token::False) => Ok((Staged::Bool(false), false)),
            _ => Err(Reason::WrongType),
        };
        self.settle(field, result)
    }

    /// Stages a typed value for a field, as [`Stage::json`] does.
    pub fn value(&mut self, field: usize, value: Value<'_>) -> bool {
        let result = match (self.kinds[field], value) {
            (_, Value::Null) => Ok((Staged::Null, false)),
            (FieldType::String, Value::Text(text)) => self.scratch_text(field, text),
            (FieldType::String, Value::Int(i)) => {
                self.scratch_text(field, i.to_string().as_bytes())
            }
            (FieldType::String, Value::Float(f)) if f.is_finite() => {
                self.scratch_text(field, f.to_string().as_bytes())
            }
            (FieldType::Int, Value::Int(i)) => Ok((Staged::Int(i), false)),
            (FieldType::Decimal(scale), Value::Int(i)) => 10i64
                .checked_pow(u32::from(scale))
                .and_then(|factor| i.checked_mul(factor))
                .map(|i| (Staged::Int(i), false))
                .ok_or(Reason::NumberOverflow),
            (FieldType::Float, Value::Int(i)) => {
                scalar::check_float(i as f64).map(|f| (Staged::Float(f), false))
            }
            (FieldType::Float, Value::Float(f)) => {
                scalar::check_float(f).map(|f| (Staged::Float(f), false))
            }
            (FieldType::Int | FieldType::Decimal(_), Value::Float(f)) if !f.is_finite() => {
                Err(Reason::FloatRange)
            }
            // Exactly what JSON would have said: the shortest text of the double.
            (FieldType::Int, Value::Float(f)) => {
                scalar::int(f.to_string().as_bytes()).map(|i| (Staged::Int(i), false))
            }
            (FieldType::Decimal(scale), Value::Float(f)) => {
                scalar::decimal(f.to_string().as_bytes(), scale)
                    .map(|(i, lossy)| (Staged::Int(i), lossy))
            }
            (FieldType::Bool, Value::Bool(b)) => Ok((Staged::Bool(b), false)),
            _ => Err(Reason::WrongType),
        };
        self.settle(field, result)
    }

    fn scratch_text(&mut self, field: usize, text: &[u8]) -> Result<(Staged, bool), Reason> {
        self.check_length(field, text.len())?;
        let start = self.scratch.len();
        self.scratch.extend_from_slice(text);
        Ok((Staged::Scratch(Span::new(start, self.scratch.len())), false))
    }

    #[inline]
    fn check_length(&self, field: usize, bytes: usize) -> Result<(), Reason> {
        let (limit, reason) = self.text_limits[field];
        if bytes > limit { Err(reason) } else { Ok(()) }
    }

    #[inline]
    fn settle(&mut self, field: usize, result: Result<(Staged, bool), Reason>) -> bool {
        match result {
            Ok((Staged::Int(i), _)) if i.unsigned_abs() >= self.int_limits[field] => {
                self.refuse_field(field, Reason::FloatRange);
                false
            }
            Ok((staged, lossy)) => {
                self.staged[field] = staged;
                lossy
            }
            Err(reason) => {
                self.refuse_field(field, reason);
                false
            }
        }
    }

    /// Keeps a member, as the text `"key":value`, that no field holds (whole).
    #[inline]
    pub fn keep(&mut self, member: &[u8]) {
        if !self.rest.is_empty() {
            self.rest.push(b',');
        }
        self.rest.extend_from_slice(member);
    }

    /// Stages the derived fields of an event whose time and day are known; one that is beyond a
    /// limit refuses it.
    #[inline]
    pub fn derive(&mut self, source: &[u8], time_us: i64, day: i32, zone: &mut DayZone) {
        for at in 0..self.derived.len() {
            let (field, derivation) = self.derived[at];
            let result = self.derived(derivation, source, time_us, day, zone);
            let result = result.and_then(|staged| match staged {
                Staged::Source(span) | Staged::Scratch(span) => {
                    self.check_length(field, span.len()).map(|()| (staged, false))
                }
                _ => Ok((staged, false)),
            });
            self.settle(field, result);
        }
    }

    fn derived(
        &mut self,
        derivation: Derivation,
        source: &[u8],
        time_us: i64,
        day: i32,
        zone: &mut DayZone,
    ) -> Result<Staged, Reason> {
        Ok(match derivation {
            Derivation::Hour => Staged::Int(derive::hour(zone.local_us(time_us))),
            Derivation::DayPart => {
                let start = self.scratch.len();
                self.scratch.extend_from_slice(derive::day_part(zone.local_us(time_us)));
                Staged::Scratch(Span::new(start, self.scratch.len()))
            }
            Derivation::Weekday => Staged::Int(derive::weekday(day)),
            Derivation::Bucket { field, width } => match self.staged[field] {
                Staged::Int(value) => Staged::Int(derive::lower_edge(value, width)?),
                // Below 2^40 in size.
                Staged::Float(value) => {
                    Staged::Int(derive::lower_edge(value.floor() as i64, width)?)
                }
                _ => Staged::Null,
            },
            Derivation::Lower { field } => {
                let start = self.scratch.len();
                match self.staged[field] {
                    Staged::Source(span) => self.scratch.extend_from_slice(span.of(source)),
                    Staged::Scratch(span) => self.scratch.extend_from_within(span.range()),
                    _ => return Ok(Staged::Null),
                }
                derive::lower(&mut self.scratch, start);
                Staged::Scratch(Span::new(start, self.scratch.len()))
            }
            Derivation::Prefix { field, characters } => {
                let prefix = |span: Span, text: &[u8]| {
                    let start = span.range().start;
                    Span::new(start, start + derive::prefix(span.of(text), characters))
                };
                match self.staged[field] {
                    Staged::Source(span) => Staged::Source(prefix(span, source)),
                    Staged::Scratch(span) => Staged::Scratch(prefix(span, &self.scratch)),
                    _ => Staged::Null,
                }
            }
        })
    }

    /// Appends the event to a batch.
    pub fn commit(&self, source: &[u8], time_us: i64, day: i32, batch: &mut Batch) {
        batch.time_us.push(time_us);
        batch.day.push(day);
        let mut text_bytes = self.rest.len();
        for (column, staged) in batch.fields.iter_mut().zip(&self.staged) {
            match *staged {
                Staged::Null => column.push(Value::Null),
                Staged::Source(span) => {
                    text_bytes += span.len();
                    column.push_part(source, span.range());
                }
                Staged::Scratch(span) => {
                    text_bytes += span.len();
                    column.push_part(&self.scratch, span.range());
                }
                Staged::Int(i) => column.push(Value::Int(i)),
                Staged::Float(f) => column.push(Value::Float(f)),
                Staged::Bool(b) => column.push(Value::Bool(b)),
            }
        }
        batch.rest.push(&self.rest);
        batch.text_bytes += text_bytes;
    }
}

/// Quantiles are computed in floats and keep an exact sum, which takes what is below
/// [`limits::FLOAT_LIMIT`]; elsewhere an int may be any.
fn int_limit(schema: &Schema, field: usize) -> u64 {
    let is_quantile =
        |a: &Aggregate| matches!(a.kind, AggregateKind::Quantile { field: f, .. } if f == field);
    if !schema.summaries.iter().flat_map(|s| &s.aggregates).any(is_quantile) {
        return u64::MAX;
    }
    limit_of(match schema.fields[field].kind {
        FieldType::Decimal(scale) => scale,
        _ => 0,
    })
}

/// The least int that stands, with so many decimals, for a float out of range.
fn limit_of(scale: u8) -> u64 {
    let one = 10u64.checked_pow(u32::from(scale));
    let limit = one.zip(one.and_then(|one| one.checked_mul(limits::FLOAT_LIMIT)));
    let Some((one, mut limit)) = limit else { return u64::MAX };
    // The last ones below it are rounded to it.
    while (limit - 1) as f64 / one as f64 >= limits::FLOAT_LIMIT as f64 {
        limit -= 1;
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_for_quantiles_has_a_fixed_point_form() {
        for scale in 0..=18 {
            let limit = limit_of(scale);
            let float = |int: u64| int as f64 / 10f64.powi(i32::from(scale));
            let greatest = limit.saturating_sub(1).min(i64::MAX as u64);
            assert!(sketches::sum::to_fixed(float(greatest)).is_some(), "{scale}");
            if limit < i64::MAX as u64 {
                assert!(sketches::sum::to_fixed(float(limit)).is_none(), "{scale}");
            }
        }
        assert_eq!(limit_of(1), 10 << 40);
    }
}
