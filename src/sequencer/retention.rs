//! What is deleted because it is old: days that a summary no longer retains, and files of dead
//! letters.
//!
//! In: the arrivals' time, the configuration, what there is. Deleting cannot be undone, so a
//! day that waits to be published stays, and a clock that is wrong for a moment deletes little.

use std::sync::Arc;

use super::Sequencer;
use crate::event::{DAY_US, Date, date};
use crate::shard::Command;

/// Days that are deleted at once without a second thought: a few are left over each time that
/// the program was away. More of them is a clock that leaped, or a retention that was lowered.
const FEW_DAYS: i32 = 7;

/// The day on which everything that was old then had been deleted.
pub(super) struct Retired {
    summaries: Vec<Date>,
    dead_letters: Date,
}

impl Retired {
    /// Of so many summaries, nothing yet.
    pub(super) fn new(summaries: usize) -> Self {
        Self { summaries: vec![Date::MIN; summaries], dead_letters: Date::MIN }
    }
}

impl Sequencer {
    /// Deletes what is not retained any more, once per day.
    pub(super) fn retire(&mut self) {
        let now_us = self.arrivals.now_us();
        let today = self.zone.day(now_us);
        for summary in 0..self.retired.summaries.len() {
            if self.retired.summaries[summary] != today && self.retire_days(summary, today) {
                self.retired.summaries[summary] = today;
            }
        }
        if self.retired.dead_letters != today && self.retire_dead_letters(now_us) {
            self.retired.dead_letters = today;
        }
    }

    /// Deletes the old days of a summary. A day that waits to be published stays until it was,
    /// and those after it: of one that closed while the program was away, nothing would be
    /// left otherwise. Returns whether there is nothing left to do today.
    fn retire_days(&mut self, summary: usize, today: Date) -> bool {
        let Some(days) = self.parts.plan.summaries[summary].retain_days else { return true };
        let schema = Arc::clone(&self.schema);
        let name = &schema.summaries[summary].name;
        let mut before = today.saturating_sub(days);
        let pending = self.parts.days.oldest_pending(summary).filter(|day| *day < before);
        let (oldest, newest) = match self.parts.days.stored(summary) {
            Ok(Some(stored)) if stored.0 < before => stored,
            Ok(_) => return true,
            Err(error) => {
                tracing::error!(%error, "days beyond retention cannot be found");
                return false;
            }
        };
        if !self.may_delete(oldest, before) {
            return false;
        }
        if let Some(day) = pending {
            before = day;
            tracing::warn!(summary = name, day = %date(day),
                "kept beyond retention: it is not published yet");
        }
        // Events of days that never were are welcome, should the clock turn out to be wrong.
        before = before.min(newest.saturating_add(1));
        if oldest >= before {
            return true;
        }
        if let Err(error) = self.parts.days.delete_before(summary, before) {
            tracing::error!(%error, "days beyond retention cannot be deleted");
            return false;
        }
        self.send_all(|| Command::Forget(summary, before));
        tracing::info!(summary = name, from = %date(oldest), before = %date(before),
            "deleted days beyond retention");
        true
    }

    /// Deletes old files of dead letters. Returns whether there is nothing left to do today.
    fn retire_dead_letters(&mut self, now_us: i64) -> bool {
        let today = now_us.div_euclid(DAY_US) as Date;
        let keep_days = self.parts.config.dead_letters.keep_days;
        let before = today.saturating_sub_unsigned(keep_days);
        match self.parts.dead.oldest_day() {
            Some(oldest) if oldest < before => {
                let may = self.may_delete(oldest, before);
                if may {
                    self.parts.dead.delete_before(before);
                }
                may
            }
            _ => true,
        }
    }

    /// Whether the clock is good enough to delete so many days by it.
    fn may_delete(&mut self, oldest: Date, before: Date) -> bool {
        before.saturating_sub(oldest) <= FEW_DAYS || self.arrivals.has_stood()
    }
}
