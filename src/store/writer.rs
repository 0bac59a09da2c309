//! The thread that writes checkpoints. The pieces of the shards become sorted files, and
//! the store takes them over together with the position that they bring it to, in one step:
//! after a crash a checkpoint is there whole or not at all. (Files beside the log cost a
//! third of the CPU of writing through it: no memtable, no second copy, no flush.)

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender};
use rocksdb::{Options, SstFileWriter};

use super::database::options;
use super::records::{DayRecord, Position, Record};
use super::take_over::{Failure, TakeOver};
use super::{Store, StoreError, staging};
use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::shard::{Piece, TableReport};

/// What goes with the rows of a checkpoint.
pub struct WriteOrder {
    /// Where the store will be.
    pub position: Position,
    /// Number of the checkpoint that it is at, and that this one builds upon.
    pub base: u64,
    /// Days that changed: summary number, day, record, and whether they are to be published.
    pub days: Vec<(u32, i32, DayRecord, bool)>,
}

/// How a checkpoint ended.
pub struct CheckpointResult {
    /// Its number.
    pub number: u64,
    /// What went wrong; none: the store holds it.
    pub error: Option<String>,
    /// Tables that stayed in memory.
    pub reports: Vec<TableReport>,
}

/// Writes checkpoints until its orders end.
pub struct StoreWriter {
    store: Arc<Store>,
    shards: usize,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
}

type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl StoreWriter {
    /// A writer of checkpoints with pieces from so many shards. Once `stop` is set, it does not
    /// wait for ever for a disk that is out of order.
    pub fn new(
        store: Arc<Store>,
        shards: usize,
        metrics: Arc<Metrics>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { store, shards, metrics, stop }
    }

    /// Runs until `orders_in` is closed. `notify` is called after each result.
    pub fn run(
        self,
        orders_in: &Receiver<WriteOrder>,
        pieces_in: &Receiver<Piece>,
        results_out: &Sender<CheckpointResult>,
        notify: impl Fn(),
    ) {
        for order in orders_in {
            let watch = Stopwatch::start();
            let options = options();
            let mut files = Files::new(&self.store, &options, order.position.checkpoint);
            let mut reports = Vec::new();
            let mut waiting = self.shards;
            let (mut rows, mut bytes) = (0, 0);
            // Pieces are taken to the last also where writing fails, so that no shard waits.
            while waiting > 0 {
                let Ok(mut piece) = pieces_in.recv() else { return };
                if let Some(last) = piece.last.take() {
                    reports.extend(last);
                    waiting -= 1;
                }
                rows += piece.rows.len() as u64;
                bytes += piece.bytes.len() as u64;
                files.add(&piece);
            }
            let take_over =
                TakeOver { store: &self.store, metrics: &self.metrics, stop: &self.stop };
            let error = files.commit(&order, &take_over).err();
            match &error {
                None => {
                    self.metrics.checkpoints.add(1);
                    self.metrics.checkpoint_rows.add(rows);
                    self.metrics.checkpoint_bytes.add(bytes);
                }
                Some(error) => {
                    self.metrics.checkpoints_failed.add(1);
                    tracing::error!(%error, "checkpoint failed; nothing is lost while the program \
                        runs, and it will be tried again");
                }
            }
            let elapsed = watch.elapsed().as_micros();
            self.metrics.checkpoint_us.set(i64::try_from(elapsed).unwrap_or(i64::MAX));
            let (number, error) = (order.position.checkpoint, error.map(|e| e.to_string()));
            if results_out.send(CheckpointResult { number, error, reports }).is_err() {
                return;
            }
            notify();
        }
    }
}

/// The files of one checkpoint.
struct Files<'a> {
    store: &'a Store,
    options: &'a Options,
    folder: PathBuf,
    /// By shard, the one that is being written. A shard's generations come one after the other,
    /// so that not more are open than there are shards, however often checkpoints failed.
    open: BTreeMap<usize, OpenFile<'a>>,
    /// By generation, then shard: rows of a later generation were made later.
    finished: BTreeMap<(u64, usize), PathBuf>,
    error: Option<StoreError>,
}

struct OpenFile<'a> {
    generation: u64,
    path: PathBuf,
    writer: SstFileWriter<'a>,
}

impl<'a> Files<'a> {
    fn new(store: &'a Store, options: &'a Options, number: u64) -> Self {
        let folder = staging::root(&store.folder).join(number.to_string());
        let error = std::fs::create_dir_all(&folder).err();
        let error = error.map(|e| StoreError::of_file(&folder, "cannot be made", &e));
        Self { store, options, folder, open: BTreeMap::new(), finished: BTreeMap::new(), error }
    }

    /// Writes the rows of a piece; after a first error, nothing any more.
    fn add(&mut self, piece: &Piece) {
        if self.error.is_none() && !piece.rows.is_empty() {
            self.error = self.try_add(piece).err().map(|e| self.unwritable(&e));
        }
    }

    fn unwritable(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::of(&self.store.folder, "cannot be given a checkpoint", error)
    }

