//! When batches arrive. The clock of a machine is set now and then, also wrongly: arrivals
//! follow it all the same, since nobody here knows better, but nothing is deleted by a clock
//! that has only just leaped.
//!
//! In: the handed-in clock. Out: arrivals, and whether the clock has stood long enough to
//! delete much by it.

use jiff::Timestamp;

use crate::clock::{Clock, LEAP_US};

/// How long a clock that leaped must go on from there until it is believed.
const BELIEVED_AFTER_US: i64 = 600_000_000;

/// Stamps arrivals.
pub(super) struct Arrivals {
    clock: Clock,
    last_us: i64,
    /// What the clock showed when it was last read, and the steady time then.
    shown_us: i64,
    steady_us: i64,
    /// The steady time of the last leap, or of the start.
    leaped_us: i64,
}

impl Arrivals {
    /// Arrivals that go on behind one of an earlier run, in microseconds since 1970.
    pub(super) fn new(clock: Clock, last_us: i64) -> Self {
        let (shown_us, steady_us) = (clock.now_us(), clock.steady_us());
        Self { clock, last_us, shown_us, steady_us, leaped_us: steady_us }
    }

    /// The last arrival, in microseconds since 1970.
    pub(super) fn last_us(&self) -> i64 {
        self.last_us
    }

    /// The arrival of what comes now, in microseconds since 1970: never before the last one,
    /// unless the clock was set back by an hour or more.
    pub(super) fn now_us(&mut self) -> i64 {
        let (now_us, steady_us) = (self.clock.now_us(), self.clock.steady_us());
        let expected_us = self.shown_us.saturating_add(steady_us - self.steady_us);
        (self.shown_us, self.steady_us) = (now_us, steady_us);
        if now_us.abs_diff(expected_us) >= LEAP_US.unsigned_abs() {
            self.leaped_us = steady_us;
            let (from, to) = (instant(expected_us), instant(now_us));
            let minutes = BELIEVED_AFTER_US / 60_000_000;
            tracing::warn!(%from, %to, "the clock leaped; arrivals follow it, and more than a \
                week beyond retention is deleted once it has stood for {minutes} minutes");
        }
        if now_us < self.last_us && self.last_us - now_us < LEAP_US {
            return self.last_us;
        }
        if now_us < self.last_us {
            let (from, to) = (instant(self.last_us), instant(now_us));
            tracing::warn!(%from, %to, "the clock was set back; arrivals go back with it");
        }
        self.last_us = now_us;
        now_us
    }

    /// Whether the clock has gone on for ten minutes since the start or since it last leaped.
    pub(super) fn has_stood(&mut self) -> bool {
        self.now_us();
        self.steady_us - self.leaped_us >= BELIEVED_AFTER_US
    }
}

fn instant(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn arrivals_follow_the_clock_and_go_back_with_it_by_an_hour_or_more_only() {
        let start_us = 1_000 * LEAP_US;
        let clock = Clock::manual(start_us);
        let mut arrivals = Arrivals::new(clock.clone(), 0);
        assert_eq!(arrivals.now_us(), start_us);
        clock.set(start_us - LEAP_US + 1);
        assert_eq!(arrivals.now_us(), start_us, "it stands still");
        clock.advance(Duration::from_micros(LEAP_US as u64));
        assert_eq!(arrivals.now_us(), start_us + 1, "until the clock is there again");
        clock.set(start_us + 1 - LEAP_US);
        assert_eq!(arrivals.now_us(), start_us + 1 - LEAP_US);
        clock.set(start_us * 2);
        assert_eq!(arrivals.now_us(), start_us * 2);
        // Another run goes on behind it, and follows as well.
        assert_eq!(Arrivals::new(clock.clone(), start_us * 2 + 5).now_us(), start_us * 2 + 5);
        assert_eq!(Arrivals::new(clock, start_us * 3).now_us(), start_us * 2);
    }

    #[test]
    fn a_clock_is_believed_after_ten_minutes() {
        let clock = Clock::manual(1_000 * LEAP_US);
        let mut arrivals = Arrivals::new(clock.clone(), 0);
        assert!(!arrivals.has_stood());
        clock.advance(HOUR / 6);
        assert!(arrivals.has_stood());
        // Time that passes is no leap, however much of it.
        clock.advance(HOUR * 5_000);
        assert!(arrivals.has_stood());
        for to_us in [9_000 * LEAP_US, 1_000 * LEAP_US] {
            clock.set(to_us);
            assert!(!arrivals.has_stood());
            clock.advance(HOUR / 6 - Duration::from_secs(1));
            assert!(!arrivals.has_stood());
            clock.advance(Duration::from_secs(1));
            assert!(arrivals.has_stood());
        }
    }
}
