//! Conditions over numbers beside an oracle that knows nothing but digits.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::event::Value;

/// What a condition says of one event with these values: of `n`, an int, of `d`, a decimal of
/// four places, in its digits, and of `f`, a float.
fn says(condition: &str, n: i64, d: i64, f: f64) -> Option<bool> {
    let text = format!(
        r#"
        event = {{ time = {{ field = "t", format = "unix_s" }} }}
        field = [
          {{ name = "n", type = "int" }}, {{ name = "d", type = "decimal(4)" }},
          {{ name = "f", type = "float" }}, {{ name = "e", type = "decimal(18)" }},
        ]
        [[summary]]
        name = "a"
        where = "{condition}"
        dimensions = []
        aggregates = [{{ name = "c", count = true }}]
        "#
    );
    let config = Config::parse(&text, "test.toml".as_ref()).unwrap_or_else(|e| panic!("{e}"));
    let mut batch = crate::event::Batch::new(&config.schema);
    let values = [Value::Int(n), Value::Int(d), Value::Float(f), Value::Int(d)];
    batch.fields.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
    let filter = config.schema.summaries[0].filter.clone().unwrap();
    let mut truth = Truth::default();
    Evaluator::default().evaluate(&filter.predicate, &batch.fields, 1, &mut truth);
    match (truth.is_true.get(0), truth.is_false.get(0)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (is_true, is_false) => {
            assert!(!is_true && !is_false, "{condition}: both");
            None
        }
    }
}

#[test]
fn numbers_compare_exactly_however_they_are_written() {
    let trillion_squared = 10i64.pow(18);
    for (condition, number, expected) in [
        ("n = -1000000000000000001", -trillion_squared, false),
        ("n = -1000000000000000001", -trillion_squared - 1, true),
        ("n >= 1e18", trillion_squared - 1, false),
        ("n >= 1E+18", trillion_squared, true),
        ("1e18 <= n", trillion_squared - 1, false),
        ("n > -9223372036854775808", i64::MIN + 1, true),
        ("n > -9223372036854775808", i64::MIN, false),
        ("n < 9223372036854775808", i64::MAX, true),
        ("n <= 9223372036854775807", i64::MAX, true),
        ("n = 9223372036854775807.0000000000000000000000000001", i64::MAX, false),
        ("n < 9223372036854775807.0000000000000000000000000001", i64::MAX, true),
        ("n = 0000001000000000000000000001", i64::MAX, false),
        ("n = 0000001000000000000000001", trillion_squared + 1, true),
        ("n = 0000001000000000000000001", trillion_squared, false),
        ("n = 1_000_000_000_000_000_001", trillion_squared + 1, true),
        ("n in (1e0, 1000000000000000001e-0, 3)", trillion_squared + 1, true),
        ("n in (1e0, 1000000000000000001e-0, 3)", trillion_squared, false),
        ("n between 999999999999999999.5 and 1e18", trillion_squared, true),
        ("n between 999999999999999999.5 and 1e18", trillion_squared - 1, false),
        ("n between 1e400 and 1e500", i64::MAX, false),
        ("not n between -1e400 and 1e400", 0, false),
        ("n > 1e-400 or n < -1e-400", 0, false),
        ("-(1e18) >= n", -trillion_squared + 1, false),
        ("n <> 1.5", 1, true),
        ("n > 1.4999999999999999999999999999999999999999 and n < 2.5", 2, true),
        ("d > 9223372036854775806e-4", i64::MAX, true),
        ("d > 9223372036854775806e-4", i64::MAX - 1, false),
        ("d = 922337203685477.58070000", i64::MAX, true),
        ("d = 922337203685477.58070001", i64::MAX, false),
        ("d < 0.00000000000000000000000001", 0, true),
        ("d < 0.00000000000000000000000001", 1, false),
        ("n > d", 5, true),
        ("e < d", 5, true),
        ("1.0 = 1e0 and 0.1 < 0.1000000000000000000000000001", 0, true),
        ("9007199254740993 = 9007199254740992", 0, false),
        ("1e400 < 1e401 and -1e401 < -1e400 and -0 = 0.0", 0, true),
    ] {
        assert_eq!(says(condition, number, number, 0.5), Some(expected), "{condition}: {number}");
    }
}

/// As in SQL, and so that a field that was sent 0.1 equals 0.1.
#[test]
fn beside_a_float_every_number_is_the_nearest_float() {
    let parsed = |text: &str| text.parse::<f64>().unwrap();
    for (condition, digits, float, expected) in [
        ("f = 0.1", 0, 0.1, true),
        ("f = 0.1000000000000000000000000001", 0, 0.1, true),
        ("f < 0.1 or f > 0.1", 0, 0.1, false),
        ("f > 1e-400", 0, f64::from_bits(1), true),
        ("f < 1e400 and f > -1e400", 0, 1e12, true),
        ("f = 1e-1 and f in (2, .1)", 0, 0.1, true),
        ("f = d", 1000, 0.1, true),
        // Beyond 2^53 digits and the power of ten must not each be rounded.
        ("f = e", 123_456_789_012_345_679, parsed("0.123456789012345679"), true),
        ("f = e", 312_345_678_901_234_561, parsed("0.312345678901234561"), true),
        ("f = n", 7, 7.0, true),
    ] {
        assert_eq!(says(condition, digits, digits, float), Some(expected), "{condition}: {float}");
    }
}

