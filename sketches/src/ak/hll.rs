//! The format's own sketch: hashes, then registers by index, then all registers, in memory
//! as in its bytes. It is for exchange with other systems, not for millions of rows.

use std::collections::{BTreeMap, BTreeSet};

use super::bits::{BitWriter, numbers};
use super::{EMPTY, EXPLICIT, FULL, SPARSE, Settings};
use crate::codec::{DecodeError, Reader};

/// A sketch with the content that its bytes have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hll {
    settings: Settings,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Empty,
    /// Hashes, in the order of signed integers.
    Explicit(BTreeSet<i64>),
    /// Registers that are not zero, by index.
    Sparse(BTreeMap<u32, u8>),
    /// All registers.
    Full(Vec<u8>),
}

impl Hll {
    /// No values yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, content: Content::Empty }
    }

    /// Its parameters.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Counts a value by its hash (PostgreSQL: `hll_hash_text` and its like).
    pub fn insert_hash(&mut self, hash: i64) {
        if matches!(self.content, Content::Empty) {
            self.content = match self.settings.most_explicit() {
                0 => self.few_registers(),
                _ => Content::Explicit(BTreeSet::new()),
            };
        }
        match &mut self.content {
            Content::Explicit(hashes) => {
                hashes.insert(hash);
                if hashes.len() > self.settings.most_explicit() {
                    self.need_registers();
                }
            }
            _ => {
                let (index, value) = self.register(hash);
                self.raise(index, value);
            }
        }
    }

    /// Counts the values of `other` as well.
    ///
    /// # Errors
    /// Where log2m or the bits of a register differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        let (mine, theirs) = (self.settings, other.settings);
        if (mine.log2m, mine.register_bits) != (theirs.log2m, theirs.register_bits) {
            return Err(DecodeError::Invalid("the parameters of two sketches differ"));
        }
        match &other.content {
            Content::Empty => {}
            Content::Explicit(hashes) => hashes.iter().for_each(|&hash| self.insert_hash(hash)),
            Content::Sparse(registers) => {
                self.need_registers();
                registers.iter().for_each(|(&index, &value)| self.raise(index, value));
            }
            Content::Full(registers) => {
                // By index as long as that is allowed: the registers need not be many.
                self.need_registers();
                (0..).zip(registers).for_each(|(index, &value)| self.raise(index, value));
            }
        }
        Ok(())
    }

    /// The number of distinct values as the systems of this family estimate it: exact for
    /// hashes, else by the estimator of Flajolet and others ("HyperLogLog: the analysis of
    /// a near-optimal cardinality estimation algorithm", 2007) with its corrections. NaN,
    /// as there, where the registers stand for more values than they can tell apart.
    pub fn cardinality(&self) -> f64 {
        let registers: Vec<u8> = match &self.content {
            Content::Empty => return 0.0,
            Content::Explicit(hashes) => return hashes.len() as f64,
            Content::Sparse(registers) => registers.values().copied().collect(),
            Content::Full(registers) => registers.iter().copied().filter(|&r| r > 0).collect(),
        };
        let m = self.settings.registers() as f64;
        let zeros = m - registers.len() as f64;
        let sum = registers.iter().map(|&r| 0.5f64.powi(i32::from(r))).sum::<f64>() + zeros;
        let alpha = match self.settings.registers() {
            16 => 0.673,
            32 => 0.697,
            64 => 0.709,
            _ => 0.7213 / (1.0 + 1.079 / m),
        };
        let estimate = alpha * m * m / sum;
        // The number of values that registers of these bits can tell apart.
        let tellable = 2f64.powi(i32::from(self.settings.greatest()) - 1) * m;
        if zeros > 0.0 && estimate < 2.5 * m {
            m * (m / zeros).ln()
        } else if estimate <= tellable / 30.0 {
            estimate
        } else {
            -tellable * (1.0 - estimate / tellable).ln()
        }
    }

    /// Appends the bytes of the format.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let width = u32::from(self.settings.register_bits);
        let kind = match self.content {
            Content::Empty => EMPTY,
            Content::Explicit(_) => EXPLICIT,
            Content::Sparse(_) => SPARSE,
            Content::Full(_) => FULL,
        };
        out.push(kind);
        out.extend_from_slice(&self.settings.header());
        match &self.content {
            Content::Empty => {}
            Content::Explicit(hashes) => {
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
            }
            Content::Sparse(registers) => {
                let mut bits = BitWriter::new(out);
                for (&index, &value) in registers {
                    bits.put(index, u32::from(self.settings.log2m));
                    bits.put(u32::from(value), width);
                }
                bits.finish();
            }
            Content::Full(registers) => {
                let mut bits = BitWriter::new(out);
                registers.iter().for_each(|&value| bits.put(u32::from(value), width));
                bits.finish();
            }
        }
    }

    /// Reads the bytes of the format, all of them. The header does not tell the limit for
    /// sparse; it is that of PostgreSQL until [`Hll::set_sparse_limit`] says otherwise.
    ///
    /// # Errors
    /// Where the bytes are not of this format, or no writer of it makes them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        if kind >> 4 != 1 {
            return Err(DecodeError::Version(kind >> 4));
        }
        let settings = Settings::from_header(reader.array()?)?;
        let content = match kind {
            EMPTY => Content::Empty,
            EXPLICIT => read_explicit(&mut reader)?,
            SPARSE => read_sparse(&mut reader, settings)?,
            FULL => {
                let bytes = reader.take(settings.full_bytes())?;
                let registers = numbers(bytes, u32::from(settings.register_bits));
                let registers = registers.take(settings.registers());
                Content::Full(registers.map(|register| register as u8).collect())
            }
            _ => return Err(DecodeError::Invalid("the kind of sketch is unknown")),
        };
        reader.finish()?;
        Ok(Self { settings, content })
    }

    /// Sets the most registers that are kept by index; see [`Settings::sparse_limit`].
    pub fn set_sparse_limit(&mut self, limit: Option<u32>) {
        self.settings.sparse_limit = limit;
    }

    /// The register of a hash: the low log2m bits; and its value: the zeros below the
    /// lowest bit set in the rest, plus one, as far as a register can tell. None is set in
    /// one of 2⁵⁰ hashes or so, which the format does not count.
    fn register(&self, hash: i64) -> (u32, u8) {
        let settings = self.settings;
        let rest = hash as u64 >> settings.log2m;
        let value = if rest == 0 { 0 } else { rest.trailing_zeros() as u8 + 1 };
        let index = hash as u32 & (settings.registers() as u32 - 1);
        (index, value.min(settings.greatest()))
    }

    /// No registers yet, by index if that is allowed.
    fn few_registers(&self) -> Content {
        if self.settings.sparse {
            Content::Sparse(BTreeMap::new())
        } else {
            Content::Full(vec![0; self.settings.registers()])
        }
    }

    /// Turns hashes, or nothing, into registers.
    fn need_registers(&mut self) {
        let content = std::mem::replace(&mut self.content, Content::Empty);
        match content {
            Content::Empty => self.content = self.few_registers(),
            Content::Explicit(hashes) => {
                self.content = self.few_registers();
                hashes.into_iter().for_each(|hash| self.insert_hash(hash));
            }
            registers => self.content = registers,
        }
    }

    /// Raises a register to `value`.
    fn raise(&mut self, index: u32, value: u8) {
        if value == 0 {
            return;
        }
        match &mut self.content {
            Content::Sparse(registers) => {
                let register = registers.entry(index).or_default();
                *register = value.max(*register);
                if registers.len() > self.settings.most_sparse() {
                    let mut full = vec![0; self.settings.registers()];
                    registers.iter().for_each(|(&index, &value)| full[index as usize] = value);
                    self.content = Content::Full(full);
                }
            }
            Content::Full(registers) => {
                let register = &mut registers[index as usize];
                *register = value.max(*register);
            }
            _ => unreachable!("only registers are raised"),
        }
    }
}

