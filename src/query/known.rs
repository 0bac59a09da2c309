//! Refuses a question in protobuf with fields that this server does not know. Whoever decodes
//! it drops them, and a newer client would get the answer to another question: a condition
//! less, or null for a kind of value that is new.
//!
//! The numbers of the fields are walked. To encode what was decoded and to compare would refuse
//! what is sound: a default that is written, a field that is given twice.

use std::ops::RangeInclusive;

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::reply::Failure;

/// A message of `schemas/query.proto`.
struct Shape {
    name: &'static str,
    fields: RangeInclusive<u32>,
    /// Fields that are messages themselves.
    messages: &'static [(u32, &'static Shape)],
}

const QUESTION: Shape = Shape {
    name: "Question",
    fields: 16..=31,
    messages: &[(20, &CONDITION), (27, &CONDITION), (31, &SET)],
};
const SET: Shape = Shape {
    name: "Set",
    fields: 16..=18,
    messages: &[(16, &SET_PART), (17, &SET_PART), (18, &SET_PART)],
};
const SET_PART: Shape = Shape { name: "SetPart", fields: 16..=20, messages: &[(20, &CONDITION)] };
const CONDITION: Shape = Shape { name: "Condition", fields: 16..=17, messages: &[(17, &CELL)] };
/// Its list of items is refused as a value, whatever is in it.
const CELL: Shape = Shape { name: "Cell", fields: 16..=21, messages: &[] };

/// Refuses a question that has a field which is not known, at any depth.
///
/// # Errors
/// Which field that is; or that the bytes are no message.
pub fn check_question(bytes: &[u8]) -> Result<(), Failure> {
    let unknown = unknown_field(bytes, &QUESTION).map_err(Failure::no_message)?;
    let Some((message, field)) = unknown else { return Ok(()) };
    let message = format!("{message} has a field {field}, which this server does not know");
    Err(Failure::new("bad_request", message, "ask by the schemas/query.proto of this version"))
}

/// The first field that is not known, and the message that has it.
fn unknown_field(
    mut rest: &[u8],
    shape: &Shape,
) -> Result<Option<(&'static str, u32)>, DecodeError> {
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest)?;
        if !shape.fields.contains(&field) {
            return Ok(Some((shape.name, field)));
        }
        let inner = shape.messages.iter().find(|(number, _)| *number == field);
        let mut value = rest;
        skip_field(kind, field, &mut rest, DecodeContext::default())?;
        if let (Some((_, inner)), WireType::LengthDelimited) = (inner, kind) {
            decode_varint(&mut value)?;
            let found = unknown_field(&value[..value.len() - rest.len()], inner)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::ingest::wire;
    use wire::cell::Kind;

    /// No message is filled up with defaults, so that a field which is added to the schema and
    /// not here is missed by the compiler.
    #[test]
    fn every_field_of_the_schema_is_known() {
        let kinds = [
            Kind::String("a".into()),
            Kind::Int(1),
            Kind::Double(1.0),
            Kind::Bool(true),
            Kind::Decimal("1".into()),
            Kind::Items(wire::Items { items: Vec::new() }),
        ];
        let values = kinds.map(|kind| wire::Cell { kind: Some(kind) }).to_vec();
        let conditions = vec![wire::Condition { dimension: "d".into(), values }];
        let part = wire::SetPart {
            summary: "s".into(),
            theta: "t".into(),
            from: "f".into(),
            to: "t".into(),
            r#where: conditions.clone(),
        };
        let parts = vec![part];
        let question = wire::Question {
            id: "i".into(),
            summary: "s".into(),
            from: "f".into(),
            to: "t".into(),
            r#where: conditions.clone(),
            by: vec!["b".into()],
            select: vec!["s".into()],
            order: "o".into(),
            limit: Some(1),
            get: "g".into(),
            day: "d".into(),
            key: conditions,
            fresh: Some(false),
            min_events: Some(1),
            timeout_ms: Some(1),
            set: Some(wire::Set { and: parts.clone(), or: parts.clone(), not: parts }),
        };
        assert_eq!(check_question(&question.encode_to_vec()), Ok(()));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let question = wire::Question { set: Some(wire::Set::default()), ..Default::default() };
        let bytes = question.encode_to_vec();
        assert_eq!(check_question(&bytes), Ok(()));
        for bytes in [&bytes[..2], &[0x82, 0xff], &[0xfa, 1, 2, 0x82], &[0xfa, 1, 0xff]] {
            assert_eq!(check_question(bytes).unwrap_err().code, "bad_request", "{bytes:?}");
        }
    }
}
