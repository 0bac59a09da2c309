//! Shards: one thread each, owning the rows of the keys that hash to it. One lock is taken for a
//! batch, and none on the path of a row.
//!
//! [`table`] holds the rows of one summary and day ([`rows`], [`keys`]); [`update`] applies a
//! batch's entries to it, in stages that fetch memory ahead; [`question`] is what is asked; [`cut`]
//! reads a table as of one moment while it goes on changing, for questions and checkpoints
//! ([`checkpoint`], [`sorted`]); [`worker`] is the shard, [`run`] its thread, and [`sweeper`] frees
//! what it has done with.

pub mod arena;
pub mod checkpoint;
pub mod cut;
pub mod keys;
pub mod question;
pub mod rows;
pub mod run;
pub mod sorted;
pub mod sweeper;
pub mod table;
pub mod update;
pub mod worker;

pub use checkpoint::{CheckpointOrder, Piece, TableReport};
pub use question::{Asked, Lookup, LookupAnswers, Lookups, ShardAnswer, ShardQuestion};
pub use run::Door;
pub use worker::{Command, LoadedRow, TableId, Worker};
