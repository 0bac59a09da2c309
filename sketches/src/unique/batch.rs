//! Updates of many sketches at once. With millions of sketches, an update waits for two
//! places of memory that are in no cache, the sketch and its box, and for a guess of the
//! processor about what kind of sketch it is, which is mostly wrong. So a batch is first
//! split by kind, which reads all sketches without a branch, and then updated kind by
//! kind, where every guess is right and the boxes of many sketches are read at once.

use super::{Coupon, Unique};

/// Updates that are split at once: their rows and coupons stay in the nearest cache.
const SPLIT: usize = 1024;

/// Boxes that are read before the first of them is changed.
const NEAR: usize = 32;

/// Inserts `coupons[i]` into `sketches[rows[i]]`, for each i, in any order.
///
/// # Panics
/// Where there are fewer coupons than rows, or a row is not one of the sketches.
pub fn insert_batch(sketches: &mut [Unique], rows: &[u32], coupons: &[Coupon]) {
    assert!(coupons.len() >= rows.len(), "each row needs its coupon");
    let mut kinds = [[0u16; SPLIT]; 4];
    for (rows, coupons) in rows.chunks(SPLIT).zip(coupons.chunks(SPLIT)) {
        let mut lengths = [0; 4];
        for (at, &row) in (0u16..).zip(rows) {
            let kind = sketches[row as usize].0.kind();
            kinds[kind][lengths[kind]] = at;
            lengths[kind] += 1;
        }
        for (kind, length) in kinds.iter().zip(lengths) {
            for some in kind[..length].chunks(NEAR) {
                for &at in some {
                    let (row, coupon) = (rows[usize::from(at)], coupons[usize::from(at)]);
                    sketches[row as usize].prefetch(coupon);
                }
                for &at in some {
                    let (row, coupon) = (rows[usize::from(at)], coupons[usize::from(at)]);
                    sketches[row as usize].insert(coupon);
                }
            }
        }
    }
}
