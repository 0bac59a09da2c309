//! Keys: which row is meant, as bytes whose order is the order of the values.
//!
//! `summary number (u32) · day (i32) · one piece per dimension`, all big-endian, so that a
//! day of a summary is one range and leading dimensions are a prefix. A piece is a tag and
//! bytes in the order of the values: null < false < true < ints < decimals < strings.
//! Equality of keys is equality of bytes. The printer is [`Key`]'s `Debug`.

use std::fmt;

use crate::event::Value;

const TAG_NULL: u8 = 0x05;
const TAG_FALSE: u8 = 0x10;
const TAG_TRUE: u8 = 0x11;
const TAG_INT: u8 = 0x20;
const TAG_DECIMAL: u8 = 0x28;
const TAG_STRING: u8 = 0x30;
/// Ends a string; within one it is followed by [`ESCAPE`], which is above every tag.
const END: u8 = 0x00;
const ESCAPE: u8 = 0xff;

/// Bytes of summary number and day.
pub const PREFIX_BYTES: usize = 8;

/// A value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyValue {
    /// No value.
    Null,
    /// true or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A decimal, as an integer scaled by its field's scale.
    Decimal(i64),
    /// Text.
    String(String),
}

/// The bytes that every key of a summary's day begins with.
pub fn prefix(summary: u32, day: i32) -> [u8; PREFIX_BYTES] {
    let mut bytes = [0; PREFIX_BYTES];
    bytes[..4].copy_from_slice(&summary.to_be_bytes());
    bytes[4..].copy_from_slice(&((day as u32) ^ (1 << 31)).to_be_bytes());
    bytes
}

/// Appends the piece of one value. `decimal` says that ints are those of a decimal field.
#[inline]
pub fn push_piece(value: Value<'_>, decimal: bool, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(TAG_NULL),
        Value::Bool(false) => out.push(TAG_FALSE),
        Value::Bool(true) => out.push(TAG_TRUE),
        Value::Int(i) => {
            out.push(if decimal { TAG_DECIMAL } else { TAG_INT });
            out.extend_from_slice(&((i as u64) ^ (1 << 63)).to_be_bytes());
        }
        Value::Text(text) => {
            out.push(TAG_STRING);
            let mut rest = text;
            while let Some(at) = rest.iter().position(|&b| b == END) {
                out.extend_from_slice(&rest[..at]);
                out.extend_from_slice(&[END, ESCAPE]);
                rest = &rest[at + 1..];
            }
            out.extend_from_slice(rest);
            out.push(END);
        }
        Value::Float(_) => unreachable!("the configuration allows no float dimension"),
    }
}

impl KeyValue {
    /// Appends the piece of this value.
    pub fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => push_piece(Value::Null, false, out),
            Self::Bool(b) => push_piece(Value::Bool(*b), false, out),
            Self::Int(i) => push_piece(Value::Int(*i), false, out),
            Self::Decimal(i) => push_piece(Value::Int(*i), true, out),
            Self::String(text) => push_piece(Value::Text(text.as_bytes()), false, out),
        }
    }
}

/// The length of the piece at the start of `bytes`.
pub fn piece_len(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        TAG_NULL | TAG_FALSE | TAG_TRUE => Some(1),
        TAG_INT | TAG_DECIMAL => (bytes.len() >= 9).then_some(9),
        TAG_STRING => {
            let mut at = 1;
            loop {
                at += bytes.get(at..)?.iter().position(|&b| b == END)?;
                if bytes.get(at + 1) != Some(&ESCAPE) {
                    return Some(at + 1);
                }
                at += 2;
            }
        }
        _ => None,
    }
}

/// Takes the first value off `bytes`. None where they are no key.
pub fn take_piece(bytes: &mut &[u8]) -> Option<KeyValue> {
    let length = piece_len(bytes)?;
    let (piece, rest) = bytes.split_at(length);
    *bytes = rest;
    let int = || {
        let raw: [u8; 8] = piece.get(1..9)?.try_into().ok()?;
        Some((u64::from_be_bytes(raw) ^ (1 << 63)) as i64)
    };
    match piece[0] {
        TAG_NULL => Some(KeyValue::Null),
        TAG_FALSE => Some(KeyValue::Bool(false)),
        TAG_TRUE => Some(KeyValue::Bool(true)),
        TAG_INT => Some(KeyValue::Int(int()?)),
        TAG_DECIMAL => Some(KeyValue::Decimal(int()?)),
        _ => {
            let body = &piece[1..length - 1];
            let mut text = Vec::with_capacity(body.len());
            let mut escaped = false;
            for &byte in body {
                if !(escaped && byte == ESCAPE) {
                    text.push(byte);
                }
                escaped = byte == END;
            }
            String::from_utf8(text).ok().map(KeyValue::String)
        }
    }
}

/// Bytes of a key that is kept in words; the last says how long it is.
const PACKED_BYTES: usize = size_of::<PackedKey>();

