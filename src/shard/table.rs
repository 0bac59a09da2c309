//! The rows of one summary and one day that belong to one shard: a hash table of row
//! numbers over growing storage. Rows are never removed one by one.
//!
//! A slot is one word: row number + 1 in the upper half, 32 bits of the key's hash in the
//! lower; 0 is empty. The slots grow without touching a row, and not all at once: a large table
//! takes its rows over a part with each batch, and as long as it does both generations of slots are
//! looked into.

use std::sync::Arc;

use sketches::prefetch::prefetch;
use sketches::quantile::Quantile;
use sketches::sum::Fraction;
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::Unique;

use super::keys::{Keys, SoughtKey};
use super::rows::{Counts, NewRow, Rows};
use crate::row::layout::MARK_WORD;
use crate::row::{Buffer, Layout, RowMut, RowView};

/// Bits of the mark word that the table uses, above those of the aggregates.
const EPOCH_SHIFT: u32 = 48;

/// No row.
pub const NONE: u32 = u32::MAX;

/// Slots of a table that are taken over at once; of a larger one, this many for each row that room
/// is made for. Much less would do: as many slots as there are, at least, come before the next
/// growth.
const SLOTS_AT_ONCE: usize = 1 << 12;
const SLOTS_PER_ROW: usize = 16;

/// Rows of one summary and day.
pub struct Table {
    /// Where states lie.
    pub layout: Arc<Layout>,
    /// Whether rows hold only what changed since the day left memory: then the store has
    /// the rest.
    pub partial: bool,
    /// Number of the batch that changed it last.
    pub last_batch: u64,
    pub(super) rows: Rows,
    /// Heap bytes of sketches, fractions and texts.
    pub(super) heap_bytes: usize,
    keys: Keys,
    /// Bytes that all keys begin with.
    shared_key_bytes: usize,
    slots: Vec<u64>,
    /// The slots before the last growth, all of them as they were, and how many have been taken
    /// over.
    old_slots: Vec<u64>,
    taken_over: usize,
    dirty: Vec<u32>,
    epoch: u16,
}

impl Table {
    /// No rows yet.
    pub fn new(layout: Arc<Layout>, partial: bool) -> Self {
        Self {
            rows: Rows::new(Counts {
                words: layout.words,
                uniques: layout.uniques.len(),
                thetas: layout.thetas.len(),
                tops: layout.tops.len(),
                quantiles: layout.quantiles.len(),
                buffers: layout.buffers(),
                fractions: layout.fractions,
                texts: layout.texts,
            }),
            layout,
            partial,
            last_batch: 0,
            heap_bytes: 0,
            keys: Keys::default(),
            shared_key_bytes: 0,
            slots: vec![0; 16],
            old_slots: Vec::new(),
            taken_over: 0,
            dirty: Vec::new(),
            epoch: 1,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.capacity() + self.old_slots.capacity();
        let index = slots * 8 + self.dirty.capacity() * 4;
        self.rows.bytes() + self.keys.bytes() + index + self.heap_bytes
    }

    /// A row's key.
    pub fn key(&self, row: u32) -> &[u8] {
        self.keys.get(self.rows.words(row))
    }

    /// How many bytes all keys begin with.
    pub fn shared_key_bytes(&self) -> usize {
        self.shared_key_bytes
    }

    /// A row.
    pub fn row(&self, row: u32) -> RowView<'_> {
        self.rows.view(row)
    }

