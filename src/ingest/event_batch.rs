//! An `EventBatch` of `schemas/events.proto` as it lies in its message: texts are pieces of it, and
//! the values of all rows lie one behind the other, so that reading a row takes no memory of its
//! own. What it takes and refuses is what prost does, whose primitives it uses.

use std::ops::Range;

use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_key, decode_varint, skip_field,
};

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// None of the kinds.
    Null,
    /// A text, which need not be UTF-8.
    Text(&'a [u8]),
    /// An integer.
    Int(i64),
    /// A double, also NaN and the infinities.
    Double(f64),
    /// true or false.
    Bool(bool),
    /// JSON as it is written.
    Json(&'a [u8]),
}

/// Names and rows.
#[derive(Debug, Default)]
pub struct EventBatch<'a> {
    /// The names.
    pub names: Vec<&'a [u8]>,
    rows: Vec<(Range<u32>, Range<u32>)>,
    row_names: Vec<u32>,
    values: Vec<Value<'a>>,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'b, 'a> {
    /// Places of names.
    pub names: &'b [u32],
    /// As many values, unless the sender was wrong.
    pub values: &'b [Value<'a>],
}

impl<'a> EventBatch<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// Where it is none.
    pub fn decode(mut bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut batch = Self::default();
        while !bytes.is_empty() {
            match decode_key(&mut bytes)? {
                (16, wire) => batch.names.push(delimited(wire, &mut bytes)?),
                (17, wire) => batch.row(delimited(wire, &mut bytes)?)?,
                (tag, wire) => skip_field(wire, tag, &mut bytes, DecodeContext::default())?,
            }
        }
        Ok(batch)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row, which must exist.
    #[inline]
    pub fn get(&self, at: usize) -> Row<'_, 'a> {
        let (names, values) = &self.rows[at];
        Row {
            names: &self.row_names[names.start as usize..names.end as usize],
            values: &self.values[values.start as usize..values.end as usize],
        }
    }

    fn row(&mut self, mut bytes: &'a [u8]) -> Result<(), DecodeError> {
        // A message of 128 MB has no more of them than it has bytes.
        let (names, values) = (self.row_names.len() as u32, self.values.len() as u32);
        while !bytes.is_empty() {
            match decode_key(&mut bytes)? {
                (16, WireType::LengthDelimited) => {
                    let mut packed = delimited(WireType::LengthDelimited, &mut bytes)?;
                    while !packed.is_empty() {
                        self.row_names.push(decode_varint(&mut packed)? as u32);
                    }
                }
                (16, wire) => {
                    check_wire_type(WireType::Varint, wire)?;
                    self.row_names.push(decode_varint(&mut bytes)? as u32);
                }
                (17, wire) => self.values.push(value(delimited(wire, &mut bytes)?)?),
                (tag, wire) => skip_field(wire, tag, &mut bytes, DecodeContext::default())?,
            }
        }
        self.rows.push((names..self.row_names.len() as u32, values..self.values.len() as u32));
        Ok(())
    }
}

/// A value from its message: of several kinds the last counts.
#[inline]
fn value(mut bytes: &[u8]) -> Result<Value<'_>, DecodeError> {
    let mut value = Value::Null;
    while !bytes.is_empty() {
        match decode_key(&mut bytes)? {
            (16, wire) => value = Value::Text(delimited(wire, &mut bytes)?),
            (17, wire) => {
                check_wire_type(WireType::Varint, wire)?;
                let zigzag = decode_varint(&mut bytes)?;
                value = Value::Int((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
            (18, wire) => {
                check_wire_type(WireType::SixtyFourBit, wire)?;
                let (double, rest) = bytes.split_first_chunk().ok_or_else(too_short)?;
                bytes = rest;
                value = Value::Double(f64::from_le_bytes(*double));
            }
            (19, wire) => {
                check_wire_type(WireType::Varint, wire)?;
                value = Value::Bool(decode_varint(&mut bytes)? != 0);
            }
            (20, wire) => value = Value::Json(delimited(wire, &mut bytes)?),
            (tag, wire) => skip_field(wire, tag, &mut bytes, DecodeContext::default())?,
        }
    }
    Ok(value)
}

/// Takes bytes whose length is before them.
#[inline]
fn delimited<'a>(wire: WireType, bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire)?;
    let length = decode_varint(bytes)?;
    let length = usize::try_from(length).map_err(|_| too_short())?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(too_short)?;
    *bytes = rest;
    Ok(taken)
}

/// What prost says of a message that ends too soon.
#[cold]
fn too_short() -> DecodeError {
    decode_varint(&mut &[][..]).err().unwrap_or_else(|| unreachable!("nothing is no number"))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::ingest::wire;
    use wire::value::Kind;

    fn borrowed(value: &wire::Value) -> Value<'_> {
        match &value.kind {
            None => Value::Null,
            Some(Kind::String(text)) => Value::Text(text),
            Some(Kind::Int(int)) => Value::Int(*int),
            Some(Kind::Double(double)) => Value::Double(*double),
            Some(Kind::Bool(bool)) => Value::Bool(*bool),
            Some(Kind::Json(json)) => Value::Json(json),
        }
    }

    /// Whether both read the same.
    fn compare(bytes: &[u8]) -> bool {
        let (ours, theirs) = (EventBatch::decode(bytes), wire::EventBatch::decode(bytes));
        let (Ok(ours), Ok(theirs)) = (&ours, &theirs) else {
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{bytes:?}: {ours:?}, {theirs:?}");
            return false;
        };
        assert_eq!(ours.names, theirs.names);
        assert_eq!(ours.len(), theirs.rows.len());
        for (at, row) in theirs.rows.iter().enumerate() {
            assert_eq!(ours.get(at).names, row.name);
            let values: Vec<Value<'_>> = row.value.iter().map(borrowed).collect();
            // NaN is not equal to itself.
            assert_eq!(format!("{:?}", ours.get(at).values), format!("{values:?}"));
        }
        true
    }

    #[test]
    fn it_reads_what_prost_reads() {
        let kinds = [
            None,
            Some(Kind::String(b"text \xff".to_vec())),
            Some(Kind::Int(i64::MIN)),
            Some(Kind::Int(-1)),
            Some(Kind::Double(f64::NAN)),
            Some(Kind::Bool(true)),
            Some(Kind::Json(b"[1]".to_vec())),
        ];
        let row = |from: usize| {
            let value = kinds[from..].iter().map(|kind| wire::Value { kind: kind.clone() });
            wire::Row {
                name: (from as u32 * 100..).take(kinds.len() - from).collect(),
                value: value.collect(),
            }
        };
        let names = vec![b"a".to_vec(), b"b.c".to_vec(), Vec::new()];
        let batch = wire::EventBatch { names, rows: (0..4).map(row).collect() };
        let bytes = batch.encode_to_vec();
        assert!(compare(&bytes));
        assert!(compare(b""));
        // Unknown fields of each wire type, and names that are not packed.
        assert!(compare(b"\x08\x05\x11\x01\x02\x03\x04\x05\x06\x07\x08\x8a\x01\x03\x80\x01\x07"));
        // Whatever one byte is, and wherever it ends.
        let mut read = 0;
        for at in 0..bytes.len() {
            read += usize::from(compare(&bytes[..at]));
            for byte in 0..=u8::MAX {
                let mut bytes = bytes.clone();
                bytes[at] = byte;
                read += usize::from(compare(&bytes));
            }
        }
        assert!(read > 1000, "{read} were messages");
    }
}
