//! The keys of rows: short ones in the words of the row itself, so that a look-up needs no
//! other memory, long ones in an arena.

use super::arena::Arena;
use crate::key::{PackedKey, pack, pack_long, unpack};
use crate::row::layout::KEY_WORD;

/// A key to look for.
#[derive(Clone, Copy, Debug)]
pub struct SoughtKey<'a> {
    packed: PackedKey,
    /// Its bytes, where it is too long to be packed.
    long: Option<&'a [u8]>,
}

impl<'a> SoughtKey<'a> {
    /// A key given as bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        match pack(std::iter::once(bytes)) {
            Some(packed) => Self { packed, long: None },
            None => Self { packed: pack_long(0), long: Some(bytes) },
        }
    }

    /// A packed key, and where it is too long to be packed, its bytes.
    #[inline]
    pub fn packed(packed: PackedKey, long: Option<&'a [u8]>) -> Self {
        Self { packed, long }
    }
}

/// The keys that are too long for their rows.
#[derive(Default)]
pub struct Keys(Arena);

impl Keys {
    /// The words of a row for its key.
    ///
    /// # Panics
    /// Beyond 1 MiB, which the limits of dimensions exclude.
    pub fn push(&mut self, key: SoughtKey<'_>) -> PackedKey {
        key.long.map_or(key.packed, |bytes| pack_long(self.0.push(bytes)))
    }

    /// The key of a row, given the row's words.
    #[inline]
    pub fn get<'a>(&'a self, row: &'a [u64]) -> &'a [u8] {
        unpack(key_words(row)).unwrap_or_else(|place| self.0.get(place))
    }

    /// Whether a row, given its words, has a key: all of its bytes are compared.
    #[inline]
    pub fn is_of(&self, row: &[u64], key: SoughtKey<'_>) -> bool {
        match key.long {
            None => *key_words(row) == key.packed,
            Some(bytes) => self.get(row) == bytes,
        }
    }

    /// Bytes beside the rows.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[inline]
fn key_words(row: &[u64]) -> &PackedKey {
    row[KEY_WORD..].first_chunk().expect("a row has the words of its key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_come_back() {
        let mut keys = Keys::default();
        let texts: Vec<Vec<u8>> = (0..200).map(|len| vec![len as u8 ^ 0xff; len]).collect();
        let mut row = |text| [&[7; KEY_WORD][..], &keys.push(SoughtKey::new(text))].concat();
        let rows: Vec<Vec<u64>> = texts.iter().map(|text| row(text)).collect();
        for (row, text) in rows.iter().zip(&texts) {
            assert_eq!(keys.get(row), text);
            let is_of = |key: &Vec<u8>| keys.is_of(row, SoughtKey::new(key));
            assert!(texts.iter().all(|other| is_of(other) == (other == text)));
            let changed = text.split_last().map(|(last, start)| [start, &[!last]].concat());
            assert!(changed.is_none_or(|changed| !is_of(&changed)));
        }
    }
}
