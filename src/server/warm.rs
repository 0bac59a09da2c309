//! Warm start: the newest day of each summary is loaded whole before events come, where it
//! is small enough, so that questions about it need not read the store. Older days stay
//! where they are: start-up takes the time of one day, however many are stored.

use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use crate::config::Config;
use crate::event::Date;
use crate::key::piece_len;
use crate::partition::{Plan, plan::shard_of};
use crate::row::codec::StoredRow;
use crate::sequencer::Days;
use crate::shard::{Command, LoadedRow, TableId};
use crate::store::{Store, StoreError};

/// Rows handed to a shard at a time.
const ROWS_AT_ONCE: usize = 1024;

/// Part of the memory limit that the stored bytes of a loaded day may be: rows in memory
/// are several times larger than compressed ones on disk, and there are other days.
const SHARE: u64 = 16;

/// Loads the newest days.
///
/// # Errors
/// Where the store cannot be read.
pub fn load_newest_days(
    config: &Config,
    store: &Arc<Store>,
    plan: &Plan,
    numbers: &[u32],
    days: &mut Days,
    commands_out: &[Sender<Command>],
) -> Result<(), StoreError> {
    let mut left = config.memory_limit / SHARE;
    for (summary, &number) in numbers.iter().enumerate() {
        let Some(day) = store.last_day(number, Date::MAX)? else { continue };
        let bytes = store.day_bytes(number, day);
        let Some(rest) = left.checked_sub(bytes) else { continue };
        left = rest;
        let id = TableId { summary, day };
        let Some(record) = store.day(number, day)? else { continue };
        load_day(store, plan, number, id, commands_out)?;
        days.set_loaded(id, record);
    }
    // Questions by the side door do not wait behind what was sent: it must have arrived.
    for out in commands_out {
        let (taken, until_taken) = bounded(0);
        let _ = out.send(Command::Pause(until_taken));
        let _ = taken.send(());
    }
    Ok(())
}

fn load_day(
    store: &Store,
    plan: &Plan,
    number: u32,
    id: TableId,
    commands_out: &[Sender<Command>],
) -> Result<(), StoreError> {
    let reader = store.reader()?;
    let mut rows = reader.rows(number, id.day, &[]);
    let mut waiting: Vec<Vec<LoadedRow>> = commands_out.iter().map(|_| Vec::new()).collect();
    while let Some((key, row)) = rows.next().map_err(|e| reader.explain(&e))? {
        let row = StoredRow::decode(row)
            .map_err(|e| StoreError(format!("a stored row is damaged: {e}")))?;
        let hash = hash_of(plan, key);
        let shard = shard_of(hash, commands_out.len());
        waiting[shard].push(LoadedRow { hash: hash as u32, key: key.to_vec(), row });
        if waiting[shard].len() >= ROWS_AT_ONCE {
            let rows = std::mem::take(&mut waiting[shard]);
            let _ = commands_out[shard].send(Command::Load(id, rows));
        }
    }
    for (out, rows) in commands_out.iter().zip(waiting) {
        // Also where there are none: the shard then knows the day as one that is whole.
        let _ = out.send(Command::Load(id, rows));
    }
    Ok(())
}

fn hash_of(plan: &Plan, key: &[u8]) -> u64 {
    let mut rest = key;
    let pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at(piece_len(rest)?);
        rest = after;
        Some(plan.hash_piece(piece))
    });
    Plan::hash_key(pieces)
}
