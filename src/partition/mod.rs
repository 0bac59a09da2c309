//! From a batch to work for the shards: everything that depends on an event alone, and not
//! on a row, is computed here once per event instead of once per summary.
//!
//! [`plan`] says what has to be computed for a schema; [`prepare`] [`evaluate`]s filters, encodes
//! and hashes dimensions, and turns measures into what the sketches take; [`split`] lists, per
//! shard, which events go to which summary and day.

pub mod evaluate;
pub mod plan;
pub mod prepare;
pub mod split;

use crate::event::Batch;

pub use plan::{Plan, SummaryPlan, Update, UpdateKind};
pub use prepare::Prepared;
pub use split::{Entry, Group, Route, Splitter, Touched};

/// A batch with all that was computed of it. Shared by all shards.
pub struct Work {
    /// The events.
    pub batch: Batch,
    /// What was computed of them.
    pub prepared: Prepared,
    /// Per shard, what it has to do.
    pub routes: Vec<Route>,
}
