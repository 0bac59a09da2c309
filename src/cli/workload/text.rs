//! An event as a line of JSON, written by hand: at millions of events per second a general
//! serializer would cost more than the event. No name here needs an escape.

use super::Event;
use super::names::{AD_SIZES, BROWSERS, COUNTRIES, KINDS};

impl Event {
    /// Appends the event as one JSON object and a newline, about 221 bytes.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        write_hex(out, self.id);
        out.extend_from_slice(b"\",\"ts\":");
        write_number(out, self.ts_ms.unsigned_abs());
        out.extend_from_slice(b",\"user\":\"u");
        write_number(out, u64::from(self.user));
        out.extend_from_slice(b"\",\"placement\":\"p");
        write_number(out, u64::from(self.placement));
        out.extend_from_slice(b"\",\"campaign\":\"c");
        write_number(out, u64::from(self.campaign));
        out.extend_from_slice(b"\",\"ad_size\":\"");
        out.extend_from_slice(AD_SIZES[usize::from(self.ad_size)].as_bytes());
        out.extend_from_slice(b"\",\"browser\":\"");
        out.extend_from_slice(BROWSERS[usize::from(self.browser)].as_bytes());
        out.extend_from_slice(b"\",\"country\":\"");
        out.extend_from_slice(COUNTRIES[usize::from(self.country)].as_bytes());
        out.extend_from_slice(b"\",\"region\":\"r");
        write_number(out, u64::from(self.region));
        out.extend_from_slice(b"\",\"event\":\"");
        out.extend_from_slice(KINDS[usize::from(self.kind)].as_bytes());
        out.extend_from_slice(b"\",\"cost\":");
        write_number(out, u64::from(self.cost_micros / 1_000_000));
        out.push(b'.');
        write_digits(out, self.cost_micros % 1_000_000, 6);
        out.extend_from_slice(b",\"latency_ms\":");
        write_thousandths(out, self.latency_us);
        out.extend_from_slice(b"}\n");
    }
}

/// 16 hex digits.
pub(super) fn write_hex(out: &mut Vec<u8>, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: usize| DIGITS[(number >> (60 - 4 * n)) as usize & 15];
    out.extend_from_slice(&std::array::from_fn::<u8, 16, _>(digit));
}

/// A whole number.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Exactly `width` digits, at most nine.
fn write_digits(out: &mut Vec<u8>, mut number: u32, width: usize) {
    let mut digits = [b'0'; 9];
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[..width]);
}

/// A number of thousandths, without zeros at the end: `12.34`, `7`.
fn write_thousandths(out: &mut Vec<u8>, number: u32) {
    write_number(out, u64::from(number / 1000));
    let mut fraction = number % 1000;
    let mut width = 3;
    while width > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    if width > 0 {
        out.push(b'.');
        write_digits(out, fraction, width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, LAST_DAY, names};
    use super::*;

    #[test]
    fn every_line_is_the_json_of_its_event() {
        let mut text = Vec::new();
        let events: Vec<Event> = Generator::new(5, 5000, 1, LAST_DAY).unwrap().collect();
        for event in &events {
            text.clear();
            event.write_json(&mut text);
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(fields, names::FIELDS);
            assert_eq!(json["id"], format!("{:016x}", event.id));
            assert_eq!(json["ts"], event.ts_ms);
            assert_eq!(json["user"], format!("u{}", event.user));
            assert_eq!(json["placement"], format!("p{}", event.placement));
            assert_eq!(json["campaign"], format!("c{}", event.campaign));
            assert_eq!(json["country"], COUNTRIES[usize::from(event.country)]);
            assert_eq!(json["event"], KINDS[usize::from(event.kind)]);
            assert_eq!(json["latency_ms"], f64::from(event.latency_us) / 1000.0);
            let cost = format!("\"cost\":0.{:06},", event.cost_micros);
            assert!(String::from_utf8(text.clone()).unwrap().contains(&cost));
        }
    }

    #[test]
    fn a_line_has_the_length_of_a_real_one() {
        let mut text = Vec::new();
        for event in Generator::new(1, 10_000, 1, LAST_DAY).unwrap() {
            event.write_json(&mut text);
        }
        let mean = text.len() as f64 / 10_000.0;
        assert!((mean - 221.0).abs() < 4.0, "{mean} bytes");
    }

    #[test]
    fn numbers_have_the_digits_they_need() {
        let written = |number| {
            let mut out = Vec::new();
            write_thousandths(&mut out, number);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            ["0", "0.001", "1", "1.5", "402.71"].map(String::from),
            [0, 1, 1000, 1500, 402_710].map(written)
        );
        let mut out = Vec::new();
        write_number(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string().into_bytes());
    }
}
