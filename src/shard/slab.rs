//! Growing storage in pages: rows never move, so that growth copies nothing and no moment
//! needs twice the memory. The first page grows by doubling, for the many small tables.

use sketches::prefetch::prefetch_pair;

const PAGE_ROWS: usize = 1024;

/// Rows of `stride` items each.
pub struct Slab<T> {
    pages: Vec<Vec<T>>,
    stride: usize,
    rows: usize,
    /// Bytes of all pages but the first, which grows.
    later_bytes: usize,
}

impl<T> Slab<T> {
    /// No rows yet.
    pub fn new(stride: usize) -> Self {
        Self { pages: Vec::new(), stride, rows: 0, later_bytes: 0 }
    }

    /// Appends a row.
    pub fn push(&mut self, items: impl Iterator<Item = T>) {
        if self.stride == 0 {
            return;
        }
        if self.rows.is_multiple_of(PAGE_ROWS) {
            let first = self.pages.is_empty();
            let capacity = if first { 0 } else { PAGE_ROWS * self.stride };
            self.pages.push(Vec::with_capacity(capacity));
            self.later_bytes += capacity * size_of::<T>();
        }
        if let Some(page) = self.pages.last_mut() {
            page.extend(items);
            debug_assert_eq!(page.len(), (self.rows % PAGE_ROWS + 1) * self.stride);
        }
        self.rows += 1;
    }

    /// A row.
    #[inline]
    pub fn row(&self, row: u32) -> &[T] {
        if self.stride == 0 {
            return &[];
        }
        let (page, start) = self.place(row);
        &self.pages[page][start..start + self.stride]
    }

    /// A row, to be changed.
    #[inline]
    pub fn row_mut(&mut self, row: u32) -> &mut [T] {
        if self.stride == 0 {
            return &mut [];
        }
        let (page, start) = self.place(row);
        &mut self.pages[page][start..start + self.stride]
    }

    /// One item of a row, which must be below the stride.
    #[inline]
    pub fn item(&self, row: u32, item: usize) -> &T {
        let (page, start) = self.place(row);
        &self.pages[page][start + item]
    }

    /// One item of a row, to be changed.
    #[inline]
    pub fn item_mut(&mut self, row: u32, item: usize) -> &mut T {
        let (page, start) = self.place(row);
        &mut self.pages[page][start + item]
    }

    /// Starts to fetch a row.
    #[inline]
    pub fn prefetch(&self, row: u32) {
        let (page, start) = self.place(row);
        if let Some(first) = self.pages.get(page).and_then(|p| p.get(start)) {
            prefetch_pair(first);
        }
    }

    /// The page of a row, and where on it.
    #[inline]
    fn place(&self, row: u32) -> (usize, usize) {
        let row = row as usize;
        (row / PAGE_ROWS, row % PAGE_ROWS * self.stride)
    }

    /// Bytes of the pages.
    pub fn bytes(&self) -> usize {
        let first = self.pages.first().map_or(0, Vec::capacity);
        first * size_of::<T>() + self.later_bytes
    }
}

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
    /// Appends a string made of pieces; gives its place.
    ///
    /// # Panics
    /// Beyond 1 MiB, which the limits of dimensions exclude.
    pub fn push<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]> + Clone) -> u64 {
        let length: usize = pieces.clone().map(<[u8]>::len).sum();
        assert!(length < 1 << LENGTH_BITS, "a key of {length} bytes");
        let fits = self.pages.last().is_some_and(|p| p.len() + length <= ARENA_PAGE_BYTES);
        if !fits {
            let capacity = if self.pages.is_empty() { 0 } else { ARENA_PAGE_BYTES.max(length) };
            self.pages.push(Vec::with_capacity(capacity));
            self.later_bytes += capacity;
        }
        let page = self.pages.len() - 1;
        let offset = self.pages[page].len();
        pieces.for_each(|piece| self.pages[page].extend_from_slice(piece));
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