fn read_explicit(reader: &mut Reader<'_>) -> Result<Content, DecodeError> {
    let mut hashes = BTreeSet::new();
    while !reader.is_empty() {
        let hash = i64::from_be_bytes(reader.array()?);
        if hashes.last().is_some_and(|&last| last >= hash) {
            return Err(DecodeError::Invalid("hashes are not ascending"));
        }
        hashes.insert(hash);
    }
    Ok(Content::Explicit(hashes))
}

fn read_sparse(reader: &mut Reader<'_>, settings: Settings) -> Result<Content, DecodeError> {
    let bytes = reader.take(reader.rest().len())?;
    let width = settings.pair_bits();
    let (count, padding) = (bytes.len() * 8 / width as usize, bytes.len() * 8 % width as usize);
    let last = bytes.last().copied().unwrap_or(0);
    if padding >= 8 || u32::from(last) & ((1 << padding) - 1) != 0 {
        return Err(DecodeError::Invalid("registers by index do not fill their bytes"));
    }
    let mut registers = BTreeMap::new();
    for pair in numbers(bytes, width).take(count) {
        let (index, value) = (pair >> settings.register_bits, pair as u8 & settings.greatest());
        let ascending = registers.last_key_value().is_none_or(|(&last, _)| last < index);
        if value == 0 || !ascending {
            return Err(DecodeError::Invalid("registers by index are not ascending"));
        }
        registers.insert(index, value);
    }
    Ok(Content::Sparse(registers))
}
