//! Growing storage of records whose form is known when the configuration is: a row's words, its
//! sketches and texts side by side, so that a row is two lines of cache and one page of memory
//! instead of as many as it has kinds of state.
//!
//! Records lie in pages and never move once there is a second page, so that growth copies little
//! and no moment needs twice the memory. The first page grows by doubling, for the many small
//! tables.
//!
//! The only `unsafe` of the shards: a record is a struct that the compiler cannot know. What makes
//! it sound:
//! - [`Form::new`] lays the fields of a record one behind the other, each with the alignment of its
//!   type, and no other code computes an offset.
//! - A record is written whole before it is counted in `rows`, and dropped once, with its page;
//!   every access asserts that the record is counted.
//! - A shared reference to [`Rows`] gives shared references into it, and a mutable one mutable
//!   ones, to fields that do not overlap.

#![allow(unsafe_code)]

use std::alloc::{self, handle_alloc_error};
use std::ptr::NonNull;

use sketches::prefetch::prefetch_pair;
use sketches::quantile::Quantile;
use sketches::sum::Fraction;
use sketches::theta::Theta;
use sketches::top::Top;
use sketches::unique::Unique;

use crate::row::{Buffer, RowMut, RowView};

/// Records of a page but the first.
const PAGE_ROWS: usize = 1024;

/// Records of the first page at first.
const FIRST_ROWS: usize = 4;

/// Bytes of a line of cache.
const LINE: usize = 64;

/// The text of a row.
pub type Text = Box<[u8]>;

/// Where fields of one type lie in a record.
#[derive(Clone, Copy, Debug)]
struct Fields {
    offset: usize,
    count: usize,
}

macro_rules! record {
    ($($field:ident $field_mut:ident $Field:ident $Type:ty;)*) => {
        /// How many fields of each type a record has.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Counts {
            $(#[doc = concat!("How many ", stringify!($field), ".")] pub $field: usize,)*
        }

        /// Where the fields of a record lie.
        #[derive(Clone, Copy, Debug)]
        struct Form {
            $($field: Fields,)*
            /// Bytes from one record to the next.
            stride: usize,
        }

        impl Form {
            fn new(counts: Counts) -> Self {
                let mut end = 0usize;
                $(
                    const { assert!(align_of::<$Type>() <= LINE) };
                    let offset = end.next_multiple_of(align_of::<$Type>());
                    let $field = Fields { offset, count: counts.$field };
                    end = offset + counts.$field * size_of::<$Type>();
                )*
                Self { $($field,)* stride: stride(end) }
            }
        }

        /// The fields of a new record, as many of each type as the table was made for.
        pub struct NewRow<$($Field),*> {
            $(#[doc = concat!("Its ", stringify!($field), ".")] pub $field: $Field,)*
        }

        impl Rows {
            /// Appends a record.
            ///
            /// # Panics
            /// Where there are not as many fields as the records have.
            #[inline]
            pub fn push<$($Field: Iterator<Item = $Type>),*>(&mut self, new: NewRow<$($Field),*>) {
                let record = self.room_for_one();
                $(
                    let mut fields = new.$field;
                    for at in 0..self.form.$field.count {
                        let value = fields.next().expect("a value for each field of a record");
                        // SAFETY: the record is in a page that has room for it, and the field in
                        // the record; nothing was there.
                        unsafe {
                            record.add(self.form.$field.offset).cast::<$Type>().add(at).write(value);
                        }
                    }
                )*
                self.rows += 1;
            }

            $(
                #[doc = concat!("The ", stringify!($field), " of a record.")]
                #[inline]
                pub fn $field(&self, row: u32) -> &[$Type] {
                    let Fields { offset, count } = self.form.$field;
                    // SAFETY: the record is there, and so many values begin at this place of it.
                    unsafe {
                        std::slice::from_raw_parts(self.record(row).add(offset).cast().as_ptr(), count)
                    }
                }

                #[doc = concat!("The ", stringify!($field), " of a record, to be changed.")]
                #[inline]
                pub fn $field_mut(&mut self, row: u32) -> &mut [$Type] {
                    let Fields { offset, count } = self.form.$field;
                    // SAFETY: as above, and nobody else has a reference.
                    unsafe {
                        let first = self.record(row).add(offset).cast().as_ptr();
                        std::slice::from_raw_parts_mut(first, count)
                    }
                }
            )*

            /// A record, looked at.
            #[inline]
            pub fn view(&self, row: u32) -> RowView<'_> {
                RowView { $($field: self.$field(row),)* }
            }

            /// A record, to be changed.
            #[inline]
            pub fn view_mut(&mut self, row: u32) -> RowMut<'_> {
                let record = self.record(row);
                // SAFETY: as above; the fields do not overlap.
                unsafe {
                    RowMut {
                        $($field: std::slice::from_raw_parts_mut(
                            record.add(self.form.$field.offset).cast().as_ptr(),
                            self.form.$field.count,
                        ),)*
                    }
                }
            }
        }

        impl Drop for Rows {
            fn drop(&mut self) {
                for row in 0..self.rows {
                    let record = self.record(row);
                    // SAFETY: the record is there, and is not looked at any more.
                    unsafe {
                        $(
                            let first = record.add(self.form.$field.offset).cast::<$Type>();
                            NonNull::slice_from_raw_parts(first, self.form.$field.count).drop_in_place();
                        )*
                    }
                }
                for page in &self.pages {
                    // SAFETY: it was allocated with this layout.
                    unsafe { alloc::dealloc(page.start.as_ptr(), self.page_layout(page.room)) };
                }
            }
        }
    };
}

