//! A set of coupons in a slice whose free places are zeros: a list up to 64 places,
//! looked through from end to end, and beyond that a hash set of groups of 16 places.
//! A group fills from its front, and what finds its group full goes to the next.
//!
//! Lists are short and groups are a cache line so that each is compared as a whole,
//! without a branch per place.

use super::coupon::{Coupon, Shape};
use super::most_coupons;
use super::storage::{FREE, Word, room_of_set};

/// Inserts coupons and counts them in `len`, unless they are there already. Gives the place of the
/// first for which there is no room: a set of as many coupons as are kept is full as well.
#[inline]
pub(super) fn insert_all(
    shape: Shape,
    places: &mut [Word],
    len: &mut u32,
    coupons: &[Coupon],
) -> Option<usize> {
    let most = most_coupons(shape.log2m());
    if shape.is_hashed() {
        let limit = room_of_set(places.len()).min(most);
        let groups = places.as_chunks_mut::<16>().0;
        coupons.iter().position(|coupon| !insert_hashed(groups, len, limit, coupon.to_bits()))
    } else {
        let limit = places.len().min(most);
        coupons.iter().position(|coupon| !insert_listed(places, len, limit, coupon.to_bits()))
    }
}

/// Whether `bits` are in the list now.
#[inline(always)]
fn insert_listed(places: &mut [Word], len: &mut u32, limit: usize, bits: u32) -> bool {
    if list_contains(places, bits) {
        return true;
    }
    let has_room = (*len as usize) < limit;
    if has_room {
        places[*len as usize] = bits.to_le_bytes();
        *len += 1;
    }
    has_room
}

/// Whether `bits` are in the hash set now.
#[inline(always)]
fn insert_hashed(groups: &mut [[Word; 16]], len: &mut u32, limit: usize, bits: u32) -> bool {
    let mut at = home(bits, groups.len());
    loop {
        let group = &mut groups[at];
        let (mut found, mut used) = (false, 0);
        for &place in group.iter() {
            found |= u32::from_le_bytes(place) == bits;
            used += u32::from(place != FREE);
        }
        if found {
            return true;
        }
        if let Some(place) = group.get_mut(used as usize) {
            let has_room = (*len as usize) < limit;
            if has_room {
                *place = bits.to_le_bytes();
                *len += 1;
            }
            return has_room;
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
