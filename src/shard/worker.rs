//! What a shard does: obeys commands in order, and between them goes on with whatever is being
//! read (questions, a checkpoint), one slice at a time. It has no thread of its own: [`super::run`]
//! turns it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::checkpoint::{CheckpointJob, CheckpointOrder, Piece, TableReport, Unstored};
use super::cut::{Part, Scan, Watchers};
use super::keys::SoughtKey;
use super::question::{Asked, Lookup, LookupAnswers, Lookups, ShardQuestion};
use super::sweeper::Done;
use super::table::Table;
use super::update;
use crate::clock::Stopwatch;
use crate::limits;
use crate::metrics::Metrics;
use crate::partition::{Plan, Work};
use crate::row::codec::StoredRow;
use crate::row::{Groups, Layout};

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
    /// A batch, and since when it is on its way.
    Work(Arc<Work>, Stopwatch),
    /// A question that sees everything sent before it.
    Ask(Asked),
    /// Rows of a day that is loaded whole, before any event of it.
    Load(TableId, Vec<LoadedRow>),
    /// Reply, when the rows that were sent before are in their tables.
    Loaded(Sender<()>),
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
    tables: HashMap<TableId, Table>,
    detached: Vec<Detached>,
    scans: VecDeque<Scan>,
    /// Look-ups that want events which are still to come.
    early: Vec<Arc<Lookups>>,
    checkpoint: Option<CheckpointJob>,
    unconfirmed: Option<CheckpointJob>,
    /// Of checkpoints that failed.
    unstored: Unstored,
    /// Tables that it has done with, for whoever frees them: that takes long.
    pub done: Done,
    freed: u64,
    /// Since when no batch is at work.
    idle_since: Stopwatch,
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
        sequence: u64,
    ) -> Self {
        Self {
            shard,
            plan,
            layouts,
            summary_numbers,
            metrics,
            tables: HashMap::new(),
            detached: Vec::new(),
            scans: VecDeque::new(),
            early: Vec::new(),
            checkpoint: None,
            unconfirmed: None,
            unstored: Unstored::default(),
            done: Done::new(),
            freed: 0,
            idle_since: Stopwatch::start(),
            batches: 0,
            bytes: 0,
            sequence,
        }
    }

    /// How many more questions it takes at present: a bounded number, so that a flood of them
    /// cannot starve the batches.
    pub fn room_for_questions(&self) -> usize {
        limits::SCANS_AT_ONCE.saturating_sub(self.scans.len())
    }

    /// Whether it has something to read for a checkpoint.
    pub fn is_writing(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Obeys a command.
    pub fn obey(&mut self, command: Command) {
        match command {
            Command::Work(work, sent) => {
                let waited = sent.elapsed().min(self.idle_since.elapsed());
                self.metrics.shards[self.shard].pauses_us.record(waited);
                self.work(&work);
                self.idle_since = Stopwatch::start();
            }
            Command::Ask(asked) => self.ask(asked),
            Command::Load(id, rows) => self.load(id, rows),
            Command::Loaded(reply) => _ = reply.send(()),
            Command::Checkpoint(order) => self.start_checkpoint(&order),
            Command::Committed(number) => {
                self.unconfirmed = None;
                self.drop_detached(|d| d.number <= number);
                self.freed = number;
                self.measure();
            }
            Command::Failed(_) => {
                if let Some(job) = self.unconfirmed.take() {
                    self.unstored.add(job.into_unstored());
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
        let sequence = self.sequence;
        let due: Vec<_> = self.early.extract_if(.., |l| l.from <= sequence).collect();
        due.iter().for_each(|lookups| self.look_up(lookups));
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
            self.done.push(table);
        }
        self.drop_detached(|d| gone(&d.id));
        self.measure();
    }

    fn drop_detached(&mut self, is_done: impl Fn(&Detached) -> bool) {
        let done = self.detached.extract_if(.., |detached| is_done(detached));
        self.done.extend(done.map(|detached| detached.table));
    }

    /// Counts the memory of all tables anew. Between two such counts [`Worker::work`] adds what
    /// it sees to grow.
    fn measure(&mut self) {
        let live = self.tables.values().map(Table::bytes).sum::<usize>();
        let detached = self.detached.iter().map(|d| d.table.bytes()).sum::<usize>();
        self.bytes = (live + detached) as i64;
        self.metrics.shards[self.shard].memory_bytes.set(self.bytes);
    }

    /// Takes a question that does not care for the order of commands, or that the sequencer sent.
    pub fn ask(&mut self, asked: Asked) {
        match asked {
            Asked::Scan(question) => self.scan(&question),
            Asked::LookUp(lookups) if lookups.from > self.sequence => self.early.push(lookups),
            Asked::LookUp(lookups) => self.look_up(&lookups),
        }
    }

    /// Looks up single keys and sends what was found.
    fn look_up(&self, lookups: &Lookups) {
        if lookups.stored < self.freed {
            let _ = lookups.reply.send(None);
            return;
        }
        let answer = |lookup: &Lookup| {
            let mut groups = Groups::new(Arc::clone(&lookup.layout), Arc::clone(&lookup.grouping));
            for (id, table) in self.tables_of(lookup.summary, lookup.days, lookups.stored) {
                lookup.fold(table, id.day, &mut groups);
            }
            (lookup.plan, groups)
        };
        let answers = lookups.shards[self.shard].iter().map(answer).collect();
        let (shard, sequence) = (self.shard, self.sequence);
        let _ = lookups.reply.send(Some(LookupAnswers { shard, answers, sequence }));
    }

    /// Looks up single keys of one day, all of whose rows are here, as of all events before
    /// `from`. Gives what was found, and the sequence number after the last event that it covers;
    /// none: it is not so.
    pub fn look_up_live(&self, lookup: &Lookup, from: u64) -> Option<(Groups, u64)> {
        let (summary, day) = (lookup.summary, lookup.days.0);
        let is_one_day = lookup.days == (day, day);
        let table = self.tables.get(&TableId { summary, day }).filter(|table| !table.partial)?;
        if !is_one_day || self.sequence < from {
            return None;
        }
        let mut groups = Groups::new(Arc::clone(&lookup.layout), Arc::clone(&lookup.grouping));
        lookup.fold(table, day, &mut groups);
        Some((groups, self.sequence))
    }

    /// The tables of some days of a summary that the store, as of checkpoint `stored`, has not.
    fn tables_of(
        &self,
        summary: usize,
        (first, last): (i32, i32),
        stored: u64,
    ) -> impl Iterator<Item = (TableId, &Table)> {
        let is_wanted =
            move |id: &TableId| id.summary == summary && (first..=last).contains(&id.day);
        // One look for the usual question, which is for one day.
        let one = TableId { summary, day: first };
        let of_one = (first == last).then(|| self.tables.get(&one).map(|table| (one, table)));
        let of_many = self.tables.iter().filter(move |(id, _)| first < last && is_wanted(id));
        let detached = self.detached.iter().filter(move |d| d.number > stored && is_wanted(&d.id));
        of_one
            .flatten()
            .into_iter()
            .chain(of_many.map(|(id, table)| (*id, table)))
            .chain(detached.map(|d| (d.id, &*d.table)))
    }

    fn scan(&mut self, question: &Arc<ShardQuestion>) {
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
        let live = live.map(|(id, t)| Part::new(*id, None, t.len()));
        let detached = detached.map(|d| Part::new(d.id, Some(Arc::clone(&d.table)), d.table.len()));
        let parts = live.chain(detached).collect();
        self.scans.push_back(Scan::new(Arc::clone(question), parts, self.shard, self.sequence));
    }

    /// The barrier: what was changed before it belongs to the checkpoint.
    fn start_checkpoint(&mut self, order: &CheckpointOrder) {
        // Only where the next one begins at once: a slice is noted in each turn.
        self.unstored.note(&mut self.tables, usize::MAX);
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
            job.add_live(*id, table);
        }
        job.sort(|summary| self.summary_numbers[summary]);
        self.checkpoint = Some(job);
        self.measure();
    }

    /// Gives one question one slice, each in its turn: however many there are, no batch waits for
    /// more than one of them. Returns whether any are left.
    pub fn read_question(&mut self) -> bool {
        let Some(mut scan) = self.scans.pop_front() else { return false };
        let tables = &self.tables;
        scan.read_slice(|id| tables.get(&id));
        if scan.is_done() {
            scan.finish()
        } else {
            self.scans.push_back(scan)
        }
        !self.scans.is_empty()
    }

    /// Notes of a slice of rows, which a checkpoint that failed did not store, that they have still
    /// to be. Returns whether nothing is left.
    pub fn note_unstored(&mut self) -> bool {
        self.unstored.note(&mut self.tables, limits::SCAN_SLICE_ROWS)
    }

    /// Gives the checkpoint one slice, if there is one: a piece for the store, or none yet.
    pub fn read_checkpoint(&mut self) -> Option<Piece> {
        let mut job = self.checkpoint.take()?;
        let mut piece = self.empty_piece(job.number);
        let numbers = &self.summary_numbers;
        if job.read_slice(&mut self.tables, |s| numbers[s], &mut piece) {
            piece.last = Some(self.report());
            self.unconfirmed = Some(job);
        } else {
            self.checkpoint = Some(job);
        }
        (piece.last.is_some() || !piece.rows.is_empty()).then_some(piece)
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
