//! Numbers of a few bits one after the other, highest bit first, as sparse and full forms
//! hold them.

/// Writes numbers of some bits, highest bit first.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    held: u32,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, held: 0 }
    }

    /// The low `width` bits of `value`, at most 32, and no others.
    #[inline]
    pub(super) fn put(&mut self, value: u32, width: u32) {
        self.pending = self.pending << width | u64::from(value);
        self.held += width;
        while self.held >= 8 {
            self.held -= 8;
            self.out.push((self.pending >> self.held) as u8);
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        if self.held > 0 {
            self.out.push((self.pending << (8 - self.held)) as u8);
        }
    }
}

/// The numbers of `width` bits (at most 32) in `bytes`; what is left over, fewer bits than
/// one number has, is padding.
pub(super) fn numbers(bytes: &[u8], width: u32) -> impl Iterator<Item = u32> {
    let (mut pending, mut held) = (0u64, 0);
    let mut bytes = bytes.iter();
    std::iter::from_fn(move || {
        while held < width {
            pending = pending << 8 | u64::from(*bytes.next()?);
            held += 8;
        }
        held -= width;
        Some((pending >> held & ((1 << width) - 1)) as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(values: Vec<u32>, width in 1u32..=32) {
            let values: Vec<u32> = values.iter().map(|value| value >> (32 - width)).collect();
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            values.iter().for_each(|&value| writer.put(value, width));
            writer.finish();
            prop_assert_eq!(out.len(), (values.len() * width as usize).div_ceil(8));
            let read: Vec<u32> = numbers(&out, width).take(values.len()).collect();
            prop_assert_eq!(read, values);
        }
    }
}