    fn try_add(&mut self, piece: &Piece) -> Result<(), rocksdb::Error> {
        let Piece { generation, shard, .. } = *piece;
        if self.open.get(&shard).is_some_and(|file| file.generation != generation) {
            self.finish(shard)?;
        }
        let writer = match self.open.entry(shard) {
            Entry::Occupied(file) => &mut file.into_mut().writer,
            Entry::Vacant(place) => {
                let path = self.folder.join(staging::rows_name(generation, shard));
                let writer = create(self.options, &path)?;
                &mut place.insert(OpenFile { generation, path, writer }).writer
            }
        };
        let mut rest = piece.bytes.as_slice();
        for &(key, value, unite) in &piece.rows {
            let (key, after) = rest.split_at(key as usize);
            let (value, after) = after.split_at(value as usize);
            rest = after;
            if unite { writer.merge(key, value)? } else { writer.put(key, value)? }
        }
        Ok(())
    }

    fn finish(&mut self, shard: usize) -> Result<(), rocksdb::Error> {
        let Some(OpenFile { generation, path, mut writer }) = self.open.remove(&shard) else {
            return Ok(());
        };
        writer.finish()?;
        self.finished.insert((generation, shard), path);
        Ok(())
    }

    /// Lets the store take the files over, with the records that belong to them.
    fn commit(mut self, order: &WriteOrder, take_over: &TakeOver<'_>) -> Result<(), StoreError> {
        let completed = match self.error.take() {
            Some(error) => Err(error),
            None => self.complete(order).map_err(|e| self.unwritable(&e)),
        };
        let taken = completed.map_err(Failure::from).and_then(|files| take_over.run(files, order));
        let (result, is_known) = match taken {
            Ok(()) => (Ok(()), true),
            Err(Failure::NotTaken(error)) => (Err(error), true),
            Err(Failure::Unknown(error)) => (Err(error), false),
        };
        if is_known {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        result
    }

    /// Finishes all files; they are on the disk then.
    fn complete(&mut self, order: &WriteOrder) -> Result<Vec<PathBuf>, rocksdb::Error> {
        let shards: Vec<usize> = self.open.keys().copied().collect();
        shards.into_iter().try_for_each(|shard| self.finish(shard))?;
        let mut paths: Vec<PathBuf> = std::mem::take(&mut self.finished).into_values().collect();
        let records = self.folder.join(staging::RECORDS);
        let mut writer = create(self.options, &records)?;
        for (key, value) in entries(order) {
            match value {
                Some(value) => writer.put(key, value)?,
                None => writer.delete(key)?,
            }
        }
        writer.finish()?;
        paths.push(records);
        Ok(paths)
    }
}

fn create<'o>(
    options: &'o Options,
    path: &std::path::Path,
) -> Result<SstFileWriter<'o>, rocksdb::Error> {
    let writer = SstFileWriter::create(options);
    writer.open(path)?;
    Ok(writer)
}

/// The records of a checkpoint, in the order of their keys.
fn entries(order: &WriteOrder) -> Entries {
    let mut entries = Entries::new();
    entries.insert(Record::Position.key(), Some(json(&order.position)));
    for (summary, day, record, pending) in &order.days {
        entries.insert(Record::Day(*summary, *day).key(), Some(json(record)));
        let pending = pending.then(Vec::new);
        entries.insert(Record::Pending(*summary, *day).key(), pending);
    }
    entries
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    // These records are plain structs of numbers, which have a JSON form.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(generation: u64, shard: usize) -> Piece {
        let (key, value) = (crate::key::prefix(1, generation as i32), [shard as u8]);
        let mut bytes = key.to_vec();
        bytes.push(shard as u8);
        bytes.extend(value);
        let rows = vec![(key.len() as u32 + 1, 1, false)];
        Piece { number: 9, shard, generation, bytes, rows, last: None }
    }

    #[test]
    fn as_many_files_are_open_as_there_are_shards_however_many_checkpoints_failed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), 100).unwrap();
        let options = options();
        let mut files = Files::new(&store, &options, 9);
        for generation in 1..=50 {
            (0..2).for_each(|shard| files.add(&piece(generation, shard)));
        }
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        assert_eq!(open.filter(|path| path.starts_with(&files.folder)).count(), 2);
        let position = Position { checkpoint: 9, ..Position::default() };
        let order = WriteOrder { position, base: 0, days: Vec::new() };
        let (metrics, stop) = (Metrics::default(), AtomicBool::new(false));
        let take_over = TakeOver { store: &store, metrics: &metrics, stop: &stop };
        files.commit(&order, &take_over).unwrap();
        let database = store.database().unwrap();
        assert_eq!(database.position().unwrap(), position);
        let reader = database.reader().unwrap();
        for generation in 1..=50 {
            let mut rows = reader.rows(1, generation, &[]);
            (0..2).for_each(|_| assert!(rows.next().unwrap().is_some()));
            assert!(rows.next().unwrap().is_none());
        }
    }
}
