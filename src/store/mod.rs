//! The store: daily rows in RocksDB, and what the program must know about them.
//!
//! [`records`] are the entries that are no rows; [`registry`] gives summaries and
//! aggregates their permanent numbers and refuses configurations that stored rows
//! contradict; [`writer`] is the thread that writes checkpoints, each all or nothing;
//! [`reader`] reads rows as of one checkpoint.

pub mod reader;
pub mod records;
pub mod registry;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, MergeOperands, Options};

use crate::event::Date;
use crate::row::codec;
use records::{Format, Position, Record};

pub use reader::Reader;
pub use records::DayRecord;
pub use registry::Registry;
pub use writer::{CheckpointResult, StoreWriter};

/// Bytes of decompressed blocks that are kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// Files that are held open at once: start-up must not open every file of every day.
const OPEN_FILES: i32 = 512;

/// An open store.
pub struct Store {
    db: DB,
    folder: PathBuf,
}

/// Why the store cannot be used, in one sentence that says what to do.
#[derive(Debug)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    fn rocks(what: &str, folder: &Path, error: &rocksdb::Error) -> Self {
        Self(format!("the store in {} {what}: {error}", folder.display()))
    }
}

impl Store {
    /// Whether a folder has a store.
    pub fn is_in(folder: &Path) -> bool {
        folder.join("CURRENT").exists()
    }

    /// Opens or makes the store in a folder.
    ///
    /// # Errors
    /// Where the folder cannot be used, or was written by another version.
    pub fn open(folder: &Path) -> Result<Arc<Self>, StoreError> {
        let fail = |e: &rocksdb::Error| StoreError::rocks("cannot be opened", folder, e);
        let db = DB::open(&options(), folder).map_err(|e| fail(&e))?;
        let store = Self { db, folder: folder.to_owned() };
        store.check_format()?;
        // What an interrupted checkpoint left behind.
        let _ = std::fs::remove_dir_all(store.staging_folder());
        Ok(Arc::new(store))
    }

    /// Opens a store to look at it, also while another process writes it.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_read_only(folder: &Path) -> Result<Self, StoreError> {
        let fail = |e: &rocksdb::Error| StoreError::rocks("cannot be opened", folder, e);
        let db = DB::open_for_read_only(&options(), folder, false).map_err(|e| fail(&e))?;
        let store = Self { db, folder: folder.to_owned() };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.record::<Format>(&Record::Format)? {
            None => self.put(&Record::Format, &Format::CURRENT),
            Some(format) if format == Format::CURRENT => Ok(()),
            Some(Format { store, rows }) => Err(StoreError(format!(
                "the store in {} has format {store}, rows {rows}; this program writes format {}, \
                 rows {}: run the version that wrote it, or move the folder away and send the \
                 events again",
                self.folder.display(),
                Format::CURRENT.store,
                Format::CURRENT.rows
            ))),
        }
    }

    /// Where files of a checkpoint are made before the store takes them over.
    fn staging_folder(&self) -> PathBuf {
        self.folder.with_extension("staging")
    }

    fn record<T: serde::de::DeserializeOwned>(
        &self,
        record: &Record,
    ) -> Result<Option<T>, StoreError> {
        let bytes = self.db.get(record.key());
        let bytes = bytes.map_err(|e| StoreError::rocks("cannot be read", &self.folder, &e))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|e| {
            StoreError(format!("{record:?} in {} is damaged: {e}", self.folder.display()))
        })
    }

    fn put<T: serde::Serialize>(&self, record: &Record, value: &T) -> Result<(), StoreError> {
        let bytes = to_json(value)?;
        let mut durable = rocksdb::WriteOptions::default();
        durable.set_sync(true);
        self.db
            .put_opt(record.key(), bytes, &durable)
            .map_err(|e| StoreError::rocks("cannot be written", &self.folder, &e))
    }

    /// Up to where the store holds everything.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn position(&self) -> Result<Position, StoreError> {
        Ok(self.record(&Record::Position)?.unwrap_or_default())
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
        iter.status().map_err(|e| StoreError::rocks("cannot be read", &self.folder, &e))?;
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
        iter.status().map_err(|e| StoreError::rocks("cannot be read", &self.folder, &e))?;
        match iter.key().and_then(Record::from_key) {
            Some(Record::Day(s, day)) if s == summary => Ok(Some(day)),
            _ => Ok(None),
        }
    }

    /// Bytes that a summary's day takes on disk, roughly.
    pub fn day_bytes(&self, summary: u32, day: i32) -> u64 {
        let (from, to) = (crate::key::prefix(summary, day), crate::key::prefix(summary, day + 1));
        self.db.get_approximate_sizes(&[rocksdb::Range::new(&from, &to)]).iter().sum()
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
        let mut batch = rocksdb::WriteBatch::default();
        batch.put(Record::Deleted(summary).key(), to_json(&deleted)?);
        let rows = |day| crate::key::prefix(summary, day);
        batch.delete_range(rows(Date::MIN), rows(day));
        let days = |day| Record::Day(summary, day).key();
        batch.delete_range(days(Date::MIN), days(day));
        let pending = |day| Record::Pending(summary, day).key();
        batch.delete_range(pending(Date::MIN), pending(day));
        self.db.write(batch).map_err(|e| StoreError::rocks("cannot be written", &self.folder, &e))
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError(e.to_string()))
}

fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_size(16 << 10);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_max_open_files(OPEN_FILES);
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
