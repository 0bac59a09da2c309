//! The rule by which a day is published: a pure function of what is known of the day and
//! of the handed-in time.
//!
//! In: a day's record and the time. Out: whether it has ended, whether it is due. Reads no
//! clock.

use jiff::tz::TimeZone;

use crate::clock::LEAP_US;
use crate::config::Snapshots;
use crate::event::DayZone;
use crate::store::DayRecord;

/// Microseconds without a change after which a past day that appears anew is published.
/// While events of old days are being loaded, every one of them has never been published:
/// to publish each at its first event would put half a day into a file, and take the
/// machine from the loading.
const SETTLE_US: i64 = 5_000_000;

/// When days end, and when they are due.
pub struct Rule {
    zone: DayZone,
    grace_us: i64,
    quiet_us: i64,
}

impl Rule {
    /// The rule of a configuration.
    pub fn new(zone: &TimeZone, snapshots: &Snapshots) -> Self {
        let zone = DayZone::new(zone);
        Self { zone, grace_us: snapshots.grace_us, quiet_us: snapshots.quiet_us }
    }

    /// Whether a day has ended, and the grace after it.
    pub fn is_closed(&self, day: i32, now_us: i64) -> bool {
        let Some(next) = day.checked_add(1) else { return false };
        self.zone.start_of(next).saturating_add(self.grace_us) <= now_us
    }

    /// Whether a day that has changed since it was published is to be published now.
    ///
    /// `awaited` says that it was known before it closed and has not been published since, or
    /// was never published when the program started: then it is published at once, so that late
    /// events, however steadily they come, do not put off the first publication.
    pub fn is_due(&self, day: i32, record: &DayRecord, awaited: bool, now_us: i64) -> bool {
        if !self.is_closed(day, now_us) {
            return false;
        }
        let mut quiet_for_us = now_us.saturating_sub(record.changed_us);
        if quiet_for_us <= -LEAP_US {
            // The clock was wrong when it changed.
            quiet_for_us = i64::MAX;
        }
        let needed_us = match is_published(record) {
            true => self.quiet_us,
            false => self.quiet_us.min(SETTLE_US),
        };
        awaited || quiet_for_us >= needed_us
    }
}

/// Whether a day has ever been published whole.
pub fn is_published(record: &DayRecord) -> bool {
    record.published_sequence > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::parse_date;

    fn rule(zone: &str) -> Rule {
        let (grace_us, quiet_us) = (3_600_000_000, 60_000_000);
        let snapshots =
            Snapshots { grace_us, quiet_us, keep_revisions: 2, excel: false, replaces_nul: true };
        Rule::new(&TimeZone::get(zone).unwrap(), &snapshots)
    }

    fn us(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn a_day_closes_after_its_own_midnight_and_the_grace() {
        for (zone, day, last_open, closed) in [
            ("UTC", "2026-11-20", "2026-11-21T00:59:59.999999Z", "2026-11-21T01:00:00Z"),
            ("Europe/Berlin", "2026-07-01", "2026-07-01T22:59:59Z", "2026-07-01T23:00:00Z"),
            ("America/New_York", "2026-11-20", "2026-11-21T05:59:59Z", "2026-11-21T06:00:00Z"),
            // Days of 23 and 25 hours.
            ("Europe/Berlin", "2026-03-29", "2026-03-29T22:59:59Z", "2026-03-29T23:00:00Z"),
            ("Europe/Berlin", "2026-10-25", "2026-10-25T23:59:59Z", "2026-10-26T00:00:00Z"),
            // A midnight that does not exist: the day begins at 01:00.
            ("Africa/Cairo", "2026-04-23", "2026-04-23T22:59:59Z", "2026-04-23T23:00:00Z"),
            ("UTC", "1970-01-01", "1970-01-02T00:59:59Z", "1970-01-02T01:00:00Z"),
        ] {
            let (rule, day) = (rule(zone), parse_date(day).unwrap());
            assert!(!rule.is_closed(day, us(last_open)), "{zone} {day}");
            assert!(rule.is_closed(day, us(closed)), "{zone} {day}");
        }
        assert!(!rule("UTC").is_closed(i32::MAX, i64::MAX));
    }

    #[test]
    fn what_is_due() {
        let (never, published) = (0, 7);
        for (published_sequence, awaited, changed, now, due) in [
            // Before the close, nothing is.
            (never, true, "2026-11-20T23:00:00Z", "2026-11-21T00:59:59Z", false),
            (published, true, "2026-11-20T23:00:00Z", "2026-11-21T00:59:59Z", false),
            // An awaited day at once, also while late events come.
            (never, true, "2026-11-20T23:00:00Z", "2026-11-21T01:00:00Z", true),
            (never, true, "2026-11-21T01:00:00Z", "2026-11-21T01:00:00Z", true),
            // A past day that appears anew, once it settles.
            (never, false, "2026-12-01T12:00:00Z", "2026-12-01T12:00:04Z", false),
            (never, false, "2026-12-01T12:00:00Z", "2026-12-01T12:00:05Z", true),
            // A published day that changed, once it is quiet.
            (published, false, "2026-12-01T12:00:00Z", "2026-12-01T12:00:59Z", false),
            // One that was published too early, at once.
            (published, true, "2026-12-01T12:00:00Z", "2026-12-01T12:00:00Z", true),
            (published, false, "2026-12-01T12:00:00Z", "2026-12-01T12:01:00Z", true),
            // A clock that was set back is waited for, but not for long.
            (published, false, "2026-12-01T12:00:00Z", "2026-12-01T11:00:01Z", false),
            (published, false, "2027-12-01T12:00:00Z", "2026-12-01T11:00:00Z", true),
        ] {
            let record = DayRecord {
                events: 1,
                changed_sequence: 9,
                changed_us: us(changed),
                published_sequence,
            };
            let day = parse_date("2026-11-20").unwrap();
            let is_due = rule("UTC").is_due(day, &record, awaited, us(now));
            assert_eq!(is_due, due, "{published_sequence} {awaited} {changed} {now}");
        }
    }
}
