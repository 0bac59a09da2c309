//! What the shards are asked, and what they answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;

use super::keys::SoughtKey;
use super::table::Table;
use crate::row::{Grouping, Groups, Layout};

/// What a shard is asked.
#[derive(Clone)]
pub enum Asked {
    /// To walk over rows.
    Scan(Arc<ShardQuestion>),
    /// To look up single keys.
    LookUp(Arc<Lookups>),
}

/// A question to all shards.
pub struct ShardQuestion {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// First and last day.
    pub days: (i32, i32),
    /// What is folded.
    pub grouping: Arc<Grouping>,
    /// Layout of the summary's rows.
    pub layout: Arc<Layout>,
    /// Number of the checkpoint up to which the questioner reads the store itself.
    pub stored: u64,
    /// Where the answer goes; none says that the questioner's view of the store is too old.
    pub reply: Sender<Option<ShardAnswer>>,
    /// Set when nobody waits any more.
    pub cancelled: Arc<AtomicBool>,
}

impl ShardQuestion {
    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A shard's answer.
pub struct ShardAnswer {
    /// Whose it is.
    pub shard: usize,
    /// What was folded.
    pub groups: Groups,
    /// Sequence number after the last event that it covers.
    pub sequence: u64,
}

/// A key that is looked up: the lower half of its hash, and its bytes.
pub type HashedKey = (u32, Vec<u8>);

/// Single keys of one plan that one shard owns.
pub struct Lookup {
    /// Place of the plan among those that are asked together.
    pub plan: usize,
    /// Place of the summary in the schema.
    pub summary: usize,
    /// First and last day.
    pub days: (i32, i32),
    /// The keys.
    pub keys: Vec<HashedKey>,
    /// What is folded.
    pub grouping: Arc<Grouping>,
    /// Layout of the summary's rows.
    pub layout: Arc<Layout>,
}

impl Lookup {
    /// Folds the rows of the keys that a table has.
    pub fn fold(&self, table: &Table, day: i32, groups: &mut Groups) {
        for (hash, key) in &self.keys {
            if let Some(row) = table.find(*hash, SoughtKey::new(key)) {
                groups.fold_row(key, day, &table.row(row));
            }
        }
    }
}

/// Single keys of several plans, each for the shard that owns it alone: one message there, and one
/// back, however many questions there are.
pub struct Lookups {
    /// Per shard; where there are none, it is not asked.
    pub shards: Vec<Vec<Lookup>>,
    /// See [`ShardQuestion::stored`].
    pub stored: u64,
    /// They want all events before this sequence number.
    pub from: u64,
    /// See [`ShardQuestion::reply`].
    pub reply: Sender<Option<LookupAnswers>>,
}

/// What a shard has of [`Lookups`].
pub struct LookupAnswers {
    /// Whose it is.
    pub shard: usize,
    /// Place of the plan, and what was folded.
    pub answers: Vec<(usize, Groups)>,
    /// Sequence number after the last event that it covers.
    pub sequence: u64,
}
