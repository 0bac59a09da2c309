//! The keys of rows: short ones in the words of the row itself, so that a look-up needs no
//! other memory, long ones in an arena.

use super::arena::Arena;
use crate::row::layout::{KEY_WORD, KEY_WORDS};

/// Bytes of the words of a key; the last says how long it is.
const BYTES: usize = KEY_WORDS * size_of::<u64>();

/// In place of the length: the first word is a place in the arena.
const LONG: u8 = u8::MAX;

/// The keys that are too long for their rows.
#[derive(Default)]
pub struct Keys(Arena);

impl Keys {
    /// The words for a key that is made of pieces.
    ///
    /// # Panics
    /// Beyond 1 MiB, which the limits of dimensions exclude.
    pub fn push<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]> + Clone) -> [u64; KEY_WORDS] {
        let mut bytes = [0; BYTES];
        let mut length = 0;
        for piece in pieces.clone() {
            match bytes[..BYTES - 1].get_mut(length..length + piece.len()) {
                Some(place) => place.copy_from_slice(piece),
                None => {
                    let mut words = [0; KEY_WORDS];
                    words[0] = self.0.push(pieces);
                    bytemuck::cast_slice_mut(&mut words)[BYTES - 1] = LONG;
                    return words;
                }
            }
            length += piece.len();
        }
        bytes[BYTES - 1] = length as u8;
        bytemuck::cast(bytes)
    }

    /// The key of a row, given the row's words.
    #[inline]
    pub fn get<'a>(&'a self, row: &'a [u64]) -> &'a [u8] {
        let words = &row[KEY_WORD..KEY_WORD + KEY_WORDS];
        let bytes: &[u8] = bytemuck::cast_slice(words);
        match bytes[BYTES - 1] {
            LONG => self.0.get(words[0]),
            length => &bytes[..usize::from(length)],
        }
    }

    /// Bytes beside the rows.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_come_back() {
        let mut keys = Keys::default();
        let texts: Vec<Vec<u8>> = (0..200).map(|len| vec![len as u8 ^ 0xff; len]).collect();
        let rows: Vec<Vec<u64>> = texts
            .iter()
            .map(|text| {
                let (start, end) = text.split_at(text.len() / 3);
                [&[7; KEY_WORD][..], &keys.push([start, end].into_iter())].concat()
            })
            .collect();
        for (row, text) in rows.iter().zip(&texts) {
            assert_eq!(keys.get(row), text);
        }
        assert_eq!(keys.get(&[&[7; KEY_WORD][..], &keys_of_nothing()].concat()), b"");
    }

    fn keys_of_nothing() -> [u64; KEY_WORDS] {
        Keys::default().push(std::iter::empty())
    }
}
