//! Rows as of one checkpoint, however many are written meanwhile.

use rocksdb::{DBRawIterator, ReadOptions, Snapshot};

use super::records::{DayRecord, Position, Record};
use super::{Database, StoreError};
use crate::key::{PREFIX_BYTES, prefix};

/// A view of the store. It ends with an error as soon as its database is closing.
pub struct Reader<'s> {
    database: &'s Database,
    snapshot: Snapshot<'s>,
    /// Up to where this view holds everything.
    pub position: Position,
}

impl Database {
    /// A view of the store as it is now.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn reader(&self) -> Result<Reader<'_>, StoreError> {
        let snapshot = self.db.snapshot();
        let bytes = snapshot.get(Record::Position.key());
        let position = match bytes.map_err(|e| self.unreadable(&e))? {
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| StoreError::damaged(self.folder(), format!("its position: {e}")))?,
            None => Position::default(),
        };
        Ok(Reader { database: self, snapshot, position })
    }
}

impl Reader<'_> {
    fn fail(&self, error: &rocksdb::Error) -> StoreError {
        self.database.unreadable(error)
    }

    /// One row.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn row(&self, summary: u32, day: i32, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.check_open()?;
        let key = [prefix(summary, day).as_slice(), key].concat();
        self.snapshot.get(key).map_err(|e| self.fail(&e))
    }

    /// What is known of a day.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn day(&self, summary: u32, day: i32) -> Result<Option<DayRecord>, StoreError> {
        let bytes =
            self.snapshot.get(Record::Day(summary, day).key()).map_err(|e| self.fail(&e))?;
        let record = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        record.map_err(|e| {
            StoreError::damaged(self.database.folder(), format!("day {day} of {summary}: {e}"))
        })
    }

    /// The days between two, both included, that have rows.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn days(&self, summary: u32, from: i32, to: i32) -> Result<Vec<i32>, StoreError> {
        let mut days = Vec::new();
        let mut iter = self.snapshot.raw_iterator();
        iter.seek(Record::Day(summary, from).key());
        while let Some(Record::Day(found, day)) = iter.key().and_then(Record::from_key) {
            if found != summary || day > to {
                break;
            }
            days.push(day);
            iter.next();
        }
        iter.status().map_err(|e| self.fail(&e))?;
        Ok(days)
    }

    /// The rows of a day whose keys begin with `leading`, in the order of their keys.
    pub fn rows(&self, summary: u32, day: i32, leading: &[u8]) -> Rows<'_> {
        let first = [prefix(summary, day).as_slice(), leading].concat();
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(first.as_slice()));
        options.set_readahead_size(1 << 20);
        let mut iter = self.snapshot.raw_iterator_opt(options);
        iter.seek(&first);
        Rows { database: self.database, iter, started: false }
    }
}

/// The pieces of a key, and the stored form of its row.
pub type KeyAndRow<'r> = (&'r [u8], &'r [u8]);

/// Walks over rows.
pub struct Rows<'s> {
    database: &'s Database,
    iter: DBRawIterator<'s>,
    started: bool,
}

impl Rows<'_> {
    /// The next row: the pieces of its key, and its stored form.
    ///
    /// # Errors
    /// Where the store cannot be read.
    #[allow(clippy::should_implement_trait)] // it lends what it gives
    pub fn next(&mut self) -> Result<Option<KeyAndRow<'_>>, StoreError> {
        self.database.check_open()?;
        if self.started {
            self.iter.next();
        }
        self.started = true;
        if !self.iter.valid() {
            self.iter.status().map_err(|e| self.database.unreadable(&e))?;
            return Ok(None);
        }
        match self.iter.item() {
            Some((key, row)) => Ok(Some((&key[PREFIX_BYTES..], row))),
            None => Ok(None),
        }
    }
}
