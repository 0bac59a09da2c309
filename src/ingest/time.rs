//! An event's time from its text.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::refusal::Reason;
use super::scalar;
use crate::config::TimeFormat;

/// Microseconds since 1970 of a time as text (of a number or of a string).
///
/// # Errors
/// [`Reason::BadTime`].
pub fn read(text: &[u8], format: &TimeFormat, zone: &TimeZone) -> Result<i64, Reason> {
    let scale = match format {
        TimeFormat::UnixMicros => 0,
        TimeFormat::UnixMillis => 3,
        TimeFormat::UnixSeconds => 6,
        TimeFormat::Rfc3339 => {
            let text = std::str::from_utf8(text).map_err(|_| Reason::BadTime)?;
            let time: Timestamp = text.trim().parse().map_err(|_| Reason::BadTime)?;
            return Ok(micros(time));
        }
        TimeFormat::Pattern(pattern) => return read_pattern(text, pattern, zone),
    };
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if !is_plain && !is_number(text) {
        return Err(Reason::BadTime);
    }
    // Rounded down, as below.
    scalar::floor(text, scale).map_err(|_| Reason::BadTime)
}

/// Whether a string holds the text of a plain number.
fn is_number(text: &[u8]) -> bool {
    let (number, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b"0"[..]),
    };
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let (whole, fraction) = match digits.iter().position(|&b| b == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &b"0"[..]),
    };
    let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
    [whole, fraction, exponent].iter().all(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit))
}

fn micros(time: Timestamp) -> i64 {
    // Rounded down, also before 1970, so that no event changes its day upwards.
    time.as_nanosecond().div_euclid(1_000).try_into().unwrap_or(i64::MAX)
}

/// A pattern with an offset names an instant. Without one it is read in the zone: of a
/// repeated hour the earlier offset, a skipped hour shifted forward.
fn read_pattern(text: &[u8], pattern: &str, zone: &TimeZone) -> Result<i64, Reason> {
    let bad = |_| Reason::BadTime;
    let parsed = BrokenDownTime::parse(pattern, text).map_err(bad)?;
    if parsed.offset().is_some() || pattern.contains("%s") {
        return parsed.to_timestamp().map(micros).map_err(bad);
    }
    let local: DateTime = parsed.to_datetime().map_err(bad)?;
    let time = zone.to_ambiguous_zoned(local).compatible().map_err(bad)?.timestamp();
    let latest = Timestamp::MAX - SignedDuration::from_secs(1);
    Ok(micros(time.min(latest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_format() {
        let utc = TimeZone::UTC;
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let pattern = |p: &str| TimeFormat::Pattern(p.to_owned());
        let us = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
        let cases = [
            ("1500", TimeFormat::UnixSeconds, &utc, Ok(1_500_000_000)),
            ("1500.25", TimeFormat::UnixSeconds, &utc, Ok(1_500_250_000)),
            ("1499.9999999", TimeFormat::UnixSeconds, &utc, Ok(1_499_999_999)),
            ("1500", TimeFormat::UnixMillis, &utc, Ok(1_500_000)),
            ("1.5e3", TimeFormat::UnixMillis, &utc, Ok(1_500_000)),
            ("-1", TimeFormat::UnixMicros, &utc, Ok(-1)),
            ("soon", TimeFormat::UnixMicros, &utc, Err(Reason::BadTime)),
            ("", TimeFormat::UnixMicros, &utc, Err(Reason::BadTime)),
            ("1e999", TimeFormat::UnixSeconds, &utc, Err(Reason::BadTime)),
            (
                "2015-09-12T00:46:58.771Z",
                TimeFormat::Rfc3339,
                &utc,
                Ok(us("2015-09-12T00:46:58.771Z")),
            ),
            (
                "2015-09-12T02:46:58+02:00",
                TimeFormat::Rfc3339,
                &utc,
                Ok(us("2015-09-12T00:46:58Z")),
            ),
            ("2015-09-12", TimeFormat::Rfc3339, &utc, Err(Reason::BadTime)),
            (
                "2010-12-01 08:26:00",
                pattern("%Y-%m-%d %H:%M:%S"),
                &berlin,
                Ok(us("2010-12-01T07:26:00Z")),
            ),
            // Repeated: the earlier offset. Skipped: shifted forward.
            (
                "2026-10-25 02:30:00",
                pattern("%Y-%m-%d %H:%M:%S"),
                &berlin,
                Ok(us("2026-10-25T00:30:00Z")),
            ),
            (
                "2026-03-29 02:30:00",
                pattern("%Y-%m-%d %H:%M:%S"),
                &berlin,
                Ok(us("2026-03-29T01:30:00Z")),
            ),
            (
                "17/May/2015:10:05:03 +0200",
                pattern("%d/%b/%Y:%H:%M:%S %z"),
                &utc,
                Ok(us("2015-05-17T08:05:03Z")),
            ),
            ("17/Mai/2015", pattern("%d/%b/%Y:%H:%M:%S %z"), &utc, Err(Reason::BadTime)),
        ];
        for (text, format, zone, expected) in cases {
            assert_eq!(read(text.as_bytes(), &format, zone), expected, "{text} as {format:?}");
        }
    }
}
