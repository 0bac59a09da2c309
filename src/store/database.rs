//! One opening of the store: the RocksDB database in its folder, and what is read from and
//! written to it.
//!
//! RocksDB stops taking anything in after most errors of its disk, and goes on only when it is
//! opened anew ([`Database::has_stopped`]). So nobody keeps a database: it is asked of the
//! [`super::Store`] for each piece of work, and given back as soon as it
//! [is closing](Database::is_closing).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IngestExternalFileOptions, MergeOperands,
    Options, WriteBatch, WriteOptions,
};

use super::StoreError;
use super::records::{DayRecord, Format, Position, Record};
use crate::event::Date;
use crate::row::codec;

/// Bytes of decompressed blocks that are kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To write, made where there is none.
    Make,
    /// To write, as it was left.
    Write,
    /// To look at, also while another process writes it.
    Read,
}

/// An open database.
pub struct Database {
    pub(super) db: DB,
    folder: PathBuf,
    access: Access,
    closing: AtomicBool,
}

impl Database {
    /// Opens it, to hold so many files open at once: start-up must not open those of every day.
    pub(super) fn open(folder: &Path, access: Access, files: i32) -> Result<Self, StoreError> {
        let mut options = options();
        options.set_max_open_files(files);
        options.create_if_missing(access == Access::Make);
        let db = match access {
            Access::Read => DB::open_for_read_only(&options, folder, false),
            Access::Make | Access::Write => DB::open(&options, folder),
        };
        let db = db.map_err(|e| StoreError::of(folder, "cannot be opened", &e))?;
        let database = Self { db, folder: folder.to_owned(), access, closing: false.into() };
        database.check_format()?;
        Ok(database)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.record::<Format>(&Record::Format)? {
            None if self.access == Access::Make => self.put(&Record::Format, &Format::CURRENT),
            None => Ok(()),
            Some(format) if format == Format::CURRENT => Ok(()),
            Some(Format { store, rows }) => Err(StoreError(format!(
                "the store in {} has format {store}, rows {rows}; this program writes format {}, \
                 rows {}: run the version that wrote it, or move its data folder away and send \
                 the events again",
                self.folder.display(),
                Format::CURRENT.store,
                Format::CURRENT.rows
            ))),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether whoever reads it should stop: it is being opened anew, and waits for them.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// # Errors
    /// Where it is closing.
    pub fn check_open(&self) -> Result<(), StoreError> {
        if !self.is_closing() {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(StoreError(format!("the store in {folder} is being opened anew; try again")))
    }

    /// Asks everybody to let go of it.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether it takes nothing in any more until it is opened anew.
    pub(super) fn has_stopped(&self) -> bool {
        if self.access == Access::Read {
            return true;
        }
        // RocksDB does not tell but by refusing, so it is asked to write nothing.
        let mut nothing = WriteOptions::default();
        nothing.disable_wal(true);
        nothing.set_no_slowdown(true);
        match self.db.write_opt(WriteBatch::default(), &nothing) {
            Ok(()) => false,
            // Busy with compactions, which is no fault.
            Err(error) => error.kind() != rocksdb::ErrorKind::Incomplete,
        }
    }

    /// Takes over the files of a checkpoint, all of them or none. They leave their folder.
    pub(super) fn take_over(&self, files: Vec<PathBuf>) -> Result<(), StoreError> {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        let taken = self.db.ingest_external_file_opts(&ingest, files);
        taken.map_err(|e| StoreError::of(&self.folder, "cannot take over a checkpoint", &e))
    }

    pub(super) fn unreadable(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::of(&self.folder, "cannot be read", error)
    }

    fn unwritable(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::of(&self.folder, "cannot be written", error)
    }

    pub(super) fn record<T: serde::de::DeserializeOwned>(
        &self,
        record: &Record,
    ) -> Result<Option<T>, StoreError> {
        let bytes = self.db.get(record.key()).map_err(|e| self.unreadable(&e))?;
        let value = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        value.map_err(|e| StoreError::damaged(&self.folder, format!("{record:?}: {e}")))
    }

    pub(super) fn put<T: serde::Serialize>(
        &self,
        record: &Record,
        value: &T,
    ) -> Result<(), StoreError> {
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        let put = self.db.put_opt(record.key(), to_json(value)?, &durable);
        put.map_err(|e| self.unwritable(&e))
    }

    /// Up to where the store holds everything.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn position(&self) -> Result<Position, StoreError> {
        Ok(self.record(&Record::Position)?.unwrap_or_default())
    }

    /// What tells this store from all others; none: it was made before there was such a thing.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn identity(&self) -> Result<Option<String>, StoreError> {
        self.record(&Record::Identity)
    }

    /// Gives the store what tells it from all others, for ever.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn set_identity(&self, identity: &str) -> Result<(), StoreError> {
        self.put(&Record::Identity, &identity)
    }

