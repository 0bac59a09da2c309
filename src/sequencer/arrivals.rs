//! When batches arrive. The clock of a machine is set now and then, also wrongly: arrivals
//! follow it all the same, since nobody here knows better, but nothing is deleted by a clock
//! that was only just set.
//!
//! In: the handed-in clock. Out: arrivals, and whether the clock may be deleted by.

use crate::clock::{BELIEVED_AFTER_US, Clock, LEAP_US, WatchedClock};
use crate::event::timestamp;

/// Stamps arrivals.
pub(super) struct Arrivals {
    clock: WatchedClock,
    last_us: i64,
}

impl Arrivals {
    /// Arrivals that go on behind one of an earlier run, in microseconds since 1970.
    pub(super) fn new(clock: Clock, last_us: i64) -> Self {
        Self { clock: WatchedClock::new(clock), last_us }
    }

    /// The last arrival, in microseconds since 1970.
    pub(super) fn last_us(&self) -> i64 {
        self.last_us
    }

    /// The arrival of what comes now, in microseconds since 1970: never before the last one,
    /// unless the clock was set back by an hour or more.
    pub(super) fn now_us(&mut self) -> i64 {
        let reading = self.clock.read();
        if let Some(from_us) = reading.set_from_us {
            let (from, to) = (timestamp(from_us), timestamp(reading.now_us));
            let minutes = BELIEVED_AFTER_US / 60_000_000;
            tracing::warn!(%from, %to, "the clock was set; arrivals follow it, but nothing is \
                deleted or published by it for {minutes} minutes");
        }
        if self.last_us - reading.now_us >= LEAP_US {
            let (from, to) = (timestamp(self.last_us), timestamp(reading.now_us));
            tracing::warn!(%from, %to, "arrivals go back with the clock");
            self.last_us = reading.now_us;
        }
        self.last_us = self.last_us.max(reading.now_us);
        self.last_us
    }

    /// Whether the clock has gone on for ten minutes since the start or since it was set.
    pub(super) fn has_stood(&self) -> bool {
        self.clock.has_stood()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
}