    /// A row, to be changed.
    pub fn row_mut(&mut self, row: u32) -> RowMut<'_> {
        self.rows.view_mut(row)
    }

    /// Makes room for `more` rows, so that no insert of theirs has to.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if !self.old_slots.is_empty() {
            self.take_over(more.saturating_mul(SLOTS_PER_ROW));
        }
        // At most three quarters full.
        let needed = (self.rows.len() as usize + more) * 4 / 3;
        if needed >= self.slots.len() {
            self.grow(needed);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.take_over(usize::MAX);
        let slots = vec![0; needed.next_power_of_two() * 2];
        self.old_slots = std::mem::replace(&mut self.slots, slots);
        self.take_over(SLOTS_AT_ONCE);
    }

    /// Takes over so many more of the old slots.
    fn take_over(&mut self, more: usize) {
        let end = self.old_slots.len().min(self.taken_over.saturating_add(more));
        for &slot in self.old_slots[self.taken_over..end].iter().filter(|&&slot| slot != 0) {
            put(&mut self.slots, slot);
        }
        self.taken_over = end;
        if end == self.old_slots.len() {
            (self.old_slots, self.taken_over) = (Vec::new(), 0);
        }
    }

    /// Starts to fetch the slot where a key would be.
    #[inline]
    pub fn fetch_slot(&self, hash: u32) {
        prefetch(&self.slots[hash as usize & (self.slots.len() - 1)]);
        if !self.old_slots.is_empty() {
            prefetch(&self.old_slots[hash as usize & (self.old_slots.len() - 1)]);
        }
    }

    /// The first row whose key may have this hash, or [`NONE`]; starts to fetch it.
    #[inline]
    pub fn candidate(&self, hash: u32) -> u32 {
        let row = self.rows_of(hash).next().unwrap_or(NONE);
        if row != NONE {
            self.rows.prefetch(row);
        }
        row
    }

    /// The row of a key.
    #[inline]
    pub fn find(&self, hash: u32, key: SoughtKey<'_>) -> Option<u32> {
        self.rows_of(hash).find(|&row| self.has_key(row, key))
    }

    /// The rows whose keys have this hash; while old slots are taken over, some of them twice.
    #[inline]
    fn rows_of(&self, hash: u32) -> impl Iterator<Item = u32> {
        let old = (!self.old_slots.is_empty()).then(|| Probe::new(&self.old_slots, hash));
        Probe::new(&self.slots, hash).chain(old.into_iter().flatten())
    }

    /// Whether a row has a key; the hash decides nothing.
    #[inline]
    pub fn has_key(&self, row: u32, key: SoughtKey<'_>) -> bool {
        self.keys.is_of(self.rows.words(row), key)
    }

    /// Adds a row for a key that has none. There must be room ([`Table::reserve`]).
    ///
    /// # Panics
    /// Beyond 2^32 - 2 rows, which no memory limit admits.
    pub fn insert(&mut self, hash: u32, key: SoughtKey<'_>) -> u32 {
        let row = self.rows.len();
        assert!(row < NONE - 1, "a table of 2^32 rows");
        put(&mut self.slots, u64::from(row + 1) << 32 | u64::from(hash));
        let layout = &*self.layout;
        let words = [layout.defined].into_iter().chain(self.keys.push(key));
        self.rows.push(NewRow {
            words: words.chain(std::iter::repeat(0)),
            uniques: layout.uniques.iter().map(|&(f, log2m)| Unique::with_family(f, log2m)),
            quantiles: layout.quantiles.iter().map(|&kept| Quantile::new(kept)),
            buffers: std::iter::repeat_with(Buffer::default),
            fractions: std::iter::repeat(Fraction::NONE),
            texts: std::iter::repeat_with(Box::default),
            thetas: layout.thetas.iter().map(|&log2k| Theta::new(log2k)),
            tops: layout.tops.iter().map(|&k| Top::new(k)),
        });
        if !layout.tops.is_empty() {
            self.heap_bytes += self.rows.tops(row).iter().map(Top::heap_bytes).sum::<usize>();
        }
        self.note_key(row);
        row
    }

    /// Notes the key of a new row.
    fn note_key(&mut self, row: u32) {
        let key = self.key(row);
        let same = self.key(0).iter().zip(key).take_while(|(a, b)| a == b).count();
        self.shared_key_bytes = match row {
            0 => key.len(),
            _ => self.shared_key_bytes.min(same),
        };
    }

    /// The epoch in which a row was changed last; 0: not since it was stored.
    #[inline]
    pub fn epoch_of(&self, row: u32) -> u16 {
        (self.rows.words(row)[MARK_WORD] >> EPOCH_SHIFT) as u16
    }

    /// The epoch that changes now.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    fn set_epoch(&mut self, row: u32, epoch: u16) {
        let mark = &mut self.rows.words_mut(row)[MARK_WORD];
        *mark = with_epoch(*mark, epoch);
    }

    /// Notes that a row changes; gives its words. Aggregates that are younger than the row
    /// count in it from now on.
    #[inline]
    pub fn touch(&mut self, row: u32) -> &mut [u64] {
        let words = self.rows.words_mut(row);
        let mark = words[MARK_WORD];
        if (mark >> EPOCH_SHIFT) as u16 != self.epoch {
            words[MARK_WORD] = with_epoch(mark | self.layout.defined, self.epoch);
            self.dirty.push(row);
        }
        words
    }

    /// Notes that a row is stored as it is.
    pub fn clean(&mut self, row: u32) {
        self.set_epoch(row, 0);
    }

    /// Ends the epoch: gives the rows that changed in it, and the epoch.
    pub fn take_dirty(&mut self) -> (Vec<u32>, u16) {
        let ended = self.epoch;
        self.epoch = if ended == u16::MAX { 1 } else { ended + 1 };
        (std::mem::take(&mut self.dirty), ended)
    }

    /// The rows that changed since the last cut.
    pub fn dirty(&self) -> &[u32] {
        &self.dirty
    }
}

