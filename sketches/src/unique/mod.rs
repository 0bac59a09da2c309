//! How many distinct values were seen. Values come in as [`Coupon`]s; up to
//! 3/16 · 2^log2m distinct coupons are kept as they are (no more memory than registers
//! would need), beyond that only the registers of a HyperLogLog sketch.
//!
//! Which of the two it is depends on the content alone, never on the order of updates
//! and merges: on the number of distinct coupons, and the least log2m that took part.

mod batch;
mod coupon;
mod encoding;
mod estimate;
mod set;
mod storage;

pub use batch::insert_batch;
pub(crate) use coupon::Shape;
pub use coupon::{Coupon, Family};
pub use estimate::Estimate;
use storage::{Boxed, FREE, Storage, View, Word};

/// The least and greatest log2m.
pub const LOG2M: std::ops::RangeInclusive<u8> = 4..=18;

/// A count of distinct values: 16 bytes, and no heap up to three values.
#[derive(Clone)]
pub struct Unique(Storage);

/// The most distinct coupons that are kept as coupons: as many as fill three quarters of
/// a hash set that is as large as the registers.
#[inline]
pub(crate) fn most_coupons(log2m: u8) -> usize {
    ((3 << log2m) / 16usize).max(3)
}

impl Unique {
    /// No values yet, of the family [`Family::Ak`]; 2^`log2m` registers once it has become
    /// dense. The standard error is then 1.04 / √2^`log2m`: 0.81 % for 14.
    ///
    /// # Panics
    /// Where `log2m` is not one of [`LOG2M`].
    pub fn new(log2m: u8) -> Self {
        Self::with_family(Family::Ak, log2m)
    }

    /// As [`Unique::new`], of a family.
    ///
    /// # Panics
    /// Where `log2m` is not one of [`LOG2M`].
    pub fn with_family(family: Family, log2m: u8) -> Self {
        assert!(LOG2M.contains(&log2m), "log2m is {log2m}, not 4 to 18");
        Self(Storage::empty(Shape::new(family, log2m)))
    }

    /// Counts the value of `coupon`, which must be of the same family.
    #[inline]
    pub fn insert(&mut self, coupon: Coupon) {
        self.insert_bits(coupon.to_bits());
    }

