//! A set of coupons in a slice whose free places are zeros: a list up to 64 places,
//! looked through from end to end, and beyond that a hash set of groups of 16 places.
//! A group fills from its front, and what finds its group full goes to the next.
//!
//! Lists are short and groups are a cache line so that each is compared as a whole,
//! without a branch per place.

use super::coupon::Shape;
use super::most_coupons;
use super::storage::{FREE, Word, room_of_set};

/// The set has no room for one more coupon.
pub(super) struct Full;

/// Inserts `bits` and counts it in `len`, unless it is there already. Full is also a set
/// of as many coupons as are kept.
#[inline]
pub(super) fn insert(
    shape: Shape,
    places: &mut [Word],
    len: &mut u32,
    bits: u32,
) -> Result<(), Full> {
    let most = most_coupons(shape.log2m());
    if !shape.is_hashed() {
        let limit = places.len().min(most);
        if list_contains(places, bits) {
            return Ok(());
        }
        if *len as usize >= limit {
            return Err(Full);
        }
        places[*len as usize] = bits.to_le_bytes();
        *len += 1;
        return Ok(());
    }
    let limit = room_of_set(places.len()).min(most);
    let groups = places.as_chunks_mut::<16>().0;
    let mut at = home(bits, groups.len());
    loop {
        let group = &mut groups[at];
        let (mut found, mut used) = (false, 0);
        for &place in group.iter() {
            found |= u32::from_le_bytes(place) == bits;
            used += u32::from(place != FREE);
        }
        if found {
            return Ok(());
        }
        if let Some(place) = group.get_mut(used as usize) {
            if *len as usize >= limit {
                return Err(Full);
            }
            *place = bits.to_le_bytes();
            *len += 1;
            return Ok(());
        }
        at = if at + 1 == groups.len() { 0 } else { at + 1 };
    }
}

/// Fills an empty set, which is long enough, with the coupons in `places`, of which some
/// may be free, and `bits`. All are known to differ, so none is looked up; a list takes
/// places without free ones as they are.
pub(super) fn fill(shape: Shape, set: &mut [Word], places: &[Word], bits: u32) {
    if !shape.is_hashed() {
        set[..places.len()].copy_from_slice(places);
        set[places.len()] = bits.to_le_bytes();
        return;
    }
    let groups = set.as_chunks_mut::<16>().0;
    let new = [bits.to_le_bytes()];
    for &coupon in places.iter().chain(&new).filter(|&&place| place != FREE) {
        let mut at = home(u32::from_le_bytes(coupon), groups.len());
        loop {
            let used = groups[at].iter().map(|&place| u32::from(place != FREE)).sum::<u32>();
            if let Some(place) = groups[at].get_mut(used as usize) {
                *place = coupon;
                break;
            }
            at = if at + 1 == groups.len() { 0 } else { at + 1 };
        }
    }
}

/// Whether a list, its free places included, holds `bits`.
#[inline]
fn list_contains(places: &[Word], bits: u32) -> bool {
    places.as_chunks::<8>().0.iter().any(|eight| {
        let mut found = false;
        for &place in eight {
            found |= u32::from_le_bytes(place) == bits;
        }
        found
    })
}

/// The group where the search for `bits` starts. The multiplier depends on the number of
/// groups: with the same one, a set moved in the order of its places to a longer set
/// would crowd one region of it after the other.
#[inline]
pub(super) fn home(bits: u32, groups: usize) -> usize {
    let multiplier = 0x9E37_79B1u32.wrapping_mul(2 * groups as u32 + 1);
    ((u64::from(bits.wrapping_mul(multiplier)) * groups as u64) >> 32) as usize
}
