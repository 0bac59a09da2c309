//! What is derived of one event's values and time.

use super::refusal::Reason;

const HOUR_US: i64 = 3_600_000_000;

/// The hour, 0 to 23, of microseconds since 1970 on the clock of the wall.
#[inline]
pub fn hour(local_us: i64) -> i64 {
    local_us.rem_euclid(24 * HOUR_US) / HOUR_US
}

/// The part of the day.
pub fn day_part(local_us: i64) -> &'static [u8] {
    match hour(local_us) {
        0..6 => b"night",
        6..12 => b"morning",
        12..18 => b"afternoon",
        _ => b"evening",
    }
}

/// 1 (Monday) to 7 (Sunday).
pub fn weekday(day: i32) -> i64 {
    // 1970-01-01 was a Thursday, the fourth day of the week.
    (i64::from(day) + 3).rem_euclid(7) + 1
}

/// The greatest multiple of `width` that is not above `value`.
///
/// # Errors
/// [`Reason::NumberOverflow`] where that lies below all 64-bit integers.
#[inline]
pub fn lower_edge(value: i64, width: i64) -> Result<i64, Reason> {
    value.checked_sub(value.rem_euclid(width)).ok_or(Reason::NumberOverflow)
}

/// Brings the text from `start` on into lower case, by Unicode's rules: it may grow by half.
pub fn lower(text: &mut Vec<u8>, start: usize) {
    if text[start..].is_ascii() {
        text[start..].make_ascii_lowercase();
    } else if let Ok(other) = std::str::from_utf8(&text[start..]) {
        let lower = other.to_lowercase();
        text.truncate(start);
        text.extend_from_slice(lower.as_bytes());
    }
}

/// Bytes of the first so many characters.
#[inline]
pub fn prefix(text: &[u8], characters: usize) -> usize {
    match text.get(..characters) {
        None => text.len(),
        Some(first) if first.is_ascii() => characters,
        Some(_) => {
            let others = std::str::from_utf8(text).unwrap_or_default().char_indices();
            others.map(|(at, _)| at).nth(characters).unwrap_or(text.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_lowered_by_characters() {
        for (text, lowered, first_two) in [
            ("", "", ""),
            ("aB", "ab", "aB"),
            ("ABC", "abc", "AB"),
            ("\u{c4}BC", "\u{e4}bc", "\u{c4}B"),
            ("A\u{c4}\u{1f600}", "a\u{e4}\u{1f600}", "A\u{c4}"),
            // One that grows; and a letter whose form depends on where it stands.
            ("\u{130}x", "i\u{307}x", "\u{130}x"),
            ("\u{39f}\u{3a3}", "\u{3bf}\u{3c2}", "\u{39f}\u{3a3}"),
        ] {
            let mut buffer = [b"X", text.as_bytes()].concat();
            lower(&mut buffer, 1);
            assert_eq!(buffer, [b"X", lowered.as_bytes()].concat(), "{text}");
            assert_eq!(&text[..prefix(text.as_bytes(), 2)], first_two);
        }
    }

    #[test]
    fn no_bucket_lies_outside_of_the_integers() {
        assert_eq!(lower_edge(-1, 10), Ok(-10));
        assert_eq!(lower_edge(i64::MAX, 10), Ok(i64::MAX - 7));
        assert_eq!(lower_edge(i64::MIN, 8), Ok(i64::MIN));
        assert_eq!(lower_edge(i64::MIN + 7, 10), Err(Reason::NumberOverflow));
    }
}
