//! Sums against their definition: whole numbers by exponent, as wide as need be.

use super::*;
use proptest::prelude::*;

/// What was added, by the place of its lowest bit above 2⁻¹⁰⁷⁴.
#[derive(Clone)]
struct Oracle(Vec<i128>);

impl Oracle {
    fn of(values: &[f64]) -> Self {
        let mut oracle = Self(vec![0; 1400]);
        values.iter().for_each(|&value| oracle.add(value));
        oracle
    }

    fn add(&mut self, value: f64) {
        let (whole, shift) = parts(value);
        let whole = i128::from(whole);
        let place = shift - UNIT_BITS as i32 + 1074;
        self.0[place as usize] += if value < 0.0 { -whole } else { whole };
    }

    /// The bits of the distance to `value`, most significant first: they compare as it does.
    fn distance(&self, value: f64) -> Vec<bool> {
        let mut all = self.clone();
        all.add(-value);
        let sign = all.bits().1;
        if sign < 0 {
            all.0.iter_mut().for_each(|digit| *digit = -*digit);
        }
        all.bits().0
    }

    /// Bits, most significant first, and what is carried beyond them: −1 of what is negative.
    fn bits(&self) -> (Vec<bool>, i128) {
        let mut carry = 0;
        let bits = self.0.iter().map(|digit| {
            let sum = digit + carry;
            carry = sum >> 1;
            sum & 1 == 1
        });
        let mut bits: Vec<bool> = bits.collect();
        bits.reverse();
        (bits, carry)
    }

    /// Whether no other float is nearer, nor as near and even.
    fn is_nearest(&self, value: f64) -> bool {
        let distance = self.distance(value);
        [value.next_up(), value.next_down()].into_iter().all(|other| {
            let other = self.distance(other);
            distance < other || (distance == other && value.to_bits() & 1 == 0)
        })
    }
}

fn sum(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::ZERO;
    values.iter().for_each(|&value| sum.insert(value));
    sum
}

fn bytes(sum: &ExactSum) -> Vec<u8> {
    let mut out = Vec::new();
    sum.encode(&mut out);
    out
}

/// Any float that is accepted; of all sizes alike.
fn value() -> impl Strategy<Value = f64> {
    let any =
        (0u64..1063, any::<u64>(), any::<bool>()).prop_map(|(exponent, mantissa, negative)| {
            let value = f64::from_bits(exponent << 52 | mantissa >> 12);
            if negative { -value } else { value }
        });
    let few = prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(1e-18), Just(f64::from_bits(1))];
    prop_oneof![4 => any, 1 => -1e-3..1e-3f64, 1 => few]
}

#[test]
fn known_values() {
    assert_eq!(to_fixed(1.0), Some(1 << 87));
    assert_eq!(to_fixed(-0.5), Some(-(1 << 86)));
    assert_eq!(to_fixed(-0.0), Some(0));
    assert_eq!(to_fixed(LIMIT.next_down()), Some(((1i128 << 53) - 1) << 74));
    assert_eq!((to_fixed(f64::from_bits(1)), to_fixed(-f64::from_bits(1))), (Some(0), Some(-1)));
    for refused in [LIMIT, -LIMIT, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
        assert_eq!(to_fixed(refused), None);
    }
    assert_eq!(ExactSum::ZERO.get(), Some(0.0));
}

#[test]
fn small_and_great_and_many() {
    for small in [1e-18, 6.6e-34, 5e-324, 1e-310] {
        assert_eq!(sum(&[small; 1000]).get(), Some(small * 1000.0), "{small:e}");
        assert_eq!(sum(&[-small; 1000]).get(), Some(small * -1000.0), "{small:e}");
        assert_eq!(sum(&[1e12, small, -1e12]).get(), Some(small));
        assert_eq!(sum(&[small, -1e12, 1e12]), sum(&[small]));
        assert_eq!(sum(&[small, -small]), ExactSum::ZERO);
    }
    let mut many = ExactSum::ZERO;
    for _ in 0..9_300_000 {
        many.insert(1e12);
    }
    assert_eq!(many.get(), Some(9.3e18));
    for _ in 0..9_300_000 {
        many.insert(-1e12);
    }
    assert_eq!(many, ExactSum::ZERO);
}