/// Puts a slot where it belongs.
#[inline]
fn put(slots: &mut [u64], slot: u64) {
    let mask = slots.len() - 1;
    let mut at = slot as u32 as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = slot;
}

/// The rows that some slots have for a hash.
struct Probe<'a> {
    slots: &'a [u64],
    hash: u32,
    at: usize,
}

impl<'a> Probe<'a> {
    #[inline]
    fn new(slots: &'a [u64], hash: u32) -> Self {
        Self { slots, hash, at: hash as usize & (slots.len() - 1) }
    }
}

impl Iterator for Probe<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let mask = self.slots.len() - 1;
        loop {
            let slot = self.slots[self.at];
            if slot == 0 {
                return None;
            }
            self.at = (self.at + 1) & mask;
            if slot as u32 == self.hash {
                return Some((slot >> 32) as u32 - 1);
            }
        }
    }
}

/// A mark word with another epoch.
#[inline]
fn with_epoch(mark: u64, epoch: u16) -> u64 {
    mark & ((1 << EPOCH_SHIFT) - 1) | u64::from(epoch) << EPOCH_SHIFT
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;

    /// A table of counts by texts of any bytes.
    pub(in crate::shard) fn table() -> Table {
        let text = r#"
            event = { time = { field = "t", format = "unix_s" } }
            field = [{ name = "a" }]
            summary = [{ name = "s", dimensions = ["a"], aggregates = [{ name = "n", count = true }] }]
        "#;
        let config = Config::parse(text, "test.toml".as_ref()).unwrap();
        let schema = &config.schema;
        let layout = Layout::new(schema, &schema.summaries[0], 1, vec![0]);
        Table::new(Arc::new(layout), false)
    }

    #[test]
    fn keys_with_equal_hashes_are_different_rows() {
        let mut table = table();
        let keys: Vec<Vec<u8>> = (0..3000u32).map(|i| i.to_be_bytes().to_vec()).collect();
        for (i, key) in keys.iter().enumerate() {
            table.reserve(1);
            // All hashes collide in three values.
            assert_eq!(table.find(i as u32 % 3, SoughtKey::new(key)), None);
            assert_eq!(table.insert(i as u32 % 3, SoughtKey::new(key)), i as u32);
            if i > 200 {
                continue;
            }
            for (j, key) in keys[..=i].iter().enumerate() {
                assert_eq!(table.find(j as u32 % 3, SoughtKey::new(key)), Some(j as u32));
            }
        }
        assert_eq!(table.find(0, SoughtKey::new(&keys[0][..3])), None);
        assert_eq!(table.key(2999), keys[2999]);
        assert!(table.bytes() > 3000 * 24);
    }

    #[test]
    fn every_row_is_found_while_slots_are_taken_over() {
        let mut table = table();
        // Many of the hashes collide, and many keys have the same hash.
        let hash = |at: u32| at.wrapping_mul(2_654_435_761) >> 12 & 0x3ffff;
        let key = |at: u32| at.to_be_bytes();
        let (mut while_both, mut growths) = (0, 0);
        for at in 0..200_000 {
            let slots = table.slots.len();
            table.reserve(1);
            growths += usize::from(table.slots.len() > slots);
            assert_eq!(table.find(hash(at), SoughtKey::new(&key(at))), None);
            assert_eq!(table.insert(hash(at), SoughtKey::new(&key(at))), at);
            if !table.old_slots.is_empty() {
                while_both += 1;
                for old in [at, at / 2, at.wrapping_mul(7_919) % (at + 1)] {
                    let candidate = table.candidate(hash(old));
                    assert_eq!(hash(candidate), hash(old));
                    assert_eq!(table.find(hash(old), SoughtKey::new(&key(old))), Some(old));
                }
            }
        }
        assert!(growths > 5 && while_both > 10_000, "{growths} growths, {while_both} between");
        // Room for many at once.
        table.reserve(1 << 20);
        table.reserve(1 << 22);
        for at in 0..200_000 {
            assert_eq!(table.find(hash(at), SoughtKey::new(&key(at))), Some(at));
        }
        table.reserve(1 << 20);
        assert!(table.old_slots.is_empty());
    }

    #[test]
    fn epochs_tell_what_changed() {
        let mut table = table();
        table.reserve(2);
        let (a, b) = (table.insert(1, SoughtKey::new(b"a")), table.insert(2, SoughtKey::new(b"b")));
        table.touch(a);
        table.touch(a);
        assert_eq!(table.take_dirty(), (vec![a], 1));
        table.touch(b);
        assert_eq!((table.epoch_of(a), table.epoch_of(b)), (1, 2));
        table.clean(a);
        assert_eq!(table.epoch_of(a), 0);
        assert_eq!(table.dirty(), [b]);
    }
}
