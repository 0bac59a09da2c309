//! A shard's part of a checkpoint: the rows that changed since the last one, as of the
//! barrier, in the order of their keys, handed to the store in pieces.
//!
//! Tables that hold all of their rows stay; their changed rows are written whole. Tables
//! that hold only changes, and those that are to leave memory, are detached at the barrier
//! and stay readable until the store has them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::sorted::Sorted;
use super::table::Table;
use super::worker::TableId;
use crate::key;
use crate::limits;

/// The sequencer's order for a checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointOrder {
    /// Number of the checkpoint.
    pub number: u64,
    /// Tables that leave memory with it.
    pub evict: HashSet<TableId>,
}

/// Encoded rows on their way to the store, ascending within a generation.
pub struct Piece {
    /// Number of the checkpoint.
    pub number: u64,
    /// The shard that they come from.
    pub shard: usize,
    /// Rows of a lower generation were made before those of a higher one: a checkpoint that
    /// failed is written again as a generation of its own.
    pub generation: u64,
    /// Keys and values, one behind the other.
    pub bytes: Vec<u8>,
    /// Per row: length of the key, length of the value, and whether it is to be united with
    /// what is stored instead of replacing it.
    pub rows: Vec<(u32, u32, bool)>,
    /// Set on the last piece of the shard: the tables that stay in memory.
    pub last: Option<Vec<TableReport>>,
}

/// What a table takes.
#[derive(Clone, Copy, Debug)]
pub struct TableReport {
    /// Which one.
    pub id: TableId,
    /// Bytes of memory.
    pub bytes: usize,
    /// Rows.
    pub rows: u32,
    /// Number of the batch that changed it last.
    pub last_batch: u64,
}

/// One table's part of a checkpoint.
struct TableCut {
    id: TableId,
    generation: u64,
    detached: Option<Arc<Table>>,
    rows: Sorted,
    epoch: u16,
    ahead: HashMap<u32, Vec<u8>>,
}

/// A checkpoint that a shard is working on, or that the store has not confirmed yet.
pub struct CheckpointJob {
    /// Its number.
    pub number: u64,
    cuts: Vec<TableCut>,
    places: HashMap<TableId, usize>,
    at: usize,
}

impl CheckpointJob {
    /// A checkpoint of no tables yet.
    pub fn new(number: u64) -> Self {
        Self { number, cuts: Vec::new(), places: HashMap::new(), at: 0 }
    }

    /// Adds what has changed of a live table.
    pub fn add_live(&mut self, id: TableId, table: &mut Table) {
        let (rows, epoch) = table.take_dirty();
        let rows = Sorted::new(table, rows);
        self.cuts.push(TableCut {
            id,
            generation: self.number,
            detached: None,
            rows,
            epoch,
            ahead: HashMap::new(),
        });
    }

    /// Adds a detached table.
    pub fn add_detached(&mut self, id: TableId, generation: u64, table: Arc<Table>) {
        let rows = Sorted::new(&table, table.dirty().to_vec());
        self.cuts.push(TableCut {
            id,
            generation,
            detached: Some(table),
            rows,
            epoch: 0,
            ahead: HashMap::new(),
        });
    }

    /// Puts the tables in the order of the store. `number` gives a summary's permanent number.
    pub fn sort(&mut self, number: impl Fn(usize) -> u32) {
        self.cuts.sort_by_key(|c| (c.generation, number(c.id.summary), c.id.day));
        let live = self.cuts.iter().enumerate().filter(|(_, c)| c.detached.is_none());
        self.places = live.map(|(at, c)| (c.id, at)).collect();
    }

    /// Whether rows of a live table wait to be read.
    pub fn is_reading(&self, id: TableId) -> bool {
        self.places.get(&id).is_some_and(|&at| at >= self.at)
    }

    /// Reads a row ahead of its turn, before it changes.
    pub fn save_ahead(&mut self, id: TableId, table: &Table, row: u32) {
        let Some(&at) = self.places.get(&id) else { return };
        let cut = &mut self.cuts[at];
        if at < self.at || table.epoch_of(row) != cut.epoch || cut.ahead.contains_key(&row) {
            return;
        }
        let mut bytes = Vec::new();
        table.row(row).encode(&table.layout, &mut bytes);
        cut.ahead.insert(row, bytes);
    }

