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
mod registers;
mod set;
mod storage;
#[cfg(test)]
mod tests;

pub use batch::insert_batch;
pub(crate) use coupon::Shape;
pub use coupon::{Coupon, Family};
pub use estimate::Estimate;
use registers::{merge_part, raise};
use storage::{Boxed, FREE, Storage, View, Word};

/// The least and greatest log2m.
pub const LOG2M: std::ops::RangeInclusive<u8> = 4..=18;

/// For so many coupons that are at hand, at most, room is made ahead.
const MOST_AHEAD: usize = 16;

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

    /// Counts the value of `coupon`, which must be of the same family. Gives by how many
    /// bytes its heap memory grew.
    #[inline]
    pub fn insert(&mut self, coupon: Coupon) -> usize {
        self.insert_all(&[coupon])
    }

    /// Counts the values of coupons, as [`Unique::insert`] does one by one.
    #[inline]
    pub fn insert_all(&mut self, mut coupons: &[Coupon]) -> usize {
        let mut growth = 0;
        loop {
            let taken = match self.0.boxed_mut() {
                None => coupons.iter().position(|&coupon| !self.insert_inline(coupon)),
                Some(Boxed { shape, words, .. }) if shape.is_dense() => {
                    let registers = words.as_flattened_mut();
                    coupons.iter().for_each(|coupon| raise(registers, shape, coupon.to_bits()));
                    return growth;
                }
                Some(Boxed { shape, len, words }) => set::insert_all(shape, words, len, coupons),
            };
            let Some(taken) = taken else { return growth };
            let more = &coupons[taken + 1..];
            growth += self.grow(coupons[taken], more.len().min(MOST_AHEAD));
            coupons = more;
        }
    }

    /// Asks for the memory that inserting `coupon` will read, once the sketch itself is near.
    #[inline]
    pub fn prefetch(&self, coupon: Coupon) {
        self.prefetch_all(&[coupon]);
    }

    /// As [`Unique::prefetch`], for many coupons.
    #[inline]
    pub fn prefetch_all(&self, coupons: &[Coupon]) {
        self.0.prefetch_all(coupons);
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

    /// Counts the values in `places`, of which some may be free.
    fn insert_places(&mut self, places: &[Word]) {
        for bits in coupons(places) {
            self.insert(Coupon::of_bits(bits));
        }
    }

    /// Counts a coupon, if it is there or fits into the sketch itself.
    #[inline]
    fn insert_inline(&mut self, coupon: Coupon) -> bool {
        let bits = coupon.to_bits();
        let Storage::Inline { len, places, .. } = &mut self.0 else { return false };
        if places.contains(&bits.to_le_bytes()) {
            return true;
        }
        let place = places.get_mut(usize::from(*len));
        let has_room = place.is_some();
        if let Some(place) = place {
            *place = bits.to_le_bytes();
            *len += 1;
        }
        has_room
    }

    /// Moves the coupons to a longer box with room for so many `more`, or turns them into
    /// registers, and inserts `coupon`, which is known to be new. Every step is to more memory;
    /// gives by how much.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, coupon: Coupon, more: usize) -> usize {
        let before = self.heap_bytes();
        let View::Coupons { len, places } = self.0.view() else { return 0 };
        let shape = self.shape();
        let most = most_coupons(shape.log2m());
        if len as usize >= most {
            self.make_registers();
            self.insert(coupon);
            return self.heap_bytes().saturating_sub(before);
        }
        let mut longer = Storage::with_room(shape, (len as usize + more).min(most - 1));
        if let Some(Boxed { shape, len: new_len, words }) = longer.boxed_mut() {
            let places = if shape.is_hashed() { places } else { &places[..len as usize] };
            set::fill(shape, words, places, coupon.to_bits());
            *new_len = len + 1;
        }
        self.0 = longer;
        self.heap_bytes() - before
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
fn coupons(places: &[Word]) -> impl Iterator<Item = u32> + Clone {
    places.iter().filter(|&&place| place != FREE).map(|&place| u32::from_le_bytes(place))
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
