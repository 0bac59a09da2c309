//! Byte strings in pages.

/// Bytes after which a new page of the arena begins.
const ARENA_PAGE_BYTES: usize = 64 << 10;

/// Bits of a place that hold the length, the offset and the page.
const LENGTH_BITS: u32 = 20;
const OFFSET_BITS: u32 = 20;

/// Byte strings that live as long as the table: the keys.
#[derive(Default)]
pub struct Arena {
    pages: Vec<Vec<u8>>,
    /// Bytes of all pages but the first, which grows.
    later_bytes: usize,
}

impl Arena {
    /// Appends a string; gives its place.
    ///
    /// # Panics
    /// Beyond 1 MiB, which the limits of dimensions exclude.
    pub fn push(&mut self, bytes: &[u8]) -> u64 {
        let length = bytes.len();
        assert!(length < 1 << LENGTH_BITS, "a key of {length} bytes");
        let fits = self.pages.last().is_some_and(|p| p.len() + length <= ARENA_PAGE_BYTES);
        if !fits {
            let capacity = if self.pages.is_empty() { 0 } else { ARENA_PAGE_BYTES.max(length) };
            self.pages.push(Vec::with_capacity(capacity));
            self.later_bytes += capacity;
        }
        let page = self.pages.len() - 1;
        let offset = self.pages[page].len();
        self.pages[page].extend_from_slice(bytes);
        (page as u64) << (LENGTH_BITS + OFFSET_BITS)
            | (offset as u64) << LENGTH_BITS
            | length as u64
    }

    /// The string at a place.
    #[inline]
    pub fn get(&self, place: u64) -> &[u8] {
        let length = (place & ((1 << LENGTH_BITS) - 1)) as usize;
        let offset = (place >> LENGTH_BITS & ((1 << OFFSET_BITS) - 1)) as usize;
        &self.pages[(place >> (LENGTH_BITS + OFFSET_BITS)) as usize][offset..offset + length]
    }

    /// Bytes of the pages.
    pub fn bytes(&self) -> usize {
        self.pages.first().map_or(0, Vec::capacity) + self.later_bytes
    }
}
