//! Updates of many sketches at once. With millions of sketches, each update waits for two
//! places of memory that are in no cache: the sketch, and the box it points to. Reading
//! them for a few updates ahead, before any is changed, lets the processor wait for all of
//! them at the same time.

use super::{Coupon, Unique, View, set};

/// Updates whose memory is read before the first of them is made: enough to keep all of a
/// core's outstanding reads busy, few enough to stay in its nearest cache.
const AHEAD: usize = 32;

impl Unique {
    /// Reads what [`Unique::insert`] of `coupon` would read first, and returns some of it:
    /// worth calling only so that the memory is near later.
    #[inline]
    pub fn touch(&self, coupon: Coupon) -> u32 {
        match self.0.view() {
            View::Coupons { places, .. } => set::touch(self.shape(), places, coupon.to_bits()),
            View::Registers(registers) => {
                u32::from(registers[self.shape().register(coupon.to_bits()).0])
            }
        }
    }
}

/// Inserts `coupons[i]` into `sketches[rows[i]]`, for each i in turn.
///
/// # Panics
/// Where there are fewer coupons than rows, or a row is not one of the sketches.
pub fn insert_batch(sketches: &mut [Unique], rows: &[u32], coupons: &[Coupon]) {
    assert!(coupons.len() >= rows.len(), "each row needs its coupon");
    for (rows, coupons) in rows.chunks(AHEAD).zip(coupons.chunks(AHEAD)) {
        let mut near = 0;
        for &row in rows {
            near ^= u32::from(sketches[row as usize].is_empty());
        }
        for (&row, &coupon) in rows.iter().zip(coupons) {
            near ^= sketches[row as usize].touch(coupon);
        }
        std::hint::black_box(near);
        for (&row, &coupon) in rows.iter().zip(coupons) {
            sketches[row as usize].insert(coupon);
        }
    }
}
