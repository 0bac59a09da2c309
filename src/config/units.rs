//! Spans of time and sizes as people write them.

use jiff::SignedDuration;

/// Microseconds of a span such as `100ms`, `60s`, `10m`, `1h`, `2d`.
pub fn parse_micros(text: &str) -> Option<i64> {
    // A day here is 24 hours: these are spans, not calendar arithmetic.
    let days = text.strip_suffix('d').and_then(|n| n.trim().parse::<i64>().ok());
    let micros = match days {
        Some(days) => i128::from(days) * 86_400_000_000,
        None => text.parse::<SignedDuration>().ok()?.as_micros(),
    };
    i64::try_from(micros).ok().filter(|m| *m >= 0)
}

/// Bytes of a size such as `512`, `64KB`, `10MB`, `2GB`, `1GiB`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_micros("100ms"), Some(100_000));
        assert_eq!(parse_micros("10m"), Some(600_000_000));
        assert_eq!(parse_micros("1h"), Some(3_600_000_000));
        assert_eq!(parse_micros("2d"), Some(172_800_000_000));
        assert_eq!(parse_micros("-1s"), None);
        assert_eq!(parse_micros("soon"), None);
        assert_eq!(parse_bytes("10MB"), Some(10_000_000));
        assert_eq!(parse_bytes("1 GiB"), Some(1 << 30));
        assert_eq!(parse_bytes("10 parsecs"), None);
        assert_eq!(parse_bytes("99999999999GB"), None);
    }
}
