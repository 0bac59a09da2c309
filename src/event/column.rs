//! The values of one field in one batch, one per event, in memory that is reused.

use std::ops::Range;

use super::bitmap::Bitmap;

/// Whether two texts are equal. Names and pieces of keys are mostly so short that a call to
/// compare them would cost more than the comparison.
#[inline(always)]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    let eights = |text: &[u8]| {
        let ends = (text.first_chunk::<8>()?, text.last_chunk::<8>()?);
        Some((u64::from_ne_bytes(*ends.0), u64::from_ne_bytes(*ends.1)))
    };
    let fours = |text: &[u8]| {
        let ends = (text.first_chunk::<4>()?, text.last_chunk::<4>()?);
        Some((u32::from_ne_bytes(*ends.0), u32::from_ne_bytes(*ends.1)))
    };
    a.len() == b.len()
        && match a.len() {
            8..=16 => eights(a) == eights(b),
            4..=7 => fours(a) == fours(b),
            _ => a == b,
        }
}

/// Texts one behind the other in one block of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumn {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl TextColumn {
    /// Appends a text.
    #[inline]
    pub fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.end();
    }

    /// Appends a text that is a part of another: most are so short that it takes longer to call
    /// for a copy than to copy what follows as well.
    #[inline]
    pub fn push_part(&mut self, source: &[u8], part: Range<usize>) {
        const SHORT: usize = 32;
        match source.get(part.start..).and_then(|rest| rest.first_chunk::<SHORT>()) {
            Some(chunk) if part.len() <= SHORT => {
                let end = self.bytes.len() + part.len();
                self.bytes.extend_from_slice(chunk);
                self.bytes.truncate(end);
            }
            _ => self.bytes.extend_from_slice(&source[part]),
        }
        self.end();
    }

    /// Appends bytes to the text that [`TextColumn::end`] will close.
    #[inline]
    pub fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Closes the text that was written through [`TextColumn::open`].
    #[inline]
    pub fn end(&mut self) {
        // A batch is closed at limits::BATCH_BYTES, or one message beyond: far below 4 GiB.
        self.ends.push(self.bytes.len() as u32);
    }

    /// The text at `i`, which must exist.
    #[inline]
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of text that fit into the memory that is kept.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Removes all texts, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The values of one field by type. Where the field is null the value is empty or zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// UTF-8.
    Text(TextColumn),
    /// Integers, and decimals as integers scaled by the field's scale.
    Int(Vec<i64>),
    /// Finite, below 2^40 in size, never -0.
    Float(Vec<f64>),
    /// true or false.
    Bool(Vec<bool>),
}

/// One field in one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Which events have a value (the others are null).
    pub valid: Bitmap,
    /// One value per event, also where `valid` says null.
    pub values: Values,
}

/// One value on its way into a column or out of one.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Value<'a> {
    /// No value.
    #[default]
    Null,
    /// UTF-8.
    Text(&'a [u8]),
    /// An integer, or a decimal scaled by its field's scale.
    Int(i64),
    /// A float.
    Float(f64),
    /// true or false.
    Bool(bool),
}

impl Column {
    /// An empty column for values like those of `values`.
    pub fn new(values: Values) -> Self {
        Self { valid: Bitmap::default(), values }
    }

    /// Appends a value. A value of another type than the column's is a mistake of the caller.
    #[inline]
    pub fn push(&mut self, value: Value<'_>) {
        self.valid.push(!matches!(value, Value::Null));
        match (&mut self.values, value) {
            (Values::Text(texts), Value::Text(t)) => texts.push(t),
            (Values::Int(ints), Value::Int(i)) => ints.push(i),
            (Values::Float(floats), Value::Float(f)) => floats.push(f),
            (Values::Bool(bools), Value::Bool(b)) => bools.push(b),
            (Values::Text(texts), Value::Null) => texts.push(b""),
            (Values::Int(ints), Value::Null) => ints.push(0),
            (Values::Float(floats), Value::Null) => floats.push(0.0),
            (Values::Bool(bools), Value::Null) => bools.push(false),
            (values, value) => unreachable!("a {value:?} in a column of {values:?}"),
        }
    }

    /// Appends a text, which is a part of another.
    #[inline]
    pub fn push_part(&mut self, source: &[u8], part: Range<usize>) {
        self.valid.push(true);
        match &mut self.values {
            Values::Text(texts) => texts.push_part(source, part),
            values => unreachable!("a text in a column of {values:?}"),
        }
    }

    /// The value at `i`, which must exist.
    #[inline]
    pub fn get(&self, i: usize) -> Value<'_> {
        if !self.valid.get(i) {
            return Value::Null;
        }
        match &self.values {
            Values::Text(texts) => Value::Text(texts.get(i)),
            Values::Int(ints) => Value::Int(ints[i]),
            Values::Float(floats) => Value::Float(floats[i]),
            Values::Bool(bools) => Value::Bool(bools[i]),
        }
    }

    /// Removes all values, keeps the memory.
    pub fn clear(&mut self) {
        self.valid.clear();
        match &mut self.values {
            Values::Text(texts) => texts.clear(),
            Values::Int(ints) => ints.clear(),
            Values::Float(floats) => floats.clear(),
            Values::Bool(bools) => bools.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_equal_when_every_byte_is() {
        for len in 0..40 {
            let text: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert!(equal(&text, &text.clone()));
            assert!(!equal(&text, &[&text[..], b"x"].concat()));
            for at in 0..len {
                let mut other = text.clone();
                other[at] ^= 0x40;
                assert!(!equal(&text, &other), "{len} bytes, the {at}th differs");
            }
        }
    }
}
