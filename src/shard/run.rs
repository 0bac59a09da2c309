//! The thread of a shard, and the door for those who ask it.
//!
//! The thread holds the shard while it does something and lets go of it in between. So what is
//! asked of a shard that is idle, and takes a moment, is done by whoever asks: waking a thread
//! costs far more than looking up a key.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, TrySendError};

use super::checkpoint::Piece;
use super::question::{Asked, Lookup};
use super::sweeper::Done;
use super::worker::{Command, Worker};
use crate::metrics::ShardMetrics;
use crate::row::Groups;

/// A shard as those see it who ask questions.
#[derive(Clone)]
pub struct Door {
    /// The side door, for questions that do not care for the order of commands.
    pub asks_out: Sender<Asked>,
    worker: Arc<Mutex<Worker>>,
}

impl Door {
    /// The door of a shard whose thread hears what is sent to `asks_out`.
    pub fn new(worker: Arc<Mutex<Worker>>, asks_out: Sender<Asked>) -> Self {
        Self { asks_out, worker }
    }

    /// See [`Worker::look_up_live`]. None also where the shard is at work.
    pub fn look_up(&self, lookup: &Lookup, from: u64) -> Option<(Groups, u64)> {
        self.worker.try_lock().ok()?.look_up_live(lookup, from)
    }
}

/// The ends of the channels that a shard's thread holds.
pub struct Ends {
    /// From the sequencer.
    pub commands_in: Receiver<Command>,
    /// Questions that do not care for the order of commands.
    pub asks_in: Receiver<Asked>,
    /// To the store's writer.
    pub pieces_out: Sender<Piece>,
    /// To whoever frees tables.
    pub done_out: Sender<Done>,
}

/// Turns a shard until `commands_in` is closed and everything that was begun is finished. It
/// waits for nobody: a piece for which the store has no room yet holds up the checkpoint alone.
pub fn run(worker: &Mutex<Worker>, ends: &Ends, metrics: &ShardMetrics) {
    let Ends { commands_in, asks_in, pieces_out, done_out } = ends;
    let mut for_store: Option<Piece> = None;
    let (mut has_commands, mut has_asks) = (true, true);
    loop {
        // Who asks only reads: what it failed at is as it was.
        let mut shard = worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_idle = true;
        while has_asks && shard.room_for_questions() > 0 {
            match asks_in.try_recv() {
                Ok(asked) => shard.ask(asked),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => has_asks = false,
            }
        }
        match commands_in.try_recv() {
            Ok(command) => {
                shard.obey(command);
                is_idle = false;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => has_commands = false,
        }
        metrics.queue_depth.set(commands_in.len() as i64);
        is_idle &= !shard.read_question();
        is_idle &= shard.note_unstored();
        if for_store.is_none() {
            for_store = shard.read_checkpoint();
            is_idle &= for_store.is_some() || !shard.is_writing();
        }
        let has_done = !hand_on(&mut shard.done, done_out);
        let has_room = shard.room_for_questions() > 0;
        drop(shard);
        if let Some(piece) = for_store.take() {
            match pieces_out.try_send(piece) {
                Ok(()) => is_idle = false,
                Err(TrySendError::Full(piece)) => for_store = Some(piece),
                // The store outlives the shards; if it is gone the process is ending.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        if !is_idle {
            continue;
        }
        let mut select = Select::new();
        if has_commands {
            select.recv(commands_in);
        }
        if has_asks && has_room {
            select.recv(asks_in);
        }
        if has_done {
            select.send(done_out);
        }
        if for_store.is_some() {
            select.send(pieces_out);
        } else if !has_commands {
            return;
        }
        select.ready();
    }
}

/// Hands tables on to be freed. Returns whether none are left.
fn hand_on(done: &mut Done, done_out: &Sender<Done>) -> bool {
    if done.is_empty() {
        return true;
    }
    match done_out.try_send(std::mem::take(done)) {
        Ok(()) => true,
        Err(TrySendError::Full(kept)) => {
            *done = kept;
            false
        }
        // The sweeper outlives the shards; if it is gone the process is ending.
        Err(TrySendError::Disconnected(_)) => true,
    }
}
