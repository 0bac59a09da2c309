//! Floating-point values as integers of 2⁻⁶⁴, so that their sum does not depend on the
//! order in which they were added. `f64` in, `i128` out, and back.

/// The lowest magnitude that is refused: 2⁴⁰. 2²³ values below it are sure to fit an `i128`.
pub const LIMIT: f64 = (1u64 << 40) as f64;

/// The value of one unit, 2⁻⁶⁴.
const UNIT: f64 = 1.0 / (1u128 << 64) as f64;

/// `value` in units of 2⁻⁶⁴; what lies below one unit is rounded half to even.
///
/// `None` for NaN, the infinities and magnitudes of 2⁴⁰ and above.
#[inline]
pub fn to_fixed(value: f64) -> Option<i128> {
    if value.is_nan() || value.abs() >= LIMIT {
        return None;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let mantissa = bits & ((1 << 52) - 1);
    // value = whole · 2^shift · 2⁻⁶⁴
    let (whole, shift) = match exponent {
        0 => (mantissa, -1074 + 64),
        _ => (mantissa | 1 << 52, exponent - 1075 + 64),
    };
    let magnitude = if shift >= 0 {
        i128::from(whole) << shift
    } else if shift < -54 {
        0
    } else {
        let down = shift.unsigned_abs();
        let (kept, lost, half) = (whole >> down, whole & ((1 << down) - 1), 1 << (down - 1));
        i128::from(kept + u64::from(lost > half || (lost == half && kept & 1 == 1)))
    };
    Some(if bits >> 63 == 1 { -magnitude } else { magnitude })
}

/// The `f64` nearest to `fixed` units of 2⁻⁶⁴, ties to even.
#[inline]
pub fn to_f64(fixed: i128) -> f64 {
    // The conversion rounds to nearest, ties to even; the product is exact, because no
    // i128 is small enough to leave the range of normal numbers.
    fixed as f64 * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(to_fixed(1.0), Some(1 << 64));
        assert_eq!(to_fixed(-0.5), Some(-(1 << 63)));
        assert_eq!(to_fixed(-0.0), Some(0));
        assert_eq!(to_fixed(LIMIT.next_down()), Some(((1i128 << 53) - 1) << 51));
        for refused in [LIMIT, -LIMIT, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(to_fixed(refused), None);
        }
        assert_eq!(to_f64(3 << 63), 1.5);
        assert_eq!(to_f64(i128::MIN), -(2f64.powi(63)));
        assert_eq!(to_f64(1), UNIT);
    }

    #[test]
    fn halves_of_a_unit_go_to_even() {
        let half = UNIT / 2.0;
        for (units, fixed) in
            [(1.0, 0), (2.0, 1), (3.0, 2), (5.0, 2), (7.0, 4), (1.0 + f64::EPSILON, 1)]
        {
            assert_eq!(to_fixed(units * half), Some(fixed), "{units} halves");
            assert_eq!(to_fixed(-units * half), Some(-fixed), "-{units} halves");
        }
        assert_eq!(to_fixed(half.next_down()), Some(0));
        assert_eq!(to_fixed(f64::MIN_POSITIVE), Some(0));
        assert_eq!(to_fixed(f64::from_bits(1)), Some(0));
    }

    proptest! {
        #[test]
        fn exact_where_a_unit_can_tell(whole in -(1i64 << 52)..1 << 52, down in 13u32..64) {
            let value = whole as f64 / (1u64 << down) as f64;
            prop_assert_eq!(to_fixed(value), Some(i128::from(whole) << (64 - down)));
            prop_assert_eq!(to_f64(i128::from(whole) << (64 - down)), value);
        }

        #[test]
        fn within_half_a_unit(value in -1e-3..1e-3f64) {
            let back = to_f64(to_fixed(value).unwrap());
            prop_assert!((back - value).abs() <= UNIT / 2.0);
        }
    }
}
