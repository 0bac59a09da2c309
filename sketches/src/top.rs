//! The most frequent strings: Apache DataSketches' frequent-items sketch in the shape of the
//! other sketches. Unlike these it depends on the order of updates and merges by nature, as
//! soon as there were more different items than it keeps: what it says then differs, and
//! so do its bytes, but always within the bounds that it gives. Equal states give equal
//! bytes.
//!
//! Source: Anderson, Bevan, Lang, Liberty, Rhodes, Thaler, "A high-performance algorithm for
//! identifying frequent items in data streams" (2017).

use ::datasketches::frequencies::{ErrorType, FrequentItemsSketch};

use crate::codec::{COUNT_LIMIT, DecodeError, Reader, put_bytes, put_u64};

/// The first byte of the stored form.
const VERSION: u8 = 1;
/// Places per item that is asked for: the more, the nearer the bounds.
const PLACES_PER_ITEM: usize = 8;
/// How many items can be asked for.
pub const K: std::ops::RangeInclusive<usize> = 1..=10_000;

/// An item and how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequent {
    /// The item.
    pub item: String,
    /// The least number of times that it was surely seen.
    pub lower: u64,
    /// The greatest number of times that it can have been seen; the estimate.
    pub upper: u64,
}

/// The `k` most frequent strings.
#[derive(Clone, Debug)]
pub struct Top {
    k: usize,
    sketch: FrequentItemsSketch<String>,
    /// Of what came from bytes: the error, and the occurrences of items that are not kept.
    read_error: u64,
    read_count: u64,
    /// About the bytes of the items that are kept.
    item_bytes: usize,
}

impl Top {
    /// Nothing seen yet. An item that was seen more often than one in `k` · 2 times is sure to
    /// be among the most frequent.
    ///
    /// # Panics
    /// Where `k` is not one of [`K`].
    pub fn new(k: usize) -> Self {
        assert!(K.contains(&k), "k is {k}, not 1 to 10,000");
        let places = (k * PLACES_PER_ITEM).next_power_of_two();
        let sketch = FrequentItemsSketch::new(places).expect("8 to 2^17 is a number of places");
        Self { k, sketch, read_error: 0, read_count: 0, item_bytes: 0 }
    }

    /// Counts an item.
    pub fn insert(&mut self, item: &str) {
        self.insert_many(item, 1);
    }

    /// Counts the items of `other` as well; the lesser k remains.
    pub fn merge(&mut self, other: &Self) {
        if other.k < self.k {
            let mut smaller = other.clone();
            smaller.absorb(self);
            *self = smaller;
        } else {
            self.absorb(other);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many items were asked for.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many items were counted, of all kinds.
    pub fn count(&self) -> u64 {
        self.sketch.total_weight() + self.read_count
    }

    /// How much an upper bound may exceed the truth; 0 as long as all items are kept.
    pub fn error(&self) -> u64 {
        self.sketch.maximum_error() + self.read_error
    }

    /// At most k items, by descending bound, then by item.
    pub fn items(&self) -> Vec<Frequent> {
        let mut items = self.kept();
        items.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        items.truncate(self.k);
        let error = self.error();
        let frequent = |(item, lower)| Frequent { item, lower, upper: lower + error };
        items.into_iter().map(frequent).collect()
    }

    /// Bytes on the heap, the items' own about: those that are dropped count as long as others.
    pub fn heap_bytes(&self) -> usize {
        self.sketch.estimated_size() + self.item_bytes
    }

    /// Appends the stored form: version, k, count, error, how many items are kept, and each
    /// with its length and its count, in ascending order of bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u64(out, self.k as u64);
        put_u64(out, self.count());
        put_u64(out, self.error());
        let mut kept = self.kept();
        kept.sort_unstable();
        put_u64(out, kept.len() as u64);
        for (item, count) in kept {
            put_bytes(out, item.as_bytes());
            put_u64(out, count);
        }
    }

    /// Reads a stored form, which must be all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not what [`Top::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let k = usize::try_from(reader.u64()?).ok().filter(|k| K.contains(k));
        let mut top = Self::new(k.ok_or(DecodeError::Invalid("k is not 1 to 10,000"))?);
        let mut rest = reader.u64()?;
        top.read_error = reader.u64()?;
        let kept = reader.u64()?;
        if rest >= COUNT_LIMIT {
            return Err(DecodeError::Invalid("a count is impossible"));
        }
        if kept > top.sketch.maximum_map_capacity() as u64 {
            return Err(DecodeError::Invalid("more items than are kept"));
        }
        let mut before: Option<&[u8]> = None;
        for _ in 0..kept {
            let item = reader.bytes()?;
            let count = reader.u64()?;
            if before.is_some_and(|before| before >= item) {
                return Err(DecodeError::Invalid("items are not ascending"));
            }
            before = Some(item);
            let text = std::str::from_utf8(item);
            let text = text.map_err(|_| DecodeError::Invalid("an item is not UTF-8"))?;
            let left = rest.checked_sub(count).filter(|_| count > 0);
            rest = left.ok_or(DecodeError::Invalid("the counts of items exceed the whole"))?;
            top.insert_many(text, count);
        }
        reader.finish()?;
        if (rest > 0) != (top.read_error > 0) || top.read_error > rest {
            return Err(DecodeError::Invalid("the error is not that of what is not kept"));
        }
        top.read_count = rest;
        Ok(top)
    }

