//! The only door to the time of day. Everything behind the sockets takes its time from
//! here or from the arrival time of a batch, so that tests decide when midnight is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A difference between two clocks, in microseconds, from which on one of them was set: less
/// is drift, or the care of a time service.
pub const LEAP_US: i64 = 3_600_000_000;

/// How long a clock that was set must go on from there until it is believed, in microseconds.
pub const BELIEVED_AFTER_US: i64 = 600_000_000;

/// A source of the time of day, in microseconds since 1970 (UTC), and of a steady time beside
/// it that nobody can set.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Stopwatch),
    Manual(Arc<Hands>),
}

struct Hands {
    now_us: AtomicI64,
    steady_us: AtomicI64,
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Source::System(Stopwatch::start()))
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn manual(start_us: i64) -> Self {
        let hands = Hands { now_us: AtomicI64::new(start_us), steady_us: AtomicI64::new(0) };
        Self(Source::Manual(Arc::new(hands)))
    }

    /// Microseconds since 1970.
    #[allow(clippy::disallowed_methods)]
    pub fn now_us(&self) -> i64 {
        match &self.0 {
            Source::System(_) => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.map_or(0, micros)
            }
            Source::Manual(hands) => hands.now_us.load(Ordering::SeqCst),
        }
    }

    /// Microseconds since the clock was made, whatever it is set to meanwhile.
    pub fn steady_us(&self) -> i64 {
        match &self.0 {
            Source::System(since) => micros(since.elapsed()),
            Source::Manual(hands) => hands.steady_us.load(Ordering::SeqCst),
        }
    }

    /// Lets time pass on a manual clock; no effect on the machine's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hands) = &self.0 {
            hands.steady_us.fetch_add(micros(by), Ordering::SeqCst);
            hands.now_us.fetch_add(micros(by), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, as somebody may set the machine's; no effect on that.
    pub fn set(&self, now_us: i64) {
        if let Source::Manual(hands) = &self.0 {
            hands.now_us.store(now_us, Ordering::SeqCst);
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A clock of which one notices that it was set, also wrongly.
pub struct WatchedClock {
    clock: Clock,
    /// What the clock showed when it was last read, and the steady time then.
    shown_us: i64,
    steady_us: i64,
    /// The steady time when watching began, or when the clock was last set.
    since_us: i64,
    was_set: bool,
}

/// What a watched clock shows.
pub struct Reading {
    /// Microseconds since 1970.
    pub now_us: i64,
    /// What it would show, had it not been set by an hour or more since it was last read.
    pub set_from_us: Option<i64>,
}

impl WatchedClock {
    /// Watches from now on.
    pub fn new(clock: Clock) -> Self {
        let (shown_us, steady_us) = (clock.now_us(), clock.steady_us());
        Self { clock, shown_us, steady_us, since_us: steady_us, was_set: false }
    }

    /// Reads it.
    pub fn read(&mut self) -> Reading {
        let (now_us, steady_us) = (self.clock.now_us(), self.clock.steady_us());
        let expected_us = self.shown_us.saturating_add(steady_us - self.steady_us);
        (self.shown_us, self.steady_us) = (now_us, steady_us);
        let was_set = now_us.abs_diff(expected_us) >= LEAP_US.unsigned_abs();
        if was_set {
            (self.since_us, self.was_set) = (steady_us, true);
        }
        Reading { now_us, set_from_us: was_set.then_some(expected_us) }
    }

    /// Whether, as of the last reading, it has gone on for ten minutes since watching began or
    /// since it was set: long enough to do by it what cannot be undone.
    pub fn has_stood(&self) -> bool {
        self.steady_us - self.since_us >= BELIEVED_AFTER_US
    }

    /// Whether, as of the last reading, it was set less than ten minutes ago.
    pub fn is_doubtful(&self) -> bool {
        self.was_set && !self.has_stood()
    }
}

/// Measures spans of time for timeouts, pacing and progress; never part of a result.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_believed_after_ten_minutes() {
        const TEN_MINUTES: Duration = Duration::from_secs(600);
        let hour_us = LEAP_US;
        let clock = Clock::manual(1_000 * hour_us);
        let mut watched = WatchedClock::new(clock.clone());
        assert!(!watched.has_stood() && !watched.is_doubtful(), "who knows about the start");
        clock.advance(TEN_MINUTES);
        assert!(watched.read().set_from_us.is_none() && watched.has_stood());
        // Time that passes is no leap, however much of it; nor is less than an hour.
        clock.advance(TEN_MINUTES * 30_000);
        assert!(watched.read().set_from_us.is_none() && watched.has_stood());
        clock.set(clock.now_us() - hour_us + 1);
        assert!(watched.read().set_from_us.is_none() && watched.has_stood());
        for to_us in [9_000 * hour_us, 1_000 * hour_us] {
            let from_us = clock.now_us();
            clock.set(to_us);
            let reading = watched.read();
            assert_eq!((reading.now_us, reading.set_from_us), (to_us, Some(from_us)));
            assert!(watched.is_doubtful());
            clock.advance(TEN_MINUTES - Duration::from_micros(1));
            assert!(watched.read().set_from_us.is_none() && watched.is_doubtful());
            clock.advance(Duration::from_micros(1));
            watched.read();
            assert!(watched.has_stood() && !watched.is_doubtful());
        }
    }
}
