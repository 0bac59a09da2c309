//! The thread of a shard: takes commands in order, and between them goes on with whatever
//! is being read (questions, a checkpoint), one slice at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, never, select};

use super::checkpoint::{CheckpointJob, CheckpointOrder, Piece, TableReport};
use super::cut::{Part, Scan, Watchers};
use super::keys::SoughtKey;
use super::table::Table;
use super::update;
use crate::limits;
use crate::metrics::Metrics;
use crate::partition::{Plan, Work};
use crate::row::codec::StoredRow;
use crate::row::{Grouping, Groups, Layout};

/// One summary's one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// The day.
    pub day: i32,
}

/// What the sequencer sends to a shard; the order of commands is the order of events.
pub enum Command {
    /// A batch.
    Work(Arc<Work>),
    /// A question that sees everything sent before it.
    Ask(Arc<ShardQuestion>),
    /// Rows of a day that is loaded whole, before any event of it.
    Load(TableId, Vec<LoadedRow>),
    /// A checkpoint: a cut between what was sent before and what is sent after.
    Checkpoint(Arc<CheckpointOrder>),
    /// The store holds a checkpoint.
    Committed(u64),
    /// The store could not hold a checkpoint.
    Failed(u64),
    /// Drop the tables of a summary before a day: it retains them no more.
    Forget(usize, i32),
    /// Test aid and emergency brake: do nothing until the channel closes.
    Pause(Receiver<()>),
}

/// A stored row of a day that is loaded.
pub struct LoadedRow {
    /// Lower half of the key's hash.
    pub hash: u32,
    /// Pieces of the key.
    pub key: Vec<u8>,
    /// The row.
    pub row: StoredRow,
}

/// A key that is looked up: the lower half of its hash, and its pieces.
pub type Point = (u32, Vec<u8>);

/// A question to the shards.
pub struct ShardQuestion {
    /// Place of the summary in the schema.
    pub summary: usize,
    /// First and last day.
    pub days: (i32, i32),
    /// Single keys to look up, with the lower halves of their hashes, per shard; none: walk.
    pub points: Option<Vec<Vec<Point>>>,
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

/// A table that left the live ones and waits for the store.
struct Detached {
    id: TableId,
    /// The checkpoint that it belongs to.
    number: u64,
    /// The checkpoint that it was detached by.
    generation: u64,
    table: Arc<Table>,
}

/// A shard.
pub struct Worker {
    shard: usize,
    plan: Arc<Plan>,
    layouts: Vec<Arc<Layout>>,
    summary_numbers: Vec<u32>,
    metrics: Arc<Metrics>,
    pieces_out: Sender<Piece>,
    tables: HashMap<TableId, Table>,
    detached: Vec<Detached>,
    scans: Vec<Scan>,
    checkpoint: Option<CheckpointJob>,
    unconfirmed: Option<CheckpointJob>,
    freed: u64,
    batches: u64,
    /// Bytes of all tables, live and detached.
    bytes: i64,
    sequence: u64,
}

impl Worker {
    /// A shard without rows. `summary_numbers` are the permanent numbers of the summaries,
    /// `sequence` the number after the last event that the store holds.
    pub fn new(
        shard: usize,
        plan: Arc<Plan>,
        layouts: Vec<Arc<Layout>>,
        summary_numbers: Vec<u32>,
        metrics: Arc<Metrics>,
        pieces_out: Sender<Piece>,
        sequence: u64,
    ) -> Self {
        Self {
            shard,
            plan,
            layouts,
            summary_numbers,
            metrics,
            pieces_out,
            tables: HashMap::new(),
            detached: Vec::new(),
            scans: Vec::new(),
            checkpoint: None,
            unconfirmed: None,
            freed: 0,
            batches: 0,
            bytes: 0,
            sequence,
        }
    }