record! {
    words words_mut Words u64;
    uniques uniques_mut Uniques Unique;
    quantiles quantiles_mut Quantiles Quantile;
    buffers buffers_mut Buffers Buffer;
    fractions fractions_mut Fractions Fraction;
    texts texts_mut Texts Text;
    thetas thetas_mut Thetas Theta;
    tops tops_mut Tops Top;
}

/// Bytes from one record to the next, so that no record of more than a line lies in more lines than
/// it must.
fn stride(bytes: usize) -> usize {
    if bytes <= LINE { bytes.next_multiple_of(8) } else { bytes.next_multiple_of(LINE / 2) }
}

/// Room for some records.
struct Page {
    start: NonNull<u8>,
    room: usize,
}

/// Records of one form.
pub struct Rows {
    form: Form,
    pages: Vec<Page>,
    rows: u32,
}

// SAFETY: it owns its records, whose types all are Send and Sync.
unsafe impl Send for Rows {}
// SAFETY: as above; a shared reference changes nothing.
unsafe impl Sync for Rows {}

/// That the types of fields are what the lines above say they are.
const fn is_send_and_sync<T: Send + Sync>() {}
const _: () = {
    is_send_and_sync::<(u64, Unique, Quantile, Buffer, Fraction, Text)>();
    is_send_and_sync::<(Theta, Top)>();
};