    /// Counts the values of `other` as well. Of different log2m, the lesser remains.
    ///
    /// # Panics
    /// Where the families differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.family(), other.family(), "the families of two unique counts differ");
        self.fold(other.log2m());
        match other.0.view() {
            View::Coupons { places, .. } => self.insert_places(places),
            View::Registers(registers) => {
                self.make_registers();
                self.merge_registers(other.shape(), registers);
            }
        }
    }

    /// Reduces to 2^`log2m` registers if there are more; what it counted stays counted.
    pub fn fold(&mut self, log2m: u8) {
        if log2m >= self.log2m() {
            return;
        }
        let mut folded = Self::with_family(self.family(), log2m);
        match self.0.view() {
            View::Coupons { places, .. } => folded.insert_places(places),
            View::Registers(registers) => {
                folded.make_registers();
                folded.merge_registers(self.shape(), registers);
            }
        }
        *self = folded;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Storage::Inline { len: 0, .. })
    }

    /// The binary logarithm of the number of registers.
    pub fn log2m(&self) -> u8 {
        self.shape().log2m()
    }

    /// Whose coupons it takes.
    pub fn family(&self) -> Family {
        self.shape().family()
    }

    /// The number of distinct coupons, as long as they are kept; `None` once dense.
    pub fn coupons(&self) -> Option<u32> {
        match self.0.view() {
            View::Coupons { len, .. } => Some(len),
            View::Registers(_) => None,
        }
    }

    /// Bytes on the heap; the sketch itself is 16 more.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// What it holds.
    pub(crate) fn content(&self) -> Content<'_> {
        match self.0.view() {
            View::Coupons { len, places, .. } => {
                let mut sorted = Vec::with_capacity(len as usize);
                sorted.extend(coupons(places));
                sorted.sort_unstable();
                Content::Coupons(sorted)
            }
            View::Registers(registers) => Content::Registers(registers),
        }
    }

    /// Its family and log2m, and whether it has registers.
    pub(crate) fn shape(&self) -> Shape {
        self.0.shape()
    }

    /// Registers of zero, to be filled, in place of what it holds.
    pub(crate) fn fresh_registers(&mut self) -> &mut [u8] {
        self.0 = Storage::registers(self.shape());
        self.registers_mut().unwrap_or_default()
    }

    /// The registers, if it has any.
    fn registers_mut(&mut self) -> Option<&mut [u8]> {
        self.0.boxed_mut().filter(|b| b.shape.is_dense()).map(|b| b.words.as_flattened_mut())
    }

    /// Counts a coupon.
    #[inline]
    fn insert_bits(&mut self, bits: u32) {
        let Some(Boxed { shape, len, words }) = self.0.boxed_mut() else {
            return self.insert_inline(bits);
        };
        if shape.is_dense() {
            raise(words.as_flattened_mut(), shape, bits);
        } else if let Err(set::Full) = set::insert(shape, words, len, bits) {
            self.grow(bits);
        }
    }

    /// Counts the coupons in `places`, of which some may be free.
    fn insert_places(&mut self, places: &[Word]) {
        coupons(places).for_each(|bits| self.insert_bits(bits));
    }

    /// As long as the coupons fit into the sketch itself.
    #[inline]
    fn insert_inline(&mut self, bits: u32) {
        if let Storage::Inline { len, places, .. } = &mut self.0 {
            if places.contains(&bits.to_le_bytes()) {
                return;
            }
            if let Some(place) = places.get_mut(usize::from(*len)) {
                *place = bits.to_le_bytes();
                *len += 1;
                return;
            }
        }
        self.grow(bits);
    }

    /// Moves the coupons to a longer box, or turns them into registers, and inserts `bits`,
    /// which is known to be new.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, bits: u32) {
        let View::Coupons { len, places } = self.0.view() else { return };
        let shape = self.shape();
        if len as usize >= most_coupons(shape.log2m()) {
            self.make_registers();
            return self.insert_bits(bits);
        }
        let mut longer = Storage::with_room(shape, len as usize);
        if let Some(Boxed { shape, len: new_len, words }) = longer.boxed_mut() {
            let places = if shape.is_hashed() { places } else { &places[..len as usize] };
            set::fill(shape, words, places, bits);
            *new_len = len + 1;
        }
        self.0 = longer;
    }

    /// Turns coupons into registers.
    pub(crate) fn make_registers(&mut self) {
        if let View::Coupons { places, .. } = self.0.view() {
            let mut dense = Self(Storage::registers(self.shape()));
            dense.insert_places(places);
            *self = dense;
        }
    }

    /// Raises its registers to those of a sketch of its family and at least its log2m.
    fn merge_registers(&mut self, theirs: Shape, registers: &[u8]) {
        let log2m = self.log2m();
        if let Some(mine) = self.registers_mut() {
            for (part, registers) in registers.chunks_exact(mine.len()).enumerate() {
                merge_part(mine, log2m, registers, theirs, part);
            }
        }
    }
}

/// The content of a sketch in its canonical form.
pub(crate) enum Content<'a> {
    /// Ascending.
    Coupons(Vec<u32>),
    /// 2^log2m of them.
    Registers(&'a [u8]),
}

/// The coupons in `places`, of which some may be free.
fn coupons(places: &[Word]) -> impl Iterator<Item = u32> {
    places.iter().filter(|&&place| place != FREE).map(|&place| u32::from_le_bytes(place))
}

/// Raises the register of a coupon.
#[inline]
fn raise(registers: &mut [u8], shape: Shape, bits: u32) {
    let (index, value) = shape.register(bits);
    let register = &mut registers[index];
    *register = value.max(*register);
}

