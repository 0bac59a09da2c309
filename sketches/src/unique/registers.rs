//! The registers of a HyperLogLog sketch: raised by a coupon, or by those of another sketch.

use super::{Family, Shape};

/// Raises the register of a coupon.
#[inline]
pub(super) fn raise(registers: &mut [u8], shape: Shape, bits: u32) {
    let (index, value) = shape.register(bits);
    let register = &mut registers[index];
    *register = value.max(*register);
}

/// Raises `mine` to one part of as many registers of `theirs`.
pub(super) fn merge_part(mine: &mut [u8], log2m: u8, registers: &[u8], theirs: Shape, part: usize) {
    let raise = |mine: &mut [u8], fold: &dyn Fn(u8) -> u8| {
        let folded: [u8; 64] = std::array::from_fn(|value| fold(value as u8));
        for (mine, &register) in mine.iter_mut().zip(registers) {
            *mine = folded[usize::from(register & 63)].max(*mine);
        }
    };
    match theirs.family() {
        _ if theirs.log2m() == log2m => max_in_place(mine, registers),
        Family::DataSketches => max_in_place(mine, registers),
        // The bits of a register's number beyond the lesser log2m belong to the rank: they
        // tell it, or if none is set they come before it.
        Family::Ak if part > 0 => {
            let rank = part.trailing_zeros() as u8 + 1;
            raise(mine, &|value| if value == 0 { 0 } else { rank });
        }
        Family::Ak => {
            let zeros = theirs.log2m() - log2m;
            raise(mine, &|value| if value == 0 { 0 } else { value + zeros });
        }
    }
}

/// Raises each of `mine` to its counterpart.
fn max_in_place(mine: &mut [u8], theirs: &[u8]) {
    for (mine, &theirs) in mine.iter_mut().zip(theirs) {
        *mine = theirs.max(*mine);
    }
}