    /// What is known of a summary's day; none: the store has no rows of it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn day(&self, summary: u32, day: i32) -> Result<Option<DayRecord>, StoreError> {
        self.record(&Record::Day(summary, day))
    }

    /// Days that have changed since they were published, by summary number.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn pending(&self) -> Result<Vec<(u32, i32)>, StoreError> {
        let mut pending = Vec::new();
        let mut iter = self.db.raw_iterator();
        iter.seek(Record::pending_prefix());
        while let Some(Record::Pending(summary, day)) = iter.key().and_then(Record::from_key) {
            pending.push((summary, day));
            iter.next();
        }
        iter.status().map_err(|e| self.unreadable(&e))?;
        Ok(pending)
    }

    /// The first day that has rows of a summary.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn first_day(&self, summary: u32) -> Result<Option<Date>, StoreError> {
        let mut iter = self.db.raw_iterator();
        iter.seek(Record::Day(summary, Date::MIN).key());
        self.day_at(&iter, summary)
    }

    /// The last day before `before` that has rows of a summary.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn last_day(&self, summary: u32, before: Date) -> Result<Option<Date>, StoreError> {
        let mut iter = self.db.raw_iterator();
        iter.seek_for_prev(Record::Day(summary, before.saturating_sub(1)).key());
        self.day_at(&iter, summary)
    }

    fn day_at(
        &self,
        iter: &rocksdb::DBRawIterator<'_>,
        summary: u32,
    ) -> Result<Option<Date>, StoreError> {
        iter.status().map_err(|e| self.unreadable(&e))?;
        match iter.key().and_then(Record::from_key) {
            Some(Record::Day(s, day)) if s == summary => Ok(Some(day)),
            _ => Ok(None),
        }
    }

    /// The day before which a summary's days were deleted.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn deleted_before(&self, summary: u32) -> Result<Date, StoreError> {
        Ok(self.record(&Record::Deleted(summary))?.unwrap_or(Date::MIN))
    }

    /// Deletes the days of a summary before `day`, and remembers it.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn delete_before(&self, summary: u32, day: Date) -> Result<(), StoreError> {
        let deleted = self.deleted_before(summary)?.max(day);
        let mut batch = WriteBatch::default();
        batch.put(Record::Deleted(summary).key(), to_json(&deleted)?);
        let rows = |day| crate::key::prefix(summary, day);
        batch.delete_range(rows(Date::MIN), rows(day));
        let days = |day| Record::Day(summary, day).key();
        batch.delete_range(days(Date::MIN), days(day));
        let pending = |day| Record::Pending(summary, day).key();
        batch.delete_range(pending(Date::MIN), pending(day));
        self.db.write(batch).map_err(|e| self.unwritable(&e))
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError(e.to_string()))
}

/// The options of the database, and of files that it is to take over.
pub(super) fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_size(16 << 10);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    options.set_merge_operator_associative("summarizer.union.1", |key, existing, operands| {
        union(key, existing, operands)
    });
    options
}

/// Unites the parts in which a row was written.
fn union(key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    codec::merge(existing.into_iter().chain(operands.iter()))
        .inspect_err(|error| {
            let key = crate::key::Key(key);
            tracing::error!(?key, %error, "a stored row is damaged");
        })
        .ok()
}
