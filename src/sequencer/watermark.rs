//! How many events there are: accepted, and of these, given to the shards.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that only grow, for those who wait for events or want to see them all.
#[derive(Debug)]
pub struct Watermark {
    accepted: AtomicU64,
    sent: AtomicU64,
}

impl Watermark {
    /// All events before a sequence number are in the store or in the shards.
    pub fn new(sequence: u64) -> Self {
        Self { accepted: AtomicU64::new(sequence), sent: AtomicU64::new(sequence) }
    }

    /// Sequence number after the last event that was accepted, that of the open batch included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire).max(self.sent())
    }

    /// Sequence number after the last event that was given to the shards.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Notes that the events before a sequence number were accepted.
    pub(super) fn accept(&self, sequence: u64) {
        self.accepted.store(sequence, Ordering::Release);
    }

    /// Notes that the events before a sequence number are in the queues of the shards.
    pub(super) fn send(&self, sequence: u64) {
        self.sent.store(sequence, Ordering::Release);
    }
}
