//! The only door to the time of day. Everything behind the sockets takes its time from
//! here or from the arrival time of a batch, so that tests decide when midnight is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A difference between two clocks, in microseconds, from which on one of them was set: less
/// is drift, or the care of a time service.
pub const LEAP_US: i64 = 3_600_000_000;

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