#[test]
fn halves_go_to_even() {
    let (one, up) = (1.0, 1.0f64.next_up());
    let half = (up - one) / 2.0;
    let least = f64::from_bits(1);
    for sign in [1.0, -1.0] {
        let of = |values: &[f64]| {
            sum(&values.iter().map(|value| value * sign).collect::<Vec<_>>()).get().unwrap() * sign
        };
        assert_eq!(of(&[one, half]), one);
        assert_eq!(of(&[one, half, least]), up);
        assert_eq!(of(&[one, half, -least]), one);
        assert_eq!(of(&[up, half]), up.next_up());
        assert_eq!(of(&[up, half, -least]), up);
    }
}

#[test]
fn sums_of_former_times_are_what_they_were() {
    for (fixed, carry) in [(0, 0), (1, 0), (-1, 0), (i128::MIN, 0), (i128::MAX, 5), (-7, -5)] {
        let read = ExactSum::from_former(fixed, carry).unwrap();
        assert_eq!(read.former(), Some((fixed, carry)));
    }
    assert_eq!(ExactSum::from_former(3 << 63, 0).unwrap().get(), Some(1.5));
    assert_eq!(ExactSum::from_former(0, 1).unwrap().get(), Some(2f64.powi(64)));
    assert_eq!(ExactSum::from_former(0, i64::MAX), None);
    assert_eq!(sum(&[2f64.powi(-65)]).former(), None);
    let mut overflowed = sum(&[1.0]);
    overflowed.merge(&ExactSum::OVERFLOWED);
    assert_eq!((overflowed.get(), &overflowed), (None, &ExactSum::OVERFLOWED));
    overflowed.merge(&sum(&[-1.0, 1e-30]));
    assert_eq!(overflowed, ExactSum::OVERFLOWED);
}

proptest! {
    #[test]
    fn any_order_and_split(
        mut values in prop::collection::vec(value(), 0..60),
        cut in any::<prop::sample::Index>(),
        swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..60),
    ) {
        let whole = sum(&values);
        let oracle = Oracle::of(&values);
        let rounded = whole.get().unwrap();
        prop_assert!(oracle.is_nearest(rounded), "{rounded:e} of {values:?}");
        let length = values.len();
        if length > 0 {
            swaps.iter().for_each(|(a, b)| values.swap(a.index(length), b.index(length)));
        }
        let (left, right) = values.split_at(cut.index(values.len() + 1));
        let mut merged = sum(right);
        merged.merge(&sum(left));
        prop_assert_eq!(&merged, &whole);
        prop_assert_eq!(bytes(&merged), bytes(&whole));
        let encoded = bytes(&whole);
        let mut reader = Reader::new(&encoded);
        prop_assert_eq!(ExactSum::decode(&mut reader), Ok(whole.clone()));
        prop_assert!(reader.is_empty());
        if let Some((fixed, carry)) = whole.former() {
            prop_assert_eq!(ExactSum::from_former(fixed, carry), Some(whole));
        }
    }

    #[test]
    fn any_bytes_are_a_sum_or_an_error(fixed: i128, carry in -9i64..9, used in 0u8..18, rest: Vec<u8>) {
        let mut out = Vec::new();
        put_i128(&mut out, fixed);
        put_i64(&mut out, carry);
        out.push(used);
        out.extend(rest);
        let mut reader = Reader::new(&out);
        if let Ok(read) = ExactSum::decode(&mut reader) {
            prop_assert_eq!(bytes(&read), &out[..out.len() - reader.rest().len()]);
            prop_assert!(read.get().unwrap().is_finite());
        }
    }
}
