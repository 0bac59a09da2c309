//! The rows of one summary and one day that belong to one shard: a hash table of row
//! numbers over growing storage. Rows are never removed one by one.
//!
//! A slot is one word: row number + 1 in the upper half, 32 bits of the key's hash in the
//! lower; 0 is empty. The table doubles from the slots alone, without touching a row.

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
    slots: Vec<u64>,
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
            slots: vec![0; 16],
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
        let index = self.slots.capacity() * 8 + self.dirty.capacity() * 4;
        self.rows.bytes() + self.keys.bytes() + index + self.heap_bytes
    }

    /// A row's key.
    pub fn key(&self, row: u32) -> &[u8] {
        self.keys.get(self.rows.words(row))
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
    pub fn reserve(&mut self, more: usize) {
        // At most three quarters full.
        let needed = (self.rows.len() as usize + more) * 4 / 3;
        if needed < self.slots.len() {
            return;
        }
        let mut slots = vec![0; needed.next_power_of_two() * 2];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|&&s| s != 0) {
            let mut at = slot as u32 as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }

    /// Starts to fetch the slot where a key would be.
    #[inline]
    pub fn fetch_slot(&self, hash: u32) {
        prefetch(&self.slots[hash as usize & (self.slots.len() - 1)]);
    }

    /// The first row whose key may have this hash, or [`NONE`]; starts to fetch it.
    #[inline]
    pub fn candidate(&self, hash: u32) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => return NONE,
                slot if slot as u32 == hash => {
                    let row = (slot >> 32) as u32 - 1;
                    self.rows.prefetch(row);
                    return row;
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// The row of a key.
    #[inline]
    pub fn find(&self, hash: u32, key: SoughtKey<'_>) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => return None,
                slot if slot as u32 == hash => {
                    let row = (slot >> 32) as u32 - 1;
                    if self.has_key(row, key) {
                        return Some(row);
                    }
                }
                _ => {}
            }
            at = (at + 1) & mask;
        }
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
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = u64::from(row + 1) << 32 | u64::from(hash);
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
        row
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

/// A mark word with another epoch.
#[inline]
fn with_epoch(mark: u64, epoch: u16) -> u64 {
    mark & ((1 << EPOCH_SHIFT) - 1) | u64::from(epoch) << EPOCH_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn table() -> Table {
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
