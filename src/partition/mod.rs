//! From a batch to work for the shards: everything that depends on an event alone, and not
//! on a row, is computed here once per event instead of once per summary.
//!
//! [`plan`] says what has to be computed for a schema; [`prepare`] [`evaluate`]s filters, finds
//! which events have equal keys ([`grouping`]), and turns measures into what the sketches take;
//! [`split`] lists, per shard, which rows change and by which events.

pub mod evaluate;
pub mod grouping;
pub mod inputs;
pub mod plan;
pub mod prepare;
pub mod split;

use crate::event::Batch;

pub use grouping::Number;
pub use inputs::{InputForm, Inputs, Unit};
pub use plan::{Plan, SummaryPlan, Update, UpdateKind};
pub use prepare::Prepared;
pub use split::{Route, RouteRows, RowUpdate, Splitter, TableUpdate, Touched};

/// A batch with all that was computed of it. Shared by all shards.
pub struct Work {
    /// The events.
    pub batch: Batch,
    /// What was computed of them.
    pub prepared: Prepared,
    /// Places of events in the batch: per row that changes, those that change it, in their order.
    pub events: Vec<Number>,
    /// Per shard, what it has to do.
    pub routes: Vec<Route>,
}

impl Work {
    /// Of a batch, for so many shards; nothing is computed yet.
    pub fn new(batch: Batch, shards: usize) -> Self {
        let routes = (0..shards).map(|_| Route::default()).collect();
        Self { batch, prepared: Prepared::default(), events: Vec::new(), routes }
    }
}
