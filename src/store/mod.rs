//! The store: daily rows in RocksDB, and what the program must know about them.
//!
//! A [`Store`] is a folder; a [`Database`] is one opening of it, which a fault of the disk can
//! end. [`records`] are the entries that are no rows; [`registry`] gives summaries and
//! aggregates their permanent numbers and refuses configurations that stored rows
//! contradict; [`writer`] is the thread that writes checkpoints, each all or nothing;
//! [`reader`] reads rows as of one checkpoint.

mod database;
mod error;
pub mod reader;
pub mod records;
pub mod registry;
mod staging;
mod take_over;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use database::Access;

use crate::config::expect_file;
use crate::metrics::Metrics;

pub use database::Database;
pub use error::StoreError;
pub use reader::Reader;
pub use records::DayRecord;
pub use registry::Registry;
pub use writer::{CheckpointResult, StoreWriter};

pub(crate) use error::advice;

/// Files that a store holds open that is only looked at.
const LOOK_FILES: i32 = 64;

/// Between two looks at whether everybody has let go of a database that is to be closed.
const CLOSE_POLL: Duration = Duration::from_millis(1);

/// The store of a data folder, which is opened anew when its database has stopped.
pub struct Store {
    folder: PathBuf,
    files: i32,
    /// None: it could not be opened again, not even to be read.
    database: RwLock<Option<Arc<Database>>>,
}

impl Store {
    /// Whether a folder has a store.
    pub fn is_in(folder: &Path) -> bool {
        folder.join("CURRENT").exists()
    }

    /// Opens or makes the store in a folder. Of the open files that are its share, four fifths hold
    /// its tables; the rest is for those that it reads and writes beside them.
    ///
    /// # Errors
    /// Where the folder cannot be used, or was written by another version.
    pub fn open(folder: &Path, open_files: usize) -> Result<Arc<Self>, StoreError> {
        // RocksDB would make a new store around what is left of this one.
        let is_empty = std::fs::read_dir(folder).map_or(true, |mut files| files.next().is_none());
        if !is_empty && !Self::is_in(folder) {
            return Err(StoreError::damaged(folder, "it has files, and no CURRENT among them"));
        }
        expect_file(&folder.join("CURRENT")).map_err(|e| StoreError::damaged(folder, e))?;
        let files = i32::try_from(open_files / 5 * 4).unwrap_or(i32::MAX);
        let database = staging::open(folder, || Database::open(folder, Access::Make, files))?;
        let store = Self {
            folder: folder.to_owned(),
            files,
            database: RwLock::new(Some(Arc::new(database))),
        };
        // What an interrupted checkpoint left behind.
        let _ = std::fs::remove_dir_all(staging::root(folder));
        Ok(Arc::new(store))
    }

    /// Opens a store to look at it, also while another process writes it.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_read_only(folder: &Path) -> Result<Database, StoreError> {
        Database::open(folder, Access::Read, LOOK_FILES)
    }

    /// Whether a store that cannot be opened to look at it, for this error, lacks only what opening
    /// it to write may give back to it.
    pub fn would_be_mended(folder: &Path, error: &StoreError) -> bool {
        staging::has_missing(folder, error)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database as it is open now, for one piece of work: who keeps it while it
    /// [is closing](Database::is_closing) keeps everybody waiting. Waits while it is being
    /// opened anew.
    ///
    /// # Errors
    /// Where it could not be opened again.
    pub fn database(&self) -> Result<Arc<Database>, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.clone().ok_or_else(|| {
            StoreError(format!(
                "the store in {} could not be opened again after an error; it is tried with each \
                 checkpoint, the log says why it fails",
                self.folder.display()
            ))
        })
    }

    /// The database to write to, opened anew if it has stopped.
    fn writable(&self, metrics: &Metrics) -> Result<Arc<Database>, StoreError> {
        if !Self::is_in(&self.folder) {
            let folder = self.folder.display();
            return Err(StoreError(format!(
                "the store in {folder} is gone, or its file CURRENT is: put it back; a stop \
                 before that loses the events since the last checkpoint"
            )));
        }
        if let Ok(database) = self.database()
            && !database.has_stopped()
        {
            return Ok(database);
        }
        // Here nobody of this thread holds it any more, for which `reopen` waits.
        self.reopen(metrics)
    }

    /// Closes the database as soon as everybody has let go of it, and opens it again. Where that
    /// fails, it is opened to be read at least.
    fn reopen(&self, metrics: &Metrics) -> Result<Arc<Database>, StoreError> {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut database) = place.take() {
            database.close();
            while let Err(shared) = Arc::try_unwrap(database) {
                database = shared;
                std::thread::sleep(CLOSE_POLL);
            }
        }
        let open = || Database::open(&self.folder, Access::Write, self.files);
        let opened = staging::open(&self.folder, open).map(Arc::new);
        *place = match &opened {
            Ok(database) => {
                metrics.store_reopened.add(1);
                Some(Arc::clone(database))
            }
            Err(_) => Database::open(&self.folder, Access::Read, self.files).ok().map(Arc::new),
        };
        opened
    }
}