    /// Counts the items of a stored form as well.
    ///
    /// # Errors
    /// Where the bytes are not what [`Top::encode`] writes; nothing is then changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.merge(&Self::decode(bytes)?);
        Ok(())
    }

    fn insert_many(&mut self, item: &str, count: u64) {
        let before = self.sketch.num_active_items();
        self.sketch.update_with_count_ref(item, count);
        let after = self.sketch.num_active_items();
        if after > before {
            self.item_bytes += item.len();
        } else if after < before {
            self.item_bytes = (self.item_bytes + item.len()) * after / (before + 1);
        }
    }

    fn absorb(&mut self, other: &Self) {
        let parts = self.sketch.num_active_items() + other.sketch.num_active_items();
        self.sketch.merge(&other.sketch);
        let bytes = self.item_bytes + other.item_bytes;
        self.item_bytes = bytes * self.sketch.num_active_items() / parts.max(1);
        self.read_error += other.read_error;
        self.read_count += other.read_count;
    }

    /// All items that are kept, with their lower bounds.
    fn kept(&self) -> Vec<(String, u64)> {
        let rows = self.sketch.frequent_items_with_threshold(ErrorType::NoFalseNegatives, 0);
        rows.into_iter().map(|row| (row.item().clone(), row.lower_bound())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Item i of a thousand or more about proportionally to 1 / i.
    fn stream(count: u64) -> impl Iterator<Item = String> {
        (0..count).map(|step| {
            let part = (step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1 << 24) as f64;
            format!("item {}", (9.0 * part).exp() as u64)
        })
    }

    #[test]
    fn bounds_hold_and_the_frequent_are_found() {
        let mut top = Top::new(20);
        let mut exact: HashMap<String, u64> = HashMap::new();
        for item in stream(300_000) {
            top.insert(&item);
            *exact.entry(item).or_default() += 1;
        }
        assert_eq!(top.count(), 300_000);
        assert!(top.error() > 0, "so many items that some are not kept");
        for frequent in top.items() {
            let truth = exact[&frequent.item];
            assert!(frequent.lower <= truth && truth <= frequent.upper, "{frequent:?} {truth}");
        }
        let mut most: Vec<_> = exact.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let items = top.items();
        for (item, _) in &most[..10] {
            assert!(items.iter().any(|frequent| frequent.item == *item), "{item} is missing");
        }
    }

    #[test]
    fn exact_and_canonical_as_long_as_all_is_kept() {
        let items: Vec<String> = (0..500u32).map(|i| format!("item {}", i % 37)).collect();
        let (mut one, mut other, mut third) = (Top::new(10), Top::new(10), Top::new(10));
        items.iter().for_each(|item| one.insert(item));
        items[200..].iter().rev().for_each(|item| other.insert(item));
        items[..200].iter().for_each(|item| third.insert(item));
        other.merge(&third);
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        one.encode(&mut bytes);
        other.encode(&mut again);
        assert_eq!(bytes, again);
        assert_eq!(one.error(), 0);
        assert_eq!(one.items()[0], Frequent { item: "item 0".into(), lower: 14, upper: 14 });
        assert_eq!(one.items().len(), 10);
    }

    #[test]
    fn what_is_read_says_the_same_and_goes_on() {
        let (mut top, mut bytes) = (Top::new(5), Vec::new());
        stream(50_000).for_each(|item| top.insert(&item));
        top.encode(&mut bytes);
        let mut read = Top::decode(&bytes).expect("what was written is read");
        assert_eq!((read.items(), read.count(), read.error()), (top.items(), 50_000, top.error()));
        let mut again = Vec::new();
        read.encode(&mut again);
        assert_eq!(again, bytes);
        read.merge_encoded(&bytes).expect("what was written is read");
        assert_eq!((read.count(), read.k()), (100_000, 5));
        assert!(read.error() >= 2 * top.error());
        for end in (0..bytes.len()).step_by(7) {
            assert!(Top::decode(&bytes[..end]).is_err());
        }
        let mut larger = Top::new(50);
        larger.merge(&top);
        assert_eq!((larger.k(), larger.count()), (5, 50_000));
    }
}
