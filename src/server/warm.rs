//! Warm start: the newest day of each summary is loaded whole before events come, where it
//! is small enough, so that questions about it need not read the store. Older days stay
//! where they are: start-up takes the time of one day, however many are stored.

use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use crate::config::Config;
use crate::event::Date;
use crate::key::piece_len;
use crate::partition::{Plan, plan::shard_of};
use crate::row::Layout;
use crate::row::codec::StoredRow;
use crate::sequencer::Days;
use crate::shard::{Command, LoadedRow, TableId};
use crate::store::reader::{Reader, Rows};
use crate::store::{Database, StoreError};

/// Rows handed to a shard at a time.
const ROWS_AT_ONCE: usize = 1024;

/// Stored bytes of rows handed to a shard at a time: a few rows of long texts are as much as
/// many short ones.
const BYTES_AT_ONCE: usize = 1 << 20;

/// Fourths of the memory limit that loaded days may take: there will be other days.
const FOURTHS: u64 = 3;

/// Bytes of memory for a stored byte beside those of an empty row: registers and bins are stored
/// shorter than they are kept. Measured as 2.1 at most, with one unique count and one quantile of
/// 1 to 1,000 values.
const BYTES_PER_STORED: u64 = 3;

/// Loads the newest days, as far as there is room for them.
///
/// `layouts` and permanent `numbers` are per summary.
///
/// # Errors
/// Where the store cannot be read.
pub fn load_newest_days(
    config: &Config,
    layouts: &[Arc<Layout>],
    store: &Database,
    plan: &Plan,
    numbers: &[u32],
    days: &mut Days,
    commands_out: &[Sender<Command>],
) -> Result<(), StoreError> {
    let reader = store.reader()?;
    let mut left = config.memory_limit / 4 * FOURTHS;
    for (summary, &number) in numbers.iter().enumerate() {
        let Some(day) = store.last_day(number, Date::MAX)? else { continue };
        let Some(record) = store.day(number, day)? else { continue };
        let row_bytes = layouts[summary].empty_row_bytes() as u64;
        let mut rows = reader.rows(number, day, &[]);
        let Some(rest) = room_left(&mut rows, row_bytes, left)? else { continue };
        left = rest;
        let id = TableId { summary, day };
        load_day(&reader, plan, number, id, commands_out)?;
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

/// What is left of `room` bytes with these rows in memory, which take `row_bytes` each when they
/// are empty; none: they are too large. Looks at the rows themselves: how small they were compressed
/// says nothing of what they are.
fn room_left(
    rows: &mut Rows<'_>,
    row_bytes: u64,
    mut room: u64,
) -> Result<Option<u64>, StoreError> {
    while let Some((key, row)) = rows.next()? {
        let bytes = row_bytes + BYTES_PER_STORED * (key.len() + row.len()) as u64;
        let Some(rest) = room.checked_sub(bytes) else { return Ok(None) };
        room = rest;
    }
    Ok(Some(room))
}

fn load_day(
    reader: &Reader<'_>,
    plan: &Plan,
    number: u32,
    id: TableId,
    commands_out: &[Sender<Command>],
) -> Result<(), StoreError> {
    let mut rows = reader.rows(number, id.day, &[]);
    let mut waiting: Vec<Vec<LoadedRow>> = commands_out.iter().map(|_| Vec::new()).collect();
    let mut waiting_bytes = vec![0; commands_out.len()];
    while let Some((key, stored)) = rows.next()? {
        let row = StoredRow::decode(stored)
            .map_err(|e| StoreError(format!("a stored row is damaged: {e}")))?;
        let hash = hash_of(plan, key);
        let shard = shard_of(hash, commands_out.len());
        waiting[shard].push(LoadedRow { hash: hash as u32, key: key.to_vec(), row });
        waiting_bytes[shard] += key.len() + stored.len();
        if waiting[shard].len() >= ROWS_AT_ONCE || waiting_bytes[shard] >= BYTES_AT_ONCE {
            waiting_bytes[shard] = 0;
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
