//! What is deleted because it is old: days that a summary no longer retains, and files of dead
//! letters.
//!
//! In: the arrivals' time, the configuration, what there is. Deleting cannot be undone, so a
//! day that waits to be published stays, and a clock that is wrong for a moment deletes nothing.

use super::{Parts, Sequencer};
use crate::event::{DAY_US, Date, date};
use crate::shard::Command;

/// The first day that a summary takes events of: one that it retains, and of which nothing was
/// deleted. Of a day that is gone, its late events would be published as the whole.
pub(super) fn first_day(parts: &Parts, summary: usize, today: Date) -> Date {
    let retained = parts.plan.summaries[summary].retain_days;
    let first = retained.map_or(Date::MIN, |days| today.saturating_sub(days));
    first.max(parts.days.deleted_before(summary))
}

impl Sequencer {
    /// Deletes what is not retained any more, once per day, by a clock that has stood.
    pub(super) fn retire(&mut self) {
        let now_us = self.arrivals.now_us();
        let today = self.zone.day(now_us);
        if today == self.retired || !self.arrivals.has_stood() {
            return;
        }
        let mut done = true;
        for summary in 0..self.parts.plan.summaries.len() {
            done &= self.retire_days(summary, today);
        }
        let keep_days = self.parts.config.dead_letters.keep_days;
        let today_in_utc = now_us.div_euclid(DAY_US) as Date;
        self.parts.dead.delete_before(today_in_utc.saturating_sub_unsigned(keep_days));
        if done {
            self.retired = today;
        }
    }

    /// Deletes the old days of a summary. A day that waits to be published stays until it was,
    /// and those after it: of one that closed while the program was away, nothing would be
    /// left otherwise. Returns whether there is nothing left to do today.
    fn retire_days(&mut self, summary: usize, today: Date) -> bool {
        let Some(days) = self.parts.plan.summaries[summary].retain_days else { return true };
        let name = &self.schema.summaries[summary].name;
        let mut before = today.saturating_sub(days);
        if let Some(day) = self.parts.days.oldest_pending(summary).filter(|day| *day < before) {
            before = day;
            tracing::warn!(summary = name, day = %date(day),
                "kept beyond retention: it is not published yet");
        }
        match self.parts.days.delete_before(summary, before) {
            Ok(None) => true,
            Ok(Some((first, last))) => {
                let (first, until) = (date(first), last + 1);
                tracing::info!(summary = name, %first, last = %date(last), "deleted old days");
                self.send_all(|| Command::Forget(summary, until));
                true
            }
            Err(error) => {
                tracing::error!(%error, "days beyond retention cannot be deleted");
                false
            }
        }
    }
}