    /// Runs until `commands_in` is closed and everything that was begun is finished.
    /// `asks_in` is the side door for questions that do not care for the order.
    pub fn run(mut self, commands_in: &Receiver<Command>, asks_in: &Receiver<Arc<ShardQuestion>>) {
        let mut asks_in = asks_in.clone();
        loop {
            // A bounded number, so that a flood of questions cannot starve the batches.
            let room = limits::SCANS_AT_ONCE.saturating_sub(self.scans.len());
            for question in asks_in.try_iter().take(room) {
                self.ask(&question);
            }
            let busy = self.checkpoint.is_some() || !self.scans.is_empty();
            match commands_in.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Disconnected) if !busy => return,
                Err(_) if busy => {}
                Err(_) => select! {
                    recv(commands_in) -> command => match command {
                        Ok(command) => self.obey(command),
                        Err(_) => return,
                    },
                    recv(asks_in) -> question => match question {
                        Ok(question) => self.ask(&question),
                        Err(_) => asks_in = never(),
                    },
                },
            }
            self.metrics.shards[self.shard].queue_depth.set(commands_in.len() as i64);
            self.read_slices();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Work(work) => self.work(&work),
            Command::Ask(question) => self.ask(&question),
            Command::Load(id, rows) => self.load(id, rows),
            Command::Checkpoint(order) => self.start_checkpoint(&order),
            Command::Committed(number) => {
                self.unconfirmed = None;
                self.detached.retain(|d| d.number > number);
                self.freed = number;
                self.measure();
            }
            Command::Failed(_) => {
                if let Some(job) = self.unconfirmed.take() {
                    job.undo(&mut self.tables);
                }
            }
            Command::Forget(summary, before) => self.forget(summary, before),
            Command::Pause(until_closed) => {
                let _ = until_closed.recv();
            }
        }
    }

    fn work(&mut self, work: &Work) {
        let route = &work.routes[self.shard];
        self.batches += 1;
        for update in &route.tables {
            let id = TableId { summary: update.summary, day: update.day };
            let layouts = &self.layouts;
            let table = self
                .tables
                .entry(id)
                .or_insert_with(|| Table::new(Arc::clone(&layouts[id.summary]), update.partial));
            table.last_batch = self.batches;
            let (before, rows) = (table.bytes(), table.len());
            let mut watchers = Watchers::new(id, &mut self.scans, self.checkpoint.as_mut());
            let summary = &self.plan.summaries[id.summary];
            let updates = route.rows(update.rows.clone());
            update::apply(table, summary, work, updates, &mut watchers);
            self.bytes += table.bytes() as i64 - before as i64;
            self.metrics.shards[self.shard].rows.add(i64::from(table.len() - rows));
        }
        self.metrics.shards[self.shard].memory_bytes.set(self.bytes);
        self.sequence = work.batch.end_seq();
        self.metrics.shards[self.shard].updates.add(route.events());
    }

    fn load(&mut self, id: TableId, rows: Vec<LoadedRow>) {
        let layout = &self.layouts[id.summary];
        let table = self.tables.entry(id).or_insert_with(|| Table::new(Arc::clone(layout), false));
        let rows_before = table.len();
        for loaded in rows {
            table.reserve(1);
            let row = table.insert(loaded.hash, SoughtKey::new(&loaded.key));
            let fresh = table.row(row).heap_bytes();
            let mut view = table.row_mut(row);
            // What the stored row does not have began after it was made: null, not zero.
            view.words[crate::row::layout::MARK_WORD] = 0;
            for (number, state) in &loaded.row.states {
                if let Some(aggregate) = layout.position(*number) {
                    view.absorb(layout.slots[aggregate], aggregate, state);
                }
            }
            table.heap_bytes += table.row(row).heap_bytes() - fresh;
        }
        self.metrics.shards[self.shard].rows.add(i64::from(table.len() - rows_before));
        self.measure();
    }

    fn forget(&mut self, summary: usize, before: i32) {
        let gone = |id: &TableId| id.summary == summary && id.day < before;
        for (id, table) in self.tables.extract_if(|id, _| gone(id)) {
            // Who reads it already reads all of it.
            let table = Arc::new(table);
            self.scans.iter_mut().for_each(|scan| scan.follow(id, &table));
        }
        self.detached.retain(|d| !gone(&d.id));
        self.measure();
    }

    /// Counts the memory of all tables anew. Between two such counts [`Worker::work`] adds what
    /// it sees to grow.
    fn measure(&mut self) {
        let live = self.tables.values().map(Table::bytes).sum::<usize>();
        let detached = self.detached.iter().map(|d| d.table.bytes()).sum::<usize>();
        self.bytes = (live + detached) as i64;
        self.metrics.shards[self.shard].memory_bytes.set(self.bytes);
    }

    fn ask(&mut self, question: &Arc<ShardQuestion>) {
        // What was committed after the questioner looked at the store is gone from here.
        if question.stored < self.freed {
            let _ = question.reply.send(None);
            return;
        }
        let wanted = |id: &TableId| {
            id.summary == question.summary && (question.days.0..=question.days.1).contains(&id.day)
        };
        let live = self.tables.iter().filter(|(id, _)| wanted(id));
        let detached = self.detached.iter().filter(|d| d.number > question.stored && wanted(&d.id));
        if let Some(points) = &question.points {
            let mut scan = Scan::new(Arc::clone(question), Vec::new(), self.shard, self.sequence);
            let tables = live.map(|(id, t)| (*id, t)).chain(detached.map(|d| (d.id, &*d.table)));
            for (id, table) in tables {
                for (hash, key) in &points[self.shard] {
                    scan.point(table, id, *hash, key);
                }
            }
            scan.finish();
            return;
        }
        let live = live.map(|(id, t)| Part::new(*id, None, t.len()));
        let detached = detached.map(|d| Part::new(d.id, Some(Arc::clone(&d.table)), d.table.len()));
        let parts = live.chain(detached).collect();
        self.scans.push(Scan::new(Arc::clone(question), parts, self.shard, self.sequence));
    }

    /// The barrier: what was changed before it belongs to the checkpoint.
    fn start_checkpoint(&mut self, order: &CheckpointOrder) {
        let mut job = CheckpointJob::new(order.number);
        for detached in &mut self.detached {
            // Still here: the store could not take it. It is written again.
            detached.number = order.number;
            job.add_detached(detached.id, detached.generation, Arc::clone(&detached.table));
        }
        let leaving: Vec<TableId> = self
            .tables
            .iter()
            .filter(|(id, table)| table.partial || order.evict.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in leaving {
            let Some(table) = self.tables.remove(&id) else { continue };
            let table = Arc::new(table);
            self.scans.iter_mut().for_each(|scan| scan.follow(id, &table));
            job.add_detached(id, order.number, Arc::clone(&table));
            let (number, generation) = (order.number, order.number);
            self.detached.push(Detached { id, number, generation, table });
        }
        for (id, table) in self.tables.iter_mut().filter(|(_, t)| !t.dirty().is_empty()) {
            let (rows, epoch) = table.take_dirty();
            job.add_live(*id, rows, epoch);
        }
        job.sort(|summary| self.summary_numbers[summary]);
        self.checkpoint = Some(job);
        self.measure();
    }

    /// Gives every reader one slice.
    fn read_slices(&mut self) {
        let tables = &self.tables;
        self.scans.iter_mut().for_each(|scan| scan.read_slice(|id| tables.get(&id)));
        for at in (0..self.scans.len()).rev() {
            if self.scans[at].is_done() {
                self.scans.swap_remove(at).finish();
            }
        }
        if let Some(mut job) = self.checkpoint.take() {
            let mut piece = self.empty_piece(job.number);
            let numbers = &self.summary_numbers;
            let done = job.read_slice(&mut self.tables, |s| numbers[s], &mut piece);
            if done {
                piece.last = Some(self.report());
                self.unconfirmed = Some(job);
            } else {
                self.checkpoint = Some(job);
            }
            // The store outlives the shards; if it is gone the process is ending.
            let _ = self.pieces_out.send(piece);
        }
    }

    fn empty_piece(&self, number: u64) -> Piece {
        let (bytes, rows) = (Vec::new(), Vec::new());
        Piece { number, shard: self.shard, generation: number, bytes, rows, last: None }
    }

    fn report(&self) -> Vec<TableReport> {
        let report = |(id, table): (&TableId, &Table)| TableReport {
            id: *id,
            bytes: table.bytes(),
            rows: table.len(),
            last_batch: table.last_batch,
        };
        let reports: Vec<TableReport> = self.tables.iter().map(report).collect();
        let metrics = &self.metrics.shards[self.shard];
        metrics.rows.set(reports.iter().map(|r| i64::from(r.rows)).sum());
        reports
    }
}
