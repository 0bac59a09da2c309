//! An event's time from its text.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
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
        TimeFormat::Rfc3339 => return read_rfc3339(text).ok_or(Reason::BadTime),
        TimeFormat::Pattern(pattern) => {
            return read_pattern(text, pattern, zone).ok_or(Reason::BadTime);
        }
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

const DAY_SECONDS: i64 = 86_400;

/// Offsets from UTC are less than a day.
const MOST_OFFSET_SECONDS: i32 = 86_399;

/// Whether the second that begins here is the last of a day in UTC, the only one that a leap
/// second, :60, may follow. It is told from the one before it by nothing.
fn is_last_of_day(second: i64) -> bool {
    (second + 1).rem_euclid(DAY_SECONDS) == 0
}

/// `2026-11-20T12:34:56.789Z` as RFC 3339 has it: T and Z in either case or a space for the T,
/// any number of digits behind the point, further ones than microseconds cut off.
fn read_rfc3339(text: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', ref time @ ..] = text
    else {
        return None;
    };
    let &[h1, h2, b':', n1, n2, b':', s1, s2, ref rest @ ..] = time else { return None };
    let (century, year) = (two(y1, y2)?, two(y3, y4)?);
    let date = Date::new(i16::from(century) * 100 + i16::from(year), two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (digits, rest) = match rest.split_first() {
        Some((b'.', fraction)) => {
            let end = fraction.iter().position(|b| !b.is_ascii_digit()).filter(|end| *end > 0)?;
            fraction.split_at(end)
        }
        _ => (&[][..], rest),
    };
    let digits = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    let fraction_us = digits.fold(0, |us, digit| us * 10 + i64::from(digit - b'0'));
    let offset_minutes = match *rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', n1, n2] => {
            let (hour, minute) = (two(h1, h2)?, two(n1, n2)?);
            let minutes = i64::from(hour) * 60 + i64::from(minute);
            if hour > 23 || minute > 59 {
                return None;
            }
            if sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let minutes = (days(date.ok()?) * 24 + i64::from(hour)) * 60 + i64::from(minute);
    let seconds = (minutes - offset_minutes) * 60 + i64::from(second.min(59));
    (second < 60 || is_last_of_day(seconds)).then_some(seconds * 1_000_000 + fraction_us)
}

/// The number of two digits.
fn two(tens: u8, ones: u8) -> Option<i8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| ((tens - b'0') * 10 + ones - b'0') as i8)
}

/// Days since 1970.
fn days(date: Date) -> i64 {
    // What the days before 1970-01-01 come to since the first day of the year 1.
    const BEFORE_1970: i64 = 719_163;
    let years = i64::from(date.year()) - 1;
    let leap_days = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    365 * years + leap_days + i64::from(date.day_of_year()) - BEFORE_1970
}

/// A pattern with an offset names an instant. Without one it is read in the zone: of a
/// repeated hour the earlier offset, a skipped hour shifted forward.
fn read_pattern(text: &[u8], pattern: &str, zone: &TimeZone) -> Option<i64> {
    let pads = [" ", "%e", "%k", "%l", "%n", "%t", "%_"];
    if text.first().is_some_and(u8::is_ascii_whitespace)
        && !pads.iter().any(|p| pattern.starts_with(p))
    {
        return None;
    }
    let text = cut_fraction(text, pattern);
    let parsed = BrokenDownTime::parse(pattern, &text).ok()?;
    if parsed.offset().is_some_and(|o| o.seconds().abs() > MOST_OFFSET_SECONDS) {
        return None;
    }
    let time = if parsed.offset().is_some() || pattern.contains("%s") {
        parsed.to_timestamp().ok()?
    } else {
        let local: DateTime = parsed.to_datetime().ok()?;
        let time = zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp();
        let latest = Timestamp::MAX - SignedDuration::from_secs(1);
        time.min(latest)
    };
    let time_us = micros(time);
    let second = time_us.div_euclid(1_000_000);
    let is_sound = !has_leap_second(&text, pattern, &parsed) || is_last_of_day(second);
    is_sound.then_some(time_us)
}

