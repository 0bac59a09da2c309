//! The bytes that all stored forms are made of: variable-length integers written to a
//! `Vec<u8>`, and a reader that checks every step. Every integer has exactly one
//! accepted spelling, because encodings are compared and hashed as bytes.

use std::fmt;

/// Why some bytes are not a stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the value does.
    Truncated,
    /// Bytes follow the end of the value.
    Trailing,
    /// The first byte names a format version that this program does not read.
    Version(u8),
    /// The bytes have the right shape and an impossible content.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the encoded value ends too early"),
            Self::Trailing => write!(f, "bytes follow the end of the encoded value"),
            Self::Version(v) => write!(f, "format version {v} is not one that this program reads"),
            Self::Invalid(what) => write!(f, "the encoded value is invalid: {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// No stream is so long that its count reaches this: stored forms that claim more are refused,
/// so that adding a few of them cannot overflow.
pub(crate) const COUNT_LIMIT: u64 = 1 << 60;

/// Appends `value` in 7-bit groups, least significant first (LEB128): 1 to 10 bytes.
#[inline]
pub fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` with its sign in the lowest bit (zigzag), then as [`put_u64`].
#[inline]
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends `value` as zigzag in 7-bit groups: 1 to 19 bytes.
#[inline]
pub fn put_i128(out: &mut Vec<u8>, value: i128) {
    let mut zigzag = ((value << 1) ^ (value >> 127)) as u128;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// Appends the 8 bytes of `value`, least significant first. Every bit pattern survives.
#[inline]
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends the length of `bytes` as [`put_u64`], then the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the `put_*` functions wrote; no input makes it panic or allocate.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// `n` bytes as they are.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Four bytes, least significant first.
    #[inline]
    pub fn u32_le(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// What [`put_f64`] wrote.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }

    /// What [`put_u64`] wrote.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        u64::try_from(self.groups(10)?).map_err(|_| DecodeError::Invalid("an integer is too large"))
    }

    /// What [`put_i64`] wrote.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let zigzag = self.u64()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// What [`put_i128`] wrote.
    #[inline]
    pub fn i128(&mut self) -> Result<i128, DecodeError> {
        let zigzag = self.groups(19)?;
        Ok((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    /// What [`put_bytes`] wrote.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u64()?;
        self.take(usize::try_from(length).map_err(|_| DecodeError::Truncated)?)
    }

    /// An error unless everything was read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// At most `most` 7-bit groups; refuses a spelling longer than it need be.
    #[inline]
    fn groups(&mut self, most: u32) -> Result<u128, DecodeError> {
        let mut value = 0u128;
        for group in 0..most {
            let byte = self.u8()?;
            let bits = u128::from(byte & 0x7f);
            value |= bits << (7 * group);
            if value >> (7 * group) != bits {
                return Err(DecodeError::Invalid("an integer is too large"));
            }
            if byte & 0x80 == 0 {
                if byte == 0 && group > 0 {
                    return Err(DecodeError::Invalid("an integer is longer than it need be"));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid("an integer is too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_spellings() {
        for (value, bytes) in
            [(0u64, &[0u8][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2])]
        {
            let mut out = Vec::new();
            put_u64(&mut out, value);
            assert_eq!(out, bytes);
        }
        let mut out = Vec::new();
        put_i64(&mut out, -1);
        put_i64(&mut out, 1);
        put_i128(&mut out, -2);
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn refuses_what_no_writer_writes() {
        assert_eq!(Reader::new(&[]).u64(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0x80]).u64(), Err(DecodeError::Truncated));
        assert!(matches!(Reader::new(&[0x80, 0]).u64(), Err(DecodeError::Invalid(_))));
        assert!(matches!(Reader::new(&[0xff; 12]).u64(), Err(DecodeError::Invalid(_))));
        let mut eleven_bits_over = [0xff; 10];
        eleven_bits_over[9] = 0x02;
        assert!(matches!(Reader::new(&eleven_bits_over).u64(), Err(DecodeError::Invalid(_))));
        let mut over_128 = [0xff; 19];
        over_128[18] = 0x04;
        assert!(matches!(Reader::new(&over_128).i128(), Err(DecodeError::Invalid(_))));
        assert_eq!(Reader::new(&[5, 1]).bytes(), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(a: u64, b: i64, c: i128, d: f64, e: Vec<u8>, shift in 0u32..127) {
            let mut out = Vec::new();
            put_u64(&mut out, a >> (shift / 2));
            put_i64(&mut out, b >> (shift / 2));
            put_i128(&mut out, c >> shift);
            put_f64(&mut out, d);
            put_bytes(&mut out, &e);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.u64(), Ok(a >> (shift / 2)));
            prop_assert_eq!(reader.i64(), Ok(b >> (shift / 2)));
            prop_assert_eq!(reader.i128(), Ok(c >> shift));
            prop_assert_eq!(reader.f64().map(f64::to_bits), Ok(d.to_bits()));
            prop_assert_eq!(reader.bytes(), Ok(&e[..]));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn what_is_read_has_one_spelling(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.i128() {
                let mut again = Vec::new();
                put_i128(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - reader.rest().len()]);
            }
        }
    }
}