    /// Reads rows into a piece until it is full or nothing is left. Returns whether nothing
    /// is left.
    pub fn read_slice(
        &mut self,
        live: &mut HashMap<TableId, Table>,
        number: impl Fn(usize) -> u32,
        piece: &mut Piece,
    ) -> bool {
        let mut turns = limits::SCAN_SLICE_ROWS;
        while let Some(cut) = self.cuts.get_mut(self.at) {
            if cut.rows.is_empty() {
                self.at += 1;
                continue;
            }
            let full = piece.bytes.len() >= limits::CHECKPOINT_PIECE_BYTES;
            if full || turns == 0 || !piece.rows.is_empty() && piece.generation != cut.generation {
                return false;
            }
            piece.generation = cut.generation;
            let prefix = key::prefix(number(cut.id.summary), cut.id.day);
            let used = match &cut.detached {
                Some(table) => {
                    let table = Arc::clone(table);
                    cut.go_on(&table, &prefix, piece).0
                }
                None => {
                    // A live table leaves only before a barrier or by a later one.
                    let Some(table) = live.get_mut(&cut.id) else {
                        unreachable!("{:?} is read and gone", cut.id)
                    };
                    let (used, written) = cut.go_on(table, &prefix, piece);
                    if let Some(row) = written {
                        table.clean(row);
                    }
                    used
                }
            };
            turns = turns.saturating_sub(used);
        }
        true
    }

    /// The checkpoint could not be stored: the rows of live tables that have still to be.
    pub fn into_unstored(self) -> Unstored {
        let live = self.cuts.into_iter().filter(|cut| cut.detached.is_none());
        Unstored { tables: live.map(|cut| (cut.id, cut.rows.into_rows())).collect() }
    }
}

/// Rows that a checkpoint was to store and did not.
#[derive(Default)]
pub struct Unstored {
    tables: Vec<(TableId, Vec<u32>)>,
}

impl Unstored {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Takes more of them.
    pub fn add(&mut self, more: Self) {
        self.tables.extend(more.tables);
    }

    /// Notes of so many rows that they have still to be stored. Returns whether nothing is left.
    pub fn note(&mut self, live: &mut HashMap<TableId, Table>, mut rows: usize) -> bool {
        while let Some((id, waiting)) = self.tables.last_mut() {
            let table = live.get_mut(id);
            let rest = waiting.len().saturating_sub(rows);
            rows -= waiting.len() - rest;
            // A table that is gone was detached whole, or forgotten.
            if let Some(table) = table {
                waiting.drain(rest..).for_each(|row| _ = table.touch(row));
            }
            waiting.truncate(rest);
            if rest > 0 {
                return false;
            }
            self.tables.pop();
        }
        true
    }
}

impl TableCut {
    /// Sorts rows, or writes the next one, which is not yet done with. Gives how many rows it
    /// looked at, and the row where it was written as it is now.
    fn go_on(&mut self, table: &Table, prefix: &[u8], piece: &mut Piece) -> (usize, Option<u32>) {
        let sorted = self.rows.sort_part(table);
        if sorted > 0 {
            return (sorted, None);
        }
        let Some(row) = self.rows.take(table) else { return (0, None) };
        let start = piece.bytes.len();
        piece.bytes.extend_from_slice(prefix);
        piece.bytes.extend_from_slice(table.key(row));
        let key_end = piece.bytes.len();
        let ahead = self.ahead.remove(&row);
        match &ahead {
            Some(bytes) => piece.bytes.extend_from_slice(bytes),
            None => table.row(row).encode(&table.layout, &mut piece.bytes),
        }
        let lengths = ((key_end - start) as u32, (piece.bytes.len() - key_end) as u32);
        piece.rows.push((lengths.0, lengths.1, table.partial));
        (1, ahead.is_none().then_some(row))
    }
}
