//! Which day an instant falls on, in the zone whose midnight ends the day. Offsets come
//! from the bundled time-zone database, so that every machine computes the same days.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Microseconds of a day in UTC.
pub const DAY_US: i64 = 86_400_000_000;

/// Days since 1970.
pub type Date = i32;

/// A day as YYYY-MM-DD.
pub fn date(day: Date) -> jiff::civil::Date {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(i64::from(day))).unwrap_or(epoch)
}

/// The day of YYYY-MM-DD.
pub fn parse_date(text: &str) -> Option<Date> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let days = date.since((jiff::Unit::Day, jiff::civil::date(1970, 1, 1))).ok()?.get_days();
    // `parse` also takes times of day; a day is just a day.
    (text.len() == 10).then_some(days)
}

/// The time of microseconds since 1970, in UTC.
pub fn timestamp(us: i64) -> String {
    Timestamp::from_microsecond(us).unwrap_or_default().to_string()
}

/// A zone that remembers the offset of the span it was last asked about: events come
/// nearly in order, and transitions are months apart.
#[derive(Clone, Debug)]
pub struct DayZone {
    zone: TimeZone,
    from_us: i64,
    until_us: i64,
    offset_us: i64,
}

impl DayZone {
    /// A zone with nothing remembered.
    pub fn new(zone: &TimeZone) -> Self {
        Self { zone: zone.clone(), from_us: 0, until_us: 0, offset_us: 0 }
    }

    /// Microseconds since 1970 on the clock of the wall, for an instant in microseconds UTC.
    #[inline]
    pub fn local_us(&mut self, time_us: i64) -> i64 {
        if time_us < self.from_us || time_us >= self.until_us {
            self.look_up(time_us);
        }
        time_us + self.offset_us
    }

    /// The day that an instant falls on.
    #[inline]
    pub fn day(&mut self, time_us: i64) -> Date {
        // Accepted times lie between 1970 and 2199: the day fits by far.
        self.local_us(time_us).div_euclid(DAY_US) as Date
    }

    fn look_up(&mut self, time_us: i64) {
        let Ok(time) = Timestamp::from_microsecond(time_us) else {
            (self.from_us, self.until_us, self.offset_us) = (time_us, time_us, 0);
            return;
        };
        let micros = |t: jiff::tz::TimeZoneTransition<'_>| t.timestamp().as_microsecond();
        self.offset_us = i64::from(self.zone.to_offset(time).seconds()) * 1_000_000;
        // `preceding` excludes the instant itself, hence the step beyond it.
        let beyond = time.checked_add(SignedDuration::from_micros(1)).unwrap_or(time);
        self.from_us = self.zone.preceding(beyond).next().map_or(i64::MIN, micros);
        self.until_us = self.zone.following(time).next().map_or(i64::MAX, micros);
    }

    /// The instant, in microseconds UTC, at which a day begins in the zone: its first
    /// instant, also where midnight is skipped or repeated.
    pub fn start_of(&self, day: Date) -> i64 {
        let date = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(i64::from(day)))
            .ok()
            .and_then(|date| date.to_zoned(self.zone.clone()).ok());
        date.map_or(i64::from(day) * DAY_US, |zoned| zoned.timestamp().as_microsecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_back() {
        for (text, day) in [("2026-11-20", 20_777), ("1970-01-01", 0), ("1969-12-31", -1)] {
            assert_eq!(parse_date(text), Some(day));
            assert_eq!(date(day).to_string(), text);
        }
        assert_eq!(parse_date("2026-11-20T00:00"), None);
    }

    #[test]
    fn days_follow_the_zone_and_its_transitions() {
        let mut zone = DayZone::new(&TimeZone::get("Europe/Berlin").unwrap());
        let us = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
        let day = |text: &str| (text.parse::<Timestamp>().unwrap().as_second() / 86_400) as i32;
        // Summer: UTC+2; winter: UTC+1; asked back and forth across transitions.
        for (instant, date) in [
            ("2026-07-01T21:59:59Z", "2026-07-01T00:00:00Z"),
            ("2026-07-01T22:00:00Z", "2026-07-02T00:00:00Z"),
            ("2026-12-01T22:59:59Z", "2026-12-01T00:00:00Z"),
            ("2026-12-01T23:00:00Z", "2026-12-02T00:00:00Z"),
            ("2026-03-29T00:59:59Z", "2026-03-29T00:00:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2150-07-01T22:30:00Z", "2150-07-02T00:00:00Z"),
        ] {
            assert_eq!(zone.day(us(instant)), day(date), "{instant}");
            let zoned = us(instant);
            let exact = zone.zone.to_offset(Timestamp::from_microsecond(zoned).unwrap());
            assert_eq!(zone.local_us(zoned) - zoned, i64::from(exact.seconds()) * 1_000_000);
        }
        assert_eq!(zone.start_of(day("2026-07-02T00:00:00Z")), us("2026-07-01T22:00:00Z"));
    }
}
