//! A streaming key-value service of probabilistic summaries.

pub mod cli;
pub mod clock;
pub mod config;
pub mod event;
pub mod ingest;
pub mod key;
pub mod limits;
pub mod metrics;
pub mod output;
pub mod partition;
pub mod prefetch;
pub mod query;
pub mod row;
pub mod sequencer;
pub mod serve;
pub mod server;
pub mod shard;
pub mod snapshot;
pub mod store;
