//! One bit per event of a batch: which values are present, which events a filter selects.

/// A growable list of bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all bits, keeps the memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// Makes it `len` bits, all equal to `bit`.
    pub fn fill(&mut self, len: usize, bit: bool) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), if bit { u64::MAX } else { 0 });
        self.len = len;
        self.trim();
    }

    /// Appends a bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        let at = self.len % 64;
        if at == 0 {
            self.words.push(0);
        }
        if bit {
            let last = self.words.len() - 1;
            self.words[last] |= 1 << at;
        }
        self.len += 1;
    }

    /// The bit at `i`; false beyond the end.
    #[inline]
    pub fn get(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// Sets the bit at `i`, which must exist.
    #[inline]
    pub fn set(&mut self, i: usize) {
        debug_assert!(i < self.len);
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// Number of bits set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether every bit is set.
    pub fn all(&self) -> bool {
        self.count() == self.len
    }

    /// The positions of the bits set, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors((word != 0).then_some(word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| at * 64 + w.trailing_zeros() as usize)
        })
    }

    /// Keeps what is also in `other` (of the same length).
    pub fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Adds what is in `other` (of the same length).
    pub fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Turns every bit around.
    pub fn not(&mut self) {
        self.words.iter_mut().for_each(|w| *w = !*w);
        self.trim();
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.words.clear();
        self.words.extend_from_slice(&other.words);
        self.len = other.len;
    }

    /// Sets bit `i` for each `i` that `test` accepts, of `len` bits in all.
    #[inline]
    pub fn fill_with(&mut self, len: usize, mut test: impl FnMut(usize) -> bool) {
        self.words.clear();
        self.len = len;
        for start in (0..len).step_by(64) {
            let end = (start + 64).min(len);
            let word = (start..end).fold(0u64, |w, i| w | u64::from(test(i)) << (i - start));
            self.words.push(word);
        }
    }

    /// Clears the bits beyond the end in the last word, so that words compare and count.
    fn trim(&mut self) {
        if let (Some(last), rest @ 1..) = (self.words.last_mut(), self.len % 64) {
            *last &= (1 << rest) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_list_of_bools() {
        for len in [0, 1, 63, 64, 65, 130] {
            let model: Vec<bool> = (0..len).map(|i| i * 7 % 3 == 0).collect();
            let mut bits = Bitmap::default();
            model.iter().for_each(|&b| bits.push(b));
            let mut filled = Bitmap::default();
            filled.fill_with(len, |i| model[i]);
            assert_eq!(bits, filled);
            assert_eq!(bits.count(), model.iter().filter(|b| **b).count());
            let ones: Vec<usize> = (0..len).filter(|&i| model[i]).collect();
            assert_eq!(bits.ones().collect::<Vec<_>>(), ones);
            bits.not();
            assert_eq!(bits.count(), len - ones.len());
            assert!(!bits.get(len));
        }
    }
}