/// A number in decimal digits, most significant first: `digits` / 10^`places`.
#[derive(Debug)]
struct Oracle {
    is_negative: bool,
    digits: Vec<u8>,
    places: i32,
}

impl Oracle {
    fn of(value: i64, places: i32) -> Self {
        let digits = value.unsigned_abs().to_string().into_bytes();
        Self { is_negative: value < 0, digits, places }
    }

    /// The digits before and behind the point, with so many of each.
    fn aligned(&self, whole: usize, places: usize) -> Vec<u8> {
        let mut digits = self.digits.clone();
        let behind = usize::try_from(self.places).unwrap_or(0);
        digits.extend(std::iter::repeat_n(b'0', usize::try_from(-self.places).unwrap_or(0)));
        digits.extend(std::iter::repeat_n(b'0', places - behind));
        let missing = whole + places - digits.len();
        [vec![b'0'; missing], digits].concat()
    }

    fn compare(&self, other: &Self) -> Ordering {
        let (a, b) = (self.aligned(400, 400), other.aligned(400, 400));
        let is_zero = |digits: &[u8]| digits.iter().all(|d| *d == b'0');
        match (self.is_negative && !is_zero(&a), other.is_negative && !is_zero(&b)) {
            (false, false) => a.cmp(&b),
            (true, true) => b.cmp(&a),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// A literal with its digits: near a value, or any.
fn literals() -> impl Strategy<Value = (String, Oracle)> {
    let digits = prop_oneof!["[0-9]{1,40}", "0{0,9}9223372036854775(80[5-9]|81[0-9])[0-9]{0,4}"];
    (any::<bool>(), digits, 0usize..30, -40i32..40).prop_map(
        |(is_negative, digits, behind, power)| {
            let behind = behind.min(digits.len());
            let (whole, fraction) = digits.split_at(digits.len() - behind);
            let point = if behind > 0 { "." } else { "" };
            let exponent = if power == 0 { String::new() } else { format!("e{power}") };
            let sign = if is_negative { "-" } else { "" };
            let text = format!("{sign}{whole}{point}{fraction}{exponent}");
            let places = behind as i32 - power;
            (text, Oracle { is_negative, digits: digits.into_bytes(), places })
        },
    )
}

fn integers() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -20i64..20, (i64::MAX - 20)..=i64::MAX, i64::MIN..(i64::MIN + 20)]
}

/// A literal within a few of the last digits that the value has.
fn neighbours(value: i64, places: i32) -> impl Strategy<Value = (String, Oracle)> {
    ((-2i128..=2), 0usize..4, "[0-9]{0,3}").prop_map(move |(off, zeros, fraction)| {
        let near = i128::from(value) + off;
        let digits = format!("{}{}{fraction}", "0".repeat(zeros), near.unsigned_abs());
        let sign = if near < 0 { "-" } else { "" };
        let behind = places + fraction.len() as i32;
        let text = format!("{sign}{digits}e-{behind}");
        let oracle = Oracle { is_negative: near < 0, digits: digits.into_bytes(), places: behind };
        (text, oracle)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn comparisons_say_what_the_digits_say(
        (value, name, places, (text, literal)) in (integers(), any::<bool>()).prop_flat_map(
            |(value, is_int)| {
                let (name, places) = if is_int { ("n", 0) } else { ("d", 4) };
                let literal = prop_oneof![literals(), neighbours(value, places)];
                (Just(value), Just(name), Just(places), literal)
            }),
        how in 0usize..6, turned in any::<bool>(),
    ) {
        const SIGNS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
        let ordering = Oracle::of(value, places).compare(&literal);
        let ordering = if turned { ordering.reverse() } else { ordering };
        let expected = [
            ordering.is_eq(), ordering.is_ne(), ordering.is_lt(), ordering.is_le(),
            ordering.is_gt(), ordering.is_ge(),
        ][how];
        let sign = SIGNS[how];
        let condition = if turned {
            format!("{text} {sign} {name}")
        } else {
            format!("{name} {sign} {text}")
        };
        prop_assert_eq!(says(&condition, value, value, 0.0), Some(expected), "{}", condition);
        let within = format!("{name} between {text} and {text} or {name} in ({text})");
        let is_equal = ordering.is_eq();
        prop_assert_eq!(says(&within, value, value, 0.0), Some(is_equal), "{}", within);
        let other = format!("not {name} = {text} and {name} not in ({text}, {text})");
        prop_assert_eq!(says(&other, value, value, 0.0), Some(!is_equal), "{}", other);
    }
}