/// Raises `mine` to one part of as many registers of `theirs`.
fn merge_part(mine: &mut [u8], log2m: u8, registers: &[u8], theirs: Shape, part: usize) {
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

impl PartialEq for Unique {
    /// Equal content, in whatever order it came.
    fn eq(&self, other: &Self) -> bool {
        self.family() == other.family()
            && self.log2m() == other.log2m()
            && match (self.content(), other.content()) {
                (Content::Coupons(a), Content::Coupons(b)) => a == b,
                (Content::Registers(a), Content::Registers(b)) => a == b,
                _ => false,
            }
    }
}

impl Eq for Unique {}

impl std::fmt::Debug for Unique {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unique")
            .field("family", &self.family())
            .field("log2m", &self.log2m())
            .field("coupons", &self.coupons())
            .field("estimate", &self.estimate().value)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The definition, slowly: a set of coupons, and the least log2m.
    fn model(log2m: u8, hashes: &[u64]) -> (Option<BTreeSet<u32>>, Vec<u8>) {
        let coupons: BTreeSet<u32> =
            hashes.iter().map(|&hash| Coupon::of_hash(hash).to_bits()).collect();
        let mut registers = vec![0u8; 1 << log2m];
        for &bits in &coupons {
            raise(&mut registers, Shape::new(Family::Ak, log2m), bits);
        }
        ((coupons.len() <= most_coupons(log2m)).then_some(coupons), registers)
    }

    fn of(log2m: u8, hashes: &[u64]) -> Unique {
        let mut unique = Unique::new(log2m);
        hashes.iter().for_each(|&hash| unique.insert(Coupon::of_hash(hash)));
        unique
    }

    fn bytes(unique: &Unique) -> Vec<u8> {
        let mut out = Vec::new();
        unique.encode(&mut out);
        out
    }

    fn check(unique: &Unique, log2m: u8, hashes: &[u64]) {
        let (coupons, registers) = model(log2m, hashes);
        match (unique.content(), coupons) {
            (Content::Coupons(mine), Some(coupons)) => {
                assert_eq!(mine, coupons.into_iter().collect::<Vec<_>>());
            }
            (Content::Registers(mine), None) => assert_eq!(mine, registers),
            _ => panic!("coupons and registers are kept at other sizes than promised"),
        }
        assert_eq!(bytes(unique), bytes(&of(log2m, hashes)));
        assert_eq!(&Unique::decode(&bytes(unique)).unwrap(), unique);
    }

    #[test]
    fn sixteen_bytes_and_no_heap_up_to_three() {
        assert_eq!(size_of::<Unique>(), 16);
        let mut unique = Unique::new(14);
        assert!(unique.is_empty());
        for value in [1, 2, 3, 3, 2, 1] {
            unique.insert(Coupon::of_i64(value));
            assert_eq!(unique.heap_bytes(), 0);
        }
        unique.insert(Coupon::of_i64(4));
        assert_eq!(unique.heap_bytes(), 32);
        assert_eq!(unique.estimate().value, 4.0);
    }

    #[test]
    fn memory_never_exceeds_the_registers() {
        for log2m in LOG2M {
            let mut unique = Unique::new(log2m);
            for value in 0..1i64 << log2m {
                unique.insert(Coupon::of_i64(value));
                assert!(unique.heap_bytes() <= (1 << log2m), "{log2m}: {value}");
            }
            assert_eq!(unique.coupons(), None);
        }
    }

    proptest! {
        #[test]
        fn any_order_any_split_any_log2m(
            seed: u64,
            sizes in proptest::collection::vec((4u8..=12, 0usize..1500), 1..5),
        ) {
            // Values overlap between the parts, because their range is short.
            let mut state = seed | 1;
            let mut hash = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                crate::hash::murmur3_x64_128(&(state >> 53).to_le_bytes(), 0).0
            };
            let parts: Vec<(u8, Vec<u64>)> = sizes
                .into_iter()
                .map(|(log2m, size)| (log2m, (0..size).map(|_| hash()).collect()))
                .collect();
            let least = parts.iter().map(|part| part.0).min().unwrap();
            let all: Vec<u64> = parts.iter().flat_map(|part| part.1.clone()).collect();
            let mut forward = Unique::new(18);
            let mut backward = Unique::new(18);
            let mut encoded = Unique::new(18);
            for (log2m, hashes) in &parts {
                forward.merge(&of(*log2m, hashes));
                encoded.merge_encoded(&bytes(&of(*log2m, hashes))).unwrap();
            }
            for (log2m, hashes) in parts.iter().rev() {
                backward.merge(&of(*log2m, hashes));
            }
            check(&forward, least, &all);
            check(&backward, least, &all);
            check(&encoded, least, &all);
        }
    }

    #[test]
    fn large_sets_in_any_order() {
        for count in [3071, 3072, 3073, 20_000u64] {
            let hashes: Vec<u64> = (0..count)
                .map(|value| crate::hash::murmur3_x64_128(&value.to_le_bytes(), 0).0)
                .collect();
            let (left, right) = hashes.split_at(hashes.len() / 3);
            let mut merged = of(14, right);
            merged.merge(&of(14, left));
            check(&merged, 14, &hashes);
            let estimate = merged.estimate();
            let reach = 4.0 * estimate.std_error + 1e-9;
            assert!((estimate.value - count as f64).abs() < reach, "{count}: {estimate:?}");
        }
    }
}
