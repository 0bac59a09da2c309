//! Reading a table as of one moment while it goes on changing.
//!
//! A reader walks the rows in slices between batches. A row that a batch is about to change
//! before the reader came to it is shown to the reader first, in its old state. So nothing
//! stops for longer than a slice, nothing is copied that nobody changes, and what was read
//! is the table at the moment the reader started.

use std::sync::Arc;

use super::checkpoint::CheckpointJob;
use super::question::{ShardAnswer, ShardQuestion};
use super::table::Table;
use super::worker::TableId;
use crate::event::Bitmap;
use crate::limits;
use crate::row::Groups;

/// A table that a question reads.
pub struct Part {
    /// Which one.
    pub id: TableId,
    /// The table itself where it has been taken out of the live ones.
    pub detached: Option<Arc<Table>>,
    next: u32,
    end: u32,
    ahead: Bitmap,
}

impl Part {
    /// Reads a table from now on.
    pub fn new(id: TableId, detached: Option<Arc<Table>>, rows: u32) -> Self {
        Self { id, detached, next: 0, end: rows, ahead: Bitmap::default() }
    }
}

/// A question that is being answered.
pub struct Scan {
    question: Arc<ShardQuestion>,
    groups: Groups,
    parts: Vec<Part>,
    shard: usize,
    sequence: u64,
}

impl Scan {
    /// Starts to answer a question over tables of a shard, as of now.
    pub fn new(
        question: Arc<ShardQuestion>,
        parts: Vec<Part>,
        shard: usize,
        sequence: u64,
    ) -> Self {
        let groups = Groups::new(Arc::clone(&question.layout), Arc::clone(&question.grouping));
        Self { question, groups, parts, shard, sequence }
    }

    /// Whether nothing is left to read, or nobody waits for the answer.
    pub fn is_done(&self) -> bool {
        self.parts.is_empty() || self.groups.is_overfull() || self.question.is_cancelled()
    }

    /// Sends the answer.
    pub fn finish(self) {
        // A questioner that has given up has closed the channel; that is no concern of ours.
        let Self { question, groups, shard, sequence, .. } = self;
        let answer = ShardAnswer { shard, groups, sequence };
        let _ = question.reply.send(Some(answer));
    }

    /// Reads a slice of rows. `live` finds the tables that are still live.
    pub fn read_slice<'t>(&mut self, live: impl Fn(TableId) -> Option<&'t Table>) {
        let (mut rows, mut bytes) = (0, 0);
        while rows < limits::SCAN_SLICE_ROWS && bytes < limits::SCAN_SLICE_BYTES {
            let Some(part) = self.parts.last_mut() else { return };
            let table = match &part.detached {
                Some(table) => Some(&**table),
                None => live(part.id),
            };
            let Some(table) = table.filter(|_| part.next < part.end) else {
                self.parts.pop();
                continue;
            };
            let row = part.next;
            part.next += 1;
            rows += 1;
            if !part.ahead.get(row as usize) {
                let view = table.row(row);
                bytes += view.heap_bytes();
                self.groups.fold_row(table.key(row), part.id.day, &view);
            }
        }
    }

    /// Whether it reads a live table.
    fn is_reading(&self, id: TableId) -> bool {
        self.parts.iter().any(|part| part.id == id && part.detached.is_none())
    }

    /// Reads a row ahead of its turn, before it changes.
    fn read_ahead(&mut self, id: TableId, table: &Table, row: u32) {
        for part in self.parts.iter_mut().filter(|p| p.id == id && p.detached.is_none()) {
            if row < part.next || row >= part.end || part.ahead.get(row as usize) {
                continue;
            }
            if part.ahead.is_empty() {
                part.ahead.fill(part.end as usize, false);
            }
            part.ahead.set(row as usize);
            self.groups.fold_row(table.key(row), id.day, &table.row(row));
        }
    }

    /// Goes on reading a table that is taken out of the live ones.
    pub fn follow(&mut self, id: TableId, table: &Arc<Table>) {
        for part in self.parts.iter_mut().filter(|p| p.id == id && p.detached.is_none()) {
            part.detached = Some(Arc::clone(table));
        }
    }
}

/// Whoever reads the table that is about to change.
pub struct Watchers<'a> {
    id: TableId,
    scans: Vec<&'a mut Scan>,
    checkpoint: Option<&'a mut CheckpointJob>,
}

impl<'a> Watchers<'a> {
    /// The readers of one live table.
    pub fn new(
        id: TableId,
        scans: impl IntoIterator<Item = &'a mut Scan>,
        checkpoint: Option<&'a mut CheckpointJob>,
    ) -> Self {
        let scans = scans.into_iter().filter(|scan| scan.is_reading(id)).collect();
        let checkpoint = checkpoint.filter(|job| job.is_reading(id));
        Self { id, scans, checkpoint }
    }

    /// Whether nobody reads.
    pub fn is_empty(&self) -> bool {
        self.scans.is_empty() && self.checkpoint.is_none()
    }

    /// Shows them a row before it changes.
    pub fn before_change(&mut self, table: &Table, row: u32) {
        if let Some(job) = &mut self.checkpoint {
            job.save_ahead(self.id, table, row);
        }
        for scan in &mut self.scans {
            scan.read_ahead(self.id, table, row);
        }
    }
}