impl Rows {
    /// No records yet, of which each has so many fields of each type.
    ///
    /// # Panics
    /// Where they have no words.
    pub fn new(counts: Counts) -> Self {
        assert!(counts.words > 0, "a record has words, so that it takes memory");
        Self { form: Form::new(counts), pages: Vec::new(), rows: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of the pages.
    pub fn bytes(&self) -> usize {
        let first = self.pages.first().map_or(0, |page| page.room);
        (first + self.pages.len().saturating_sub(1) * PAGE_ROWS) * self.form.stride
    }

    /// Starts to fetch a record: its first lines, where its words and first sketches lie.
    #[inline]
    pub fn prefetch(&self, row: u32) {
        prefetch_pair(self.words(row));
    }

    /// Where a record is.
    ///
    /// # Panics
    /// Where it is not.
    #[inline]
    fn record(&self, row: u32) -> NonNull<u8> {
        assert!(row < self.rows, "a row that is not there");
        let row = row as usize;
        // SAFETY: each page but the last is full, and there is room for all that are counted.
        unsafe { self.pages[row / PAGE_ROWS].start.add(row % PAGE_ROWS * self.form.stride) }
    }

    /// Where the next record goes.
    #[inline]
    fn room_for_one(&mut self) -> NonNull<u8> {
        let at = self.rows as usize % PAGE_ROWS;
        match self.pages.last() {
            Some(page) if self.pages.len() * PAGE_ROWS > self.rows as usize && at < page.room => {}
            _ => self.grow(),
        }
        // SAFETY: the last page has room for one more.
        unsafe { self.pages[self.rows as usize / PAGE_ROWS].start.add(at * self.form.stride) }
    }

    /// Makes room for at least one more: a page, or the first page longer.
    #[cold]
    fn grow(&mut self) {
        match self.pages.as_mut_slice() {
            [] => self.pages.push(self.page(FIRST_ROWS)),
            [first] if first.room < PAGE_ROWS => {
                let (start, room) = (first.start, first.room);
                let longer = self.page(2 * room);
                // SAFETY: both are so long, they do not overlap, and what lay in the old one is
                // not looked at any more.
                unsafe {
                    start.copy_to_nonoverlapping(longer.start, room * self.form.stride);
                    alloc::dealloc(start.as_ptr(), self.page_layout(room));
                }
                self.pages[0] = longer;
            }
            _ => self.pages.push(self.page(PAGE_ROWS)),
        }
    }

    fn page(&self, room: usize) -> Page {
        let layout = self.page_layout(room);
        // SAFETY: a record has words, so that it is not of size zero.
        let start = NonNull::new(unsafe { alloc::alloc(layout) });
        Page { start: start.unwrap_or_else(|| handle_alloc_error(layout)), room }
    }

    fn page_layout(&self, room: usize) -> alloc::Layout {
        alloc::Layout::from_size_align(room * self.form.stride, LINE)
            .expect("a page of records is far from the end of memory")
    }
}

#[cfg(test)]
mod tests {
    use sketches::quantile::{Mapping, Sample};
    use sketches::unique::{Coupon, Family};

    use super::*;

    /// Records that differ, with fields that own memory.
    fn push(rows: &mut Rows, at: u32) {
        let mapping = Mapping::new(0.01).unwrap();
        let words = (0..).map(|word| u64::from(at) << 8 | word);
        let text = format!("text {at}").into_bytes().into_boxed_slice();
        let mut top = Top::new(3);
        top.insert(&at.to_string());
        let mut theta = Theta::new(4);
        theta.insert(sketches::theta::Mark::of_i64(i64::from(at)));
        let mut unique = Unique::with_family(Family::Ak, 10);
        for n in 0..8 {
            unique.insert(Coupon::of_i64(i64::from(at) * 8 + n));
        }
        let mut quantile = Quantile::new(mapping.kept());
        for n in 0..4 {
            let value = f64::from(at + n);
            quantile.insert(Sample::new(value, &mapping).unwrap());
        }
        rows.push(NewRow {
            words,
            uniques: std::iter::repeat(unique),
            quantiles: std::iter::repeat(quantile),
            buffers: std::iter::repeat_with(Buffer::default),
            fractions: std::iter::repeat(Fraction::NONE),
            texts: std::iter::repeat(text),
            thetas: std::iter::repeat(theta),
            tops: std::iter::repeat(top),
        });
    }

    #[test]
    fn records_keep_what_they_hold_while_more_come() {
        let one = Counts { words: 6, ..Counts::default() };
        let all = Counts {
            words: 9,
            uniques: 2,
            quantiles: 1,
            buffers: 1,
            fractions: 1,
            texts: 1,
            thetas: 1,
            tops: 2,
        };
        // Enough for a second page; fewer where each step is checked.
        let many = if cfg!(miri) { 40 } else { 2500 };
        for counts in [one, Counts { uniques: 1, ..one }, all] {
            let mut rows = Rows::new(counts);
            assert!(rows.is_empty() && rows.bytes() == 0);
            for at in 0..many {
                push(&mut rows, at);
                rows.words_mut(at / 2)[5] = u64::from(at);
                let row = rows.view_mut(at);
                for unique in row.uniques {
                    unique.insert(Coupon::of_i64(-1));
                }
                row.words[4] = 7;
            }
            assert_eq!(rows.len(), many);
            assert!(rows.bytes() >= many as usize * counts.words * 8);
            for at in 0..many {
                let row = rows.view(at);
                let lengths = (row.words.len(), row.uniques.len(), row.quantiles.len());
                assert_eq!(lengths, (counts.words, counts.uniques, counts.quantiles));
                assert_eq!((row.words[0], row.words[4]), (u64::from(at) << 8, 7));
                if at < many / 2 {
                    assert_eq!(row.words[5], u64::from(2 * at + 1));
                }
                assert!(row.uniques.iter().all(|u| u.coupons() == Some(9)));
                assert!(row.quantiles.iter().all(|q| q.max() == Some(f64::from(at + 3))));
                assert!(row.texts.iter().all(|t| **t == *format!("text {at}").as_bytes()));
                assert_eq!((row.thetas.len(), row.tops.len()), (counts.thetas, counts.tops));
            }
        }
    }

    #[test]
    #[should_panic(expected = "a row that is not there")]
    fn no_record_is_read_that_is_not_there() {
        let counts = Counts { words: 6, ..Counts::default() };
        let mut rows = Rows::new(counts);
        push(&mut rows, 0);
        rows.words(1);
    }
}