/// The library reads no more than nine digits of a fraction, `%f`, and takes any further ones
/// for what follows it.
fn cut_fraction<'a>(text: &'a [u8], pattern: &str) -> Cow<'a, [u8]> {
    const MOST: usize = 9;
    let start = fraction_mark(pattern.as_bytes()).and_then(|(mark, before)| {
        let mut marks = text.iter().enumerate().filter(|(_, byte)| **byte == mark);
        marks.nth(before).map(|(at, _)| at + 1)
    });
    let digits = |at: usize| text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    match start {
        Some(at) if digits(at) > MOST => {
            [&text[..at + MOST], &text[at + digits(at)..]].concat().into()
        }
        _ => text.into(),
    }
}

/// What stands before the fraction of a pattern, a point or a comma, and how many of these before
/// that; none: it has no fraction.
fn fraction_mark(pattern: &[u8]) -> Option<(u8, usize)> {
    let count = |mark, end: usize| pattern[..end].iter().filter(|byte| **byte == mark).count();
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] != b'%' {
            at += 1;
            continue;
        }
        let is_flag = |b: &u8| !b.is_ascii_alphabetic() && *b != b'%';
        let end = at + 1 + pattern[at + 1..].iter().take_while(|b| is_flag(b)).count();
        if matches!(pattern.get(end), Some(b'f' | b'N')) {
            if pattern[at + 1] == b'.' {
                return Some((b'.', count(b'.', at)));
            }
            let mark = *pattern[..at].last().filter(|b| matches!(b, b'.' | b','))?;
            return Some((mark, count(mark, at - 1)));
        }
        at = end + 1;
    }
    None
}

