//! How long an answer may take, and what waits no longer than that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender};

use super::reply::Failure;
use crate::clock::Stopwatch;
use crate::store::Database;

/// Longest time between two looks at whether the server is stopping.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer may take: so long, but no longer than the server runs.
pub(super) struct Deadline<'a> {
    pub(super) watch: Stopwatch,
    pub(super) limit: Duration,
    pub(super) stop: &'a AtomicBool,
}

impl Deadline<'_> {
    /// An error where it is over.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Failure::stopping());
        }
        if self.watch.elapsed() < self.limit {
            return Ok(());
        }
        let message = format!("no answer within {} ms", self.limit.as_millis());
        let hint = "ask for fewer days or keys, or raise timeout_ms";
        Err(Failure::new("timeout", message, hint))
    }

    /// Sends to a queue that may be full.
    pub(super) fn send<T>(&self, out: &Sender<T>, mut message: T) -> Result<(), Failure> {
        loop {
            message = match out.send_timeout(message, LOOK_EVERY) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(message)) => message,
                Err(SendTimeoutError::Disconnected(_)) => return Err(Failure::stopping()),
            };
            self.check()?;
        }
    }

    /// Waits for the answer of a shard, but not while `database` is closing.
    pub(super) fn receive<T>(
        &self,
        answers: &Receiver<T>,
        database: &Database,
    ) -> Result<T, Failure> {
        loop {
            let left = self.limit.saturating_sub(self.watch.elapsed());
            match answers.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {
                    self.check()?;
                    database.check_open()?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::stopping()),
            }
        }
    }
}
