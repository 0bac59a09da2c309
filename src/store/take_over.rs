//! How the store takes over the files of a checkpoint: exactly once, whatever fault the disk has
//! meanwhile.
//!
//! RocksDB writes down in its manifest which files it has. Where that write fails, what is on the
//! disk is known only once the database was opened anew: the checkpoint may be there although
//! it was said to have failed. To write its rows again would then count them twice; so a
//! checkpoint whose end is not known is neither a success nor a failure until it is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::writer::WriteOrder;
use super::{Store, StoreError};
use crate::metrics::Metrics;

/// Pause between two attempts to open the store anew, which begins short and doubles.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// See [`FIRST_RETRY`].
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// Attempts that are left once the program is to stop.
const LAST_TRIES: usize = 3;

/// What it takes to hand a checkpoint over.
pub(super) struct TakeOver<'a> {
    pub(super) store: &'a Store,
    pub(super) metrics: &'a Metrics,
    pub(super) stop: &'a AtomicBool,
}

/// Why it cannot be said that the store holds a checkpoint.
pub(super) enum Failure {
    /// It does not hold it. It can be tried again, with everything that has changed since.
    NotTaken(StoreError),
    /// The store could not be opened again before the program was to stop. Its files must stay,
    /// since the next start may need them.
    Unknown(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::NotTaken(error)
    }
}

impl TakeOver<'_> {
    /// Has the store take over the files of a checkpoint, all of them or none.
    ///
    /// # Errors
    /// Where it is not sure that the store holds the checkpoint.
    pub(super) fn run(&self, files: Vec<PathBuf>, order: &WriteOrder) -> Result<(), Failure> {
        let database = self.store.writable(self.metrics)?;
        let found = database.position()?.checkpoint;
        if found != order.base {
            let error = StoreError(format!(
                "the store in {} is at checkpoint {found}, where this program left it at {}: its \
                 folder was replaced; put it back. A stop before that loses the events since",
                self.store.folder().display(),
                order.base
            ));
            return Err(error.into());
        }
        let Err(error) = database.take_over(files) else { return Ok(()) };
        if !database.has_stopped() {
            return Err(error.into());
        }
        drop(database);
        if self.is_taken_over(order, &error)? { Ok(()) } else { Err(error.into()) }
    }

    /// Finds out whether the store holds a checkpoint after all, however long it takes until it
    /// can be opened again.
    fn is_taken_over(&self, order: &WriteOrder, error: &StoreError) -> Result<bool, Failure> {
        tracing::error!(%error, "the store has stopped; it is opened anew");
        let (mut last_tries, mut retry) = (0, FIRST_RETRY);
        loop {
            let opened = self.store.reopen(self.metrics);
            match opened.and_then(|database| database.position()) {
                Ok(position) => return Ok(position.checkpoint == order.position.checkpoint),
                Err(error) => {
                    last_tries += usize::from(self.stop.load(Ordering::Relaxed));
                    if last_tries > LAST_TRIES {
                        return Err(Failure::Unknown(error));
                    }
                    tracing::error!(%error, "the store cannot be opened again; nothing is lost \
                        while the program runs, and it will be tried again");
                    std::thread::sleep(retry);
                    retry = LONGEST_RETRY.min(2 * retry);
                }
            }
        }
    }
}
