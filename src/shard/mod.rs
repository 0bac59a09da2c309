//! Shards: one thread each, owning the rows of the keys that hash to it. No lock is on the
//! path of a row.
//!
//! [`table`] holds the rows of one summary and day ([`rows`], [`keys`]); [`update`] applies a batch's entries to
//! it, in phases that fetch memory ahead; [`cut`] reads a table as of one moment while it
//! goes on changing, for questions and checkpoints; [`worker`] is the thread.

pub mod arena;
pub mod checkpoint;
pub mod cut;
pub mod keys;
pub mod rows;
pub mod table;
pub mod update;
pub mod worker;

pub use checkpoint::{CheckpointOrder, Piece, TableReport};
pub use worker::{Command, LoadedRow, ShardAnswer, ShardQuestion, TableId, Worker};
