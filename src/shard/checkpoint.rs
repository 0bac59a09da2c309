//! A shard's part of a checkpoint: the rows that changed since the last one, as of the
//! barrier, in the order of their keys, handed to the store in pieces.
//!
//! Tables that hold all of their rows stay; their changed rows are written whole. Tables
//! that hold only changes, and those that are to leave memory, are detached at the barrier
//! and stay readable until the store has them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
    rows: Vec<u32>,
    epoch: u16,
    sorted: bool,
    next: usize,
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

    /// Adds a live table: its changed rows, and the epoch in which they changed.
    pub fn add_live(&mut self, id: TableId, rows: Vec<u32>, epoch: u16) {
        self.add(id, self.number, None, rows, epoch);
    }

    /// Adds a detached table.
    pub fn add_detached(&mut self, id: TableId, generation: u64, table: Arc<Table>) {
        let rows = table.dirty().to_vec();
        self.add(id, generation, Some(table), rows, 0);
    }

    fn add(
        &mut self,
        id: TableId,
        generation: u64,
        detached: Option<Arc<Table>>,
        rows: Vec<u32>,
        epoch: u16,
    ) {
        let (sorted, next, ahead) = (false, 0, HashMap::new());
        self.cuts.push(TableCut { id, generation, detached, rows, epoch, sorted, next, ahead });
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
            let finished = cut.next >= cut.rows.len();
            if finished {
                self.at += 1;
                continue;
            }
            let full = piece.bytes.len() >= limits::CHECKPOINT_PIECE_BYTES;
            if full || turns == 0 || !piece.rows.is_empty() && piece.generation != cut.generation {
                return false;
            }
            turns -= 1;
            piece.generation = cut.generation;
            let prefix = key::prefix(number(cut.id.summary), cut.id.day);
            match &cut.detached {
                Some(table) => {
                    let table = Arc::clone(table);
                    cut.write_next(&table, &prefix, piece);
                }
                None => {
                    // A live table leaves only before a barrier or by a later one.
                    let Some(table) = live.get_mut(&cut.id) else {
                        unreachable!("{:?} is read and gone", cut.id)
                    };
                    if let Some(row) = cut.write_next(table, &prefix, piece) {
                        table.clean(row);
                    }
                }
            }
        }
        true
    }

    /// The checkpoint could not be stored: what was read of live tables has still to be.
    pub fn undo(self, live: &mut HashMap<TableId, Table>) {
        for cut in self.cuts.into_iter().filter(|c| c.detached.is_none()) {
            if let Some(table) = live.get_mut(&cut.id) {
                for row in cut.rows {
                    table.touch(row);
                }
            }
        }
    }
}

impl TableCut {
    /// Writes the next row. Gives it where it was written as it is now.
    fn write_next(&mut self, table: &Table, prefix: &[u8], piece: &mut Piece) -> Option<u32> {
        if !self.sorted {
            sort_by_key(table, &mut self.rows);
            self.sorted = true;
        }
        let row = self.rows[self.next];
        self.next += 1;
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
        ahead.is_none().then_some(row)
    }
}

/// Sorts rows by their keys. Most are told apart by sixteen bytes behind what all share.
fn sort_by_key(table: &Table, rows: &mut [u32]) {
    let Some(&first) = rows.first() else { return };
    let shared = rows.iter().fold(table.key(first), |shared, &row| {
        let same = shared.iter().zip(table.key(row)).take_while(|(a, b)| a == b).count();
        &shared[..same]
    });
    let shared = shared.len();
    let head = |row: u32| {
        let rest = &table.key(row)[shared..];
        let mut head = [0; 16];
        let length = rest.len().min(16);
        head[..length].copy_from_slice(&rest[..length]);
        u128::from_be_bytes(head)
    };
    let mut heads: Vec<(u128, u32)> = rows.iter().map(|&row| (head(row), row)).collect();
    heads.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| table.key(a.1).cmp(table.key(b.1))));
    rows.iter_mut().zip(heads).for_each(|(row, (_, sorted))| *row = sorted);
}