/// In place of the length of a packed key: it is longer than that.
const LONG: u8 = u8::MAX;

/// A key of up to 31 bytes as four words, the rest of which are zero, so that keys are equal where
/// words are; of a longer one, what its owner finds it by.
pub type PackedKey = [u64; 4];

/// Packs a key that is made of pieces, unless it is too long.
#[inline]
pub fn pack<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<PackedKey> {
    let (mut bytes, mut length) = ([0; PACKED_BYTES], 0);
    for piece in pieces {
        let place = bytes[..PACKED_BYTES - 1].get_mut(length..length + piece.len())?;
        copy_short(place, piece);
        length += piece.len();
    }
    bytes[PACKED_BYTES - 1] = length as u8;
    Some(bytemuck::cast(bytes))
}

/// The words of a key that is too long to be packed, and is found by a word.
#[inline]
pub fn pack_long(place: u64) -> PackedKey {
    let mut key = [place, 0, 0, 0];
    bytemuck::cast_slice_mut(&mut key)[PACKED_BYTES - 1] = LONG;
    key
}

/// The bytes of a packed key, or of one that was too long, what it is found by.
#[inline]
pub fn unpack(key: &PackedKey) -> Result<&[u8], u64> {
    let bytes: &[u8] = bytemuck::cast_slice(key);
    match bytes[PACKED_BYTES - 1] {
        LONG => Err(key[0]),
        length => Ok(&bytes[..usize::from(length)]),
    }
}

/// Copies a text to a place of its length. Most are so short that a call would take longer.
#[inline(always)]
fn copy_short(place: &mut [u8], text: &[u8]) {
    macro_rules! ends {
        ($bytes:literal) => {
            if let (Some(first), Some(last)) =
                (text.first_chunk::<$bytes>(), text.last_chunk::<$bytes>())
                && let Some(start) = place.first_chunk_mut()
            {
                *start = *first;
                if let Some(end) = place.last_chunk_mut() {
                    *end = *last;
                }
                return;
            }
        };
    }
    match text.len() {
        8..=16 => ends!(8),
        4..=7 => ends!(4),
        _ => {}
    }
    place.copy_from_slice(text);
}

/// A whole key, for people.
pub struct Key<'a>(pub &'a [u8]);

impl fmt::Debug for Key<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((Ok(summary), rest)) = self.0.split_at_checked(4).map(|(s, r)| (s.try_into(), r))
        else {
            return write!(out, "{:?}", self.0);
        };
        write!(out, "{}", u32::from_be_bytes(summary))?;
        let Some((Ok(day), mut rest)) = rest.split_at_checked(4).map(|(d, r)| (d.try_into(), r))
        else {
            return write!(out, "/{rest:?}");
        };
        write!(out, "/{}", (u32::from_be_bytes(day) ^ (1 << 31)) as i32)?;
        while let Some(value) = take_piece(&mut rest) {
            write!(out, "/{value:?}")?;
        }
        if rest.is_empty() { Ok(()) } else { write!(out, "/{rest:?}") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = KeyValue> {
        prop_oneof![
            Just(KeyValue::Null),
            any::<bool>().prop_map(KeyValue::Bool),
            any::<i64>().prop_map(KeyValue::Int),
            any::<i64>().prop_map(KeyValue::Decimal),
            "[a\0\u{1}\u{ff}ä]{0,6}".prop_map(KeyValue::String),
        ]
    }

    fn encode(values: &[KeyValue]) -> Vec<u8> {
        let mut out = Vec::new();
        values.iter().for_each(|v| v.push(&mut out));
        out
    }

    proptest! {
        #[test]
        fn order_of_bytes_is_order_of_values(
            a in prop::collection::vec(any_value(), 0..4),
            b in prop::collection::vec(any_value(), 0..4),
        ) {
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
        }

        #[test]
        fn what_was_written_is_read(values in prop::collection::vec(any_value(), 0..5)) {
            let bytes = encode(&values);
            let mut rest = bytes.as_slice();
            let read: Vec<KeyValue> = std::iter::from_fn(|| take_piece(&mut rest)).collect();
            prop_assert_eq!(read, values);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut rest = bytes.as_slice();
            while take_piece(&mut rest).is_some() {}
            let _ = format!("{:?}", Key(&bytes));
        }
    }

    #[test]
    fn golden_bytes() {
        let mut key = prefix(3, 20_000).to_vec();
        KeyValue::String("us".into()).push(&mut key);
        KeyValue::Null.push(&mut key);
        KeyValue::Int(-1).push(&mut key);
        assert_eq!(
            key,
            [
                0, 0, 0, 3, 0x80, 0, 0x4e, 0x20, 0x30, b'u', b's', 0, 0x05, 0x20, 0x7f, 0xff, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff,
            ]
        );
        assert_eq!(format!("{:?}", Key(&key)), r#"3/20000/String("us")/Null/Int(-1)"#);
        assert!(prefix(1, -1) < prefix(1, 0));
    }
}
