//! Events come in: a message from a socket becomes events in a batch.
//!
//! [`socket`] receives, [`decode`] reads a message into a [`crate::event::Batch`], with
//! [`framing`] for where events begin, [`json`], [`protobuf`] and [`event_batch`] for the two
//! forms, [`mod@derive`] for what is computed of an event and [`stage`] for the rule that it is
//! taken whole or not at all; [`dead_letters`] keeps what was refused.

pub mod dead_letters;
pub mod decode;
pub mod derive;
pub mod event_batch;
pub mod framing;
pub mod json;
pub mod members;
pub mod protobuf;
pub mod refusal;
pub mod row_text;
pub mod scalar;
pub mod socket;
pub mod stage;
pub mod suspend;
pub mod time;

/// The messages of `schemas/events.proto` and `schemas/query.proto`, made by prost.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/summarizer.rs"));
}

pub use dead_letters::DeadLetters;
pub use decode::{Decoder, Message, Progress};
pub use refusal::Reason;