/// Whether the seconds of a text are 60, which the library takes for 59.
fn has_leap_second(text: &[u8], pattern: &str, parsed: &BrokenDownTime) -> bool {
    let is_second = |at: usize| {
        let mut other = text.to_vec();
        other[at..at + 2].copy_from_slice(b"58");
        BrokenDownTime::parse(pattern, &other).is_ok_and(|other| other.second() == Some(58))
    };
    let mut pairs = text.windows(2).enumerate();
    parsed.second() == Some(59) && pairs.any(|(at, pair)| pair == b"60" && is_second(at))
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
                "2026-11-20 12:00:00.1234567891",
                pattern("%Y-%m-%d %H:%M:%S%.f"),
                &utc,
                Ok(us("2026-11-20T12:00:00.123456Z")),
            ),
            (
                "20/Nov/2026 12:00:00,99999999999 +0100",
                pattern("%d/%b/%Y %H:%M:%S,%f %z"),
                &utc,
                Ok(us("2026-11-20T11:00:00.999999Z")),
            ),
            ("1.1234567890", pattern("%j.%s"), &utc, Ok(1_234_567_890_000_000)),
            // Digits behind a point that are no fraction.
            ("log.2026112012", pattern("log.%Y%m%d%H"), &utc, Ok(us("2026-11-20T12:00:00Z"))),
            ("log.20261120129", pattern("log.%Y%m%d%H"), &utc, Err(Reason::BadTime)),
            (
                "a.2026112012.3000.1234567891",
                pattern("a.%Y%m%d%H.%M%S.%f"),
                &utc,
                Ok(us("2026-11-20T12:30:00.123456Z")),
            ),
            (
                "a.20261120123000.1234567891",
                pattern("a.%Y%m%d%H%M%S%.f"),
                &utc,
                Ok(us("2026-11-20T12:30:00.123456Z")),
            ),
            ("11.2015302026", pattern("%m.%d%H%M%Y"), &utc, Ok(us("2026-11-20T15:30:00Z"))),
            // A leap second is where one may be: at the end of a day in UTC.
            (
                "2017-01-01 00:59:60",
                pattern("%Y-%m-%d %H:%M:%S"),
                &berlin,
                Ok(us("2016-12-31T23:59:59Z")),
            ),
            ("2016-12-31 23:59:60", pattern("%Y-%m-%d %T"), &berlin, Err(Reason::BadTime)),
            ("2060-12-31 12:30:60", pattern("%Y-%m-%d %T"), &utc, Err(Reason::BadTime)),
            ("2060-06-01 12:30:59", pattern("%Y-%m-%d %T"), &utc, Ok(us("2060-06-01T12:30:59Z"))),
            ("2026-11-20 +24:00", pattern("%Y-%m-%d %:z"), &utc, Err(Reason::BadTime)),
            (" 2026-11-20", pattern("%Y-%m-%d"), &utc, Err(Reason::BadTime)),
            ("2026-11-20 ", pattern("%Y-%m-%d"), &utc, Err(Reason::BadTime)),
            (" 5 Nov 2026", pattern("%e %b %Y"), &utc, Ok(us("2026-11-05T00:00:00Z"))),
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

    #[test]
    fn rfc_3339_is_read_to_the_letter() {
        let read = |text: &str| read(text.as_bytes(), &TimeFormat::Rfc3339, &TimeZone::UTC);
        for (text, same) in [
            ("2021-07-27T14:20:32.1234567891Z", "2021-07-27T14:20:32.123456Z"),
            ("2026-01-02T23:59:59.9999999999999999999999Z", "2026-01-02T23:59:59.999999Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2026-01-02t12:00:00z", "2026-01-02T12:00:00Z"),
            ("2026-01-02 12:00:00.5-00:00", "2026-01-02T12:00:00.5Z"),
            ("2026-01-02T12:00:00+23:59", "2026-01-01T12:01:00Z"),
            ("2026-01-02T12:00:00-23:59", "2026-01-03T11:59:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("1990-12-31T15:59:60.25-08:00", "1990-12-31T23:59:59.25Z"),
            ("2017-01-01T05:29:60+05:30", "2016-12-31T23:59:59Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                read(text),
                Ok(same.parse::<Timestamp>().unwrap().as_microsecond()),
                "{text}"
            );
        }
        assert_eq!(read("9999-12-31T23:59:59Z"), Ok(253_402_300_799_000_000));
        for text in [
            "2026-01-02T12:30:60Z",
            "2016-12-31T23:59:60+01:00",
            "2016-12-31T23:59:61Z",
            "2026-01-02T12:00:00+24:00",
            "2026-01-02T12:00:00+12:60",
            "2026-01-02T12:00:00+0100",
            "2026-01-02T12:00:00+01",
            "2026-01-02T12:00:00",
            "2026-01-02T12:00Z",
            "2026-01-02T12:00:00,5Z",
            "2026-01-02T12:00:00.Z",
            "2026-01-02T12:00:00. 5Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T12:60:00Z",
            "2026-02-29T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-01-02_12:00:00Z",
            "2026-01-02T12:00:00 Z",
            " 2026-01-02T12:00:00Z",
            "2026-01-02T12:00:00Z ",
            "2026-01-02T12:00:00Z\n",
            "2026-1-2T12:00:00Z",
            "+2026-01-02T12:00:00Z",
            "-2026-01-02T12:00:00Z",
            "20260102T120000Z",
            "2026-01-02T12:00:00Z[UTC]",
            "2026-01-0\u{661}T12:00:00Z",
            "",
        ] {
            assert_eq!(read(text), Err(Reason::BadTime), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn rfc_3339_is_what_a_library_reads(second in -62_135_596_800i64..253_000_000_000,
            nano in 0i32..1_000_000_000, offset in -1439i32..1440) {
            let time = Timestamp::new(second, nano).unwrap();
            let offset = jiff::tz::Offset::from_seconds(offset * 60).unwrap();
            let text = time.display_with_offset(offset).to_string();
            let read = read(text.as_bytes(), &TimeFormat::Rfc3339, &TimeZone::UTC);
            // A year before 1 has no such form.
            if !text.starts_with('-') {
                proptest::prop_assert_eq!(read, Ok(micros(time)), "{}", text);
            }
        }
    }
}
