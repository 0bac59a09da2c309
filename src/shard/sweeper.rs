//! Frees tables. To free a large one takes long, and so it is done by a thread of its own: batches do
//! not wait for it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::table::Table;

/// Tables that a shard has done with at once. Questions may still be reading them.
pub type Done = Vec<Arc<Table>>;

/// How often it looks whether a table is still being read.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Frees tables until `done_in` is closed: each when nobody else has it.
pub fn run(done_in: &Receiver<Done>) {
    let mut kept = Done::new();
    loop {
        let more = match kept.is_empty() {
            true => done_in.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => done_in.recv_timeout(LOOK_AGAIN),
        };
        match more {
            Ok(done) => kept.extend(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Nobody can take a reference to a table that only we have.
        kept.retain(|table| Arc::strong_count(table) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::table;
    use super::*;

    #[test]
    fn a_table_is_freed_once_nobody_reads_it() {
        let (done_out, done_in) = crossbeam_channel::bounded(1);
        let sweeper = std::thread::spawn(move || run(&done_in));
        let (free, read) = (Arc::new(table()), Arc::new(table()));
        let (weak_free, weak_read) = (Arc::downgrade(&free), Arc::downgrade(&read));
        done_out.send(vec![free, Arc::clone(&read)]).unwrap();
        let wait = |weak: &std::sync::Weak<Table>| {
            while weak.strong_count() > 0 {
                std::thread::yield_now();
            }
        };
        wait(&weak_free);
        assert_eq!(weak_read.strong_count(), 2, "somebody reads it");
        drop(read);
        wait(&weak_read);
        drop(done_out);
        sweeper.join().unwrap();
    }
}
