//! Rows in the order of their keys, a part at a time, so that nobody waits for a large table to
//! be sorted: parts are sorted one by one, then merged as they are read (an external merge sort,
//! Knuth, The Art of Computer Programming 3, 5.4).

use super::table::Table;

/// Rows of a part. To sort one takes about two milliseconds, most of them for reading keys.
const PART_ROWS: usize = 16 << 10;

/// The bytes of a key behind those that all keys share: most keys are told apart by them.
type Head = u128;

/// The smallest row of a part that has not been taken yet.
#[derive(Clone, Copy)]
struct Front {
    head: Head,
    row: u32,
    /// Places of the part's rows behind it.
    next: usize,
    end: usize,
}

/// Rows of one table in the order of their keys.
pub struct Sorted {
    /// In parts, of which so many rows are sorted.
    rows: Vec<u32>,
    sorted: usize,
    /// Bytes that all keys of the table begin with.
    shared: usize,
    /// One per part, in a heap: none is smaller than its parent.
    fronts: Vec<Front>,
    taken: usize,
    /// Reused memory.
    part: Vec<(Head, u32)>,
}

impl Sorted {
    /// The rows, in no order.
    pub fn new(table: &Table, rows: Vec<u32>) -> Self {
        let (fronts, part) = (Vec::new(), Vec::new());
        Self { rows, sorted: 0, shared: table.shared_key_bytes(), fronts, taken: 0, part }
    }

    /// The rows again, also those that were taken.
    pub fn into_rows(self) -> Vec<u32> {
        self.rows
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.taken == self.rows.len()
    }

    /// Sorts the next part. Returns how many rows it was; 0: all are sorted.
    pub fn sort_part(&mut self, table: &Table) -> usize {
        let end = self.rows.len().min(self.sorted + PART_ROWS);
        let rows = &mut self.rows[self.sorted..end];
        let Some(length) = std::num::NonZero::new(rows.len()) else {
            self.part = Vec::new();
            return 0;
        };
        // A key that is new since then may begin with less, but is none of these rows.
        let shared = self.shared;
        self.part.clear();
        self.part.extend(rows.iter().map(|&row| (head(table.key(row), shared), row)));
        self.part.sort_unstable_by(|&(a, row_a), &(b, row_b)| {
            a.cmp(&b).then_with(|| table.key(row_a).cmp(table.key(row_b)))
        });
        rows.iter_mut().zip(&self.part).for_each(|(row, (_, sorted))| *row = *sorted);
        let (head, row) = self.part[0];
        self.fronts.push(Front { head, row, next: self.sorted + 1, end });
        self.sorted = end;
        let mut child = self.fronts.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !is_less(table, &self.fronts[child], &self.fronts[parent]) {
                break;
            }
            self.fronts.swap(child, parent);
            child = parent;
        }
        length.get()
    }

    /// Takes the next row. All must be sorted.
    pub fn take(&mut self, table: &Table) -> Option<u32> {
        assert_eq!(self.sorted, self.rows.len(), "rows are taken when all are sorted");
        let first = self.fronts.first_mut()?;
        let taken = first.row;
        if first.next < first.end {
            first.row = self.rows[first.next];
            first.head = head(table.key(first.row), self.shared);
            first.next += 1;
        } else {
            self.fronts.swap_remove(0);
        }
        self.taken += 1;
        self.sink(table);
        Some(taken)
    }

    /// Moves the first front to where it belongs.
    fn sink(&mut self, table: &Table) {
        let fronts = &mut self.fronts;
        let mut parent = 0;
        loop {
            let (left, right) = (2 * parent + 1, 2 * parent + 2);
            if left >= fronts.len() {
                return;
            }
            let is_right = right < fronts.len() && is_less(table, &fronts[right], &fronts[left]);
            let child = if is_right { right } else { left };
            if !is_less(table, &fronts[child], &fronts[parent]) {
                return;
            }
            fronts.swap(child, parent);
            parent = child;
        }
    }
}

#[inline]
fn head(key: &[u8], shared: usize) -> Head {
    let rest = &key[shared..];
    let mut head = [0; size_of::<Head>()];
    let length = rest.len().min(head.len());
    head[..length].copy_from_slice(&rest[..length]);
    Head::from_be_bytes(head)
}

#[inline]
fn is_less(table: &Table, a: &Front, b: &Front) -> bool {
    a.head < b.head || a.head == b.head && table.key(a.row) < table.key(b.row)
}

#[cfg(test)]
mod tests {
    use super::super::keys::SoughtKey;
    use super::super::table::tests::table;
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_keys_however_many_parts_there_are() {
        for (rows, prefix) in [(0, ""), (1, "a"), (PART_ROWS, ""), (3 * PART_ROWS + 5, "the same ")]
        {
            let mut table = table();
            for at in 0..rows as u32 {
                table.reserve(1);
                let number = at.wrapping_mul(2_654_435_761);
                // Some keys begin with others, and some differ behind the sixteenth byte only.
                let text = format!("{prefix}{}", "0123456789abcdefg".repeat(at as usize % 3));
                let key = [text.as_bytes(), &number.to_be_bytes()[..1 + at as usize % 4]].concat();
                let key = [&key[..], &at.to_be_bytes()].concat();
                table.insert(number, SoughtKey::new(&key));
            }
            let all: Vec<u32> = (0..table.len()).filter(|row| row % 7 != 3).collect();
            let mut sorted = Sorted::new(&table, all.clone());
            // A key that comes later changes nothing.
            table.reserve(1);
            table.insert(7, SoughtKey::new(b""));
            let mut parts = 0;
            while sorted.sort_part(&table) > 0 {
                parts += 1;
            }
            assert_eq!(parts, all.len().div_ceil(PART_ROWS));
            let taken: Vec<u32> = std::iter::from_fn(|| sorted.take(&table)).collect();
            assert!(sorted.is_empty());
            let mut expected = all;
            expected.sort_by_key(|&row| table.key(row).to_vec());
            assert_eq!(taken, expected);
        }
    }
}
