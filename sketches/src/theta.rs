//! Distinct values of which one can ask how many are in this set and in that one, or in
//! this and not in that: a theta sketch, in the bytes of Apache DataSketches. Of all hashes
//! below theta it keeps each; theta falls as more come, so that at most k = 2^log2k are kept.
//!
//! Always the k least hashes are kept, and theta is the next one: that depends on the set
//! of values alone, so that equal content gives equal bytes (Apache's own sketch keeps up to
//! twice as many between its clean-ups; this is that sketch trimmed).
//!
//! Source: Dasgupta, Lang, Rhodes, Thaler, "A framework for estimating stream expression
//! cardinalities" (2016); the compact form, version 3, as its Rust library writes it.

use crate::codec::{DecodeError, Reader};
use crate::hash::murmur3_x64_128;
use crate::unique::Estimate;

/// The least and greatest log2k.
pub const LOG2K: std::ops::RangeInclusive<u8> = 4..=20;

/// The first byte of the stored form; then log2k, then Apache's compact form.
const VERSION: u8 = 1;
/// Theta where all hashes are kept: they have 63 bits.
const ALL: u64 = i64::MAX as u64;
/// The seed of Apache's hash, and what stands for it in the bytes.
const SEED: u64 = 9001;
/// Flags: read only, compact, ordered; and with it empty.
const ORDERED: u8 = 2 | 8 | 16;
const EMPTY: [u8; 8] = [1, 3, 3, 0, 0, ORDERED | 4, 0, 0];

/// The hash of a value, computed once for all sketches.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

impl Mark {
    /// Of a string or of other bytes.
    #[inline]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(murmur3_x64_128(bytes, SEED).0 >> 1)
    }

    /// Of an integer, its 8 bytes least significant first.
    #[inline]
    pub fn of_i64(value: i64) -> Self {
        Self::of_bytes(&value.to_le_bytes())
    }
}

/// A set of distinct values.
#[derive(Clone, Debug)]
pub struct Theta {
    log2k: u8,
    theta: u64,
    /// All below theta; some may be there more than once.
    hashes: Vec<u64>,
}

/// The part of a set, or of what was made of sets, that is known: its hashes below theta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    theta: u64,
    /// Ascending, each once.
    hashes: Vec<u64>,
}

impl Theta {
    /// No values yet. The standard error is 1 / √2^`log2k`: 1.6 % for 12, in up to 64 KiB.
    ///
    /// # Panics
    /// Where `log2k` is not one of [`LOG2K`].
    pub fn new(log2k: u8) -> Self {
        assert!(LOG2K.contains(&log2k), "log2k is {log2k}, not 4 to 20");
        Self { log2k, theta: ALL, hashes: Vec::new() }
    }

    /// Adds a value.
    #[inline]
    pub fn insert(&mut self, mark: Mark) {
        // Apache's libraries keep 0 for places that are free.
        if mark.0 >= self.theta || mark.0 == 0 {
            return;
        }
        if self.hashes.len() == self.hashes.capacity() {
            self.make_room();
            // Room may have been made by lowering theta.
            if mark.0 >= self.theta {
                return;
            }
        }
        self.hashes.push(mark.0);
    }

    /// Adds the values of `other`; the lesser k remains.
    pub fn merge(&mut self, other: &Self) {
        if other.theta < self.theta {
            self.theta = other.theta;
            self.hashes.retain(|&hash| hash < other.theta);
        }
        if other.log2k < self.log2k {
            self.log2k = other.log2k;
            tidy(self.log2k, &mut self.theta, &mut self.hashes);
        }
        // Sorted only when there is no room: a large set takes in many small ones.
        other.hashes.iter().for_each(|&hash| self.insert(Mark(hash)));
    }

    /// Whether no value was added.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty() && self.theta == ALL
    }

    /// The binary logarithm of the number of hashes that are kept.
    pub fn log2k(&self) -> u8 {
        self.log2k
    }

    /// The set, to be asked or put together with others.
    pub fn audience(&self) -> Audience {
        let (mut theta, mut hashes) = (self.theta, self.hashes.clone());
        tidy(self.log2k, &mut theta, &mut hashes);
        Audience { theta, hashes }
    }

    /// How many distinct values there are.
    pub fn estimate(&self) -> Estimate {
        self.audience().estimate()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
    }

    /// Appends Apache's compact ordered form, which its libraries read and unite.
    pub fn write_apache(&self, out: &mut Vec<u8>) {
        let Audience { theta, hashes } = self.audience();
        if self.is_empty() {
            return out.extend_from_slice(&EMPTY);
        }
        let preamble = match (theta, hashes.len()) {
            (ALL, 1) => 1,
            (ALL, _) => 2,
            _ => 3,
        };
        out.extend_from_slice(&[preamble, 3, 3, 0, 0, ORDERED]);
        out.extend_from_slice(&seed_hash().to_le_bytes());
        if preamble > 1 {
            out.extend_from_slice(&(hashes.len() as u64).to_le_bytes());
        }
        if preamble > 2 {
            out.extend_from_slice(&theta.to_le_bytes());
        }
        hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
    }

    /// Appends the stored form. Equal content gives equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.log2k]);
        self.write_apache(out);
    }

    /// Reads a stored form, which must be all of `bytes`.
    ///
    /// # Errors
    /// Where the bytes are not what [`Theta::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            version => return Err(DecodeError::Version(version)),
        }
        let log2k = reader.u8()?;
        if !LOG2K.contains(&log2k) {
            return Err(DecodeError::Invalid("log2k is not 4 to 20"));
        }
        let mut read = Self::new(log2k);
        let head: [u8; 8] = reader.array()?;
        if head == EMPTY {
            reader.finish()?;
            return Ok(read);
        }
        let [hash_low, hash_high] = seed_hash().to_le_bytes();
        let preamble = head[0];
        if head != [preamble, 3, 3, 0, 0, ORDERED, hash_low, hash_high] {
            return Err(DecodeError::Invalid("it is not a compact theta sketch"));
        }
        let count = if preamble > 1 { u64::from_le_bytes(reader.array()?) } else { 1 };
        if preamble > 2 {
            read.theta = u64::from_le_bytes(reader.array()?);
        }
        // A theta below all comes with k hashes.
        let fits = match preamble {
            1 => true,
            2 => (2..=1 << log2k).contains(&count),
            3 => count == 1 << log2k && read.theta < ALL,
            _ => false,
        };
        if !fits || reader.rest().len() as u64 != count * 8 {
            return Err(DecodeError::Invalid("the number of hashes does not fit"));
        }
        for bytes in reader.rest().as_chunks::<8>().0 {
            let hash = u64::from_le_bytes(*bytes);
            if hash <= read.hashes.last().copied().unwrap_or(0) || hash >= read.theta {
                return Err(DecodeError::Invalid("hashes are not ascending and below theta"));
            }
            read.hashes.push(hash);
        }
        Ok(read)
    }

    /// Adds the values of a stored form.
    ///
    /// # Errors
    /// Where the bytes are not what [`Theta::encode`] writes; nothing is then changed.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.merge(&Self::decode(bytes)?);
        Ok(())
    }

    /// Drops what is there twice or not needed, and lengthens the list if that is not
    /// enough: at most to twice k.
    #[cold]
    fn make_room(&mut self) {
        tidy(self.log2k, &mut self.theta, &mut self.hashes);
        let (used, most) = (self.hashes.len(), 2 << self.log2k);
        if used * 2 > self.hashes.capacity() || used == 0 {
            let capacity = (self.hashes.capacity() * 2).clamp(4, most);
            self.hashes.reserve_exact(capacity - used);
        }
    }
}

/// Sorts the hashes, drops those that are there twice, and all but the k least.
fn tidy(log2k: u8, theta: &mut u64, hashes: &mut Vec<u64>) {
    hashes.sort_unstable();
    hashes.dedup();
    if let Some(&next) = hashes.get(1 << log2k) {
        *theta = next;
        hashes.truncate(1 << log2k);
    }
}

/// What stands for the seed in the bytes.
fn seed_hash() -> u16 {
    murmur3_x64_128(&SEED.to_le_bytes(), 0).0 as u16
}

impl Audience {
    /// Who is in this set and in that.
    pub fn and(&self, other: &Self) -> Self {
        self.choose(other, |in_other| in_other)
    }

    /// Who is in this set and not in that.
    pub fn without(&self, other: &Self) -> Self {
        self.choose(other, |in_other| !in_other)
    }

    /// Who is in this set or in that.
    pub fn or(&self, other: &Self) -> Self {
        let theta = self.theta.min(other.theta);
        let mut hashes: Vec<u64> = self.hashes.iter().chain(&other.hashes).copied().collect();
        hashes.retain(|&hash| hash < theta);
        hashes.sort_unstable();
        hashes.dedup();
        Self { theta, hashes }
    }

    /// How many there are. The bounds are those of two standard errors, near to those of a
    /// Poisson distribution even where hardly any hash is left.
    pub fn estimate(&self) -> Estimate {
        let known = self.hashes.len() as f64;
        let part = self.theta as f64 / ALL as f64;
        let spread = (1.0 - part).sqrt();
        let reach = |count: f64| 2.0 * count.sqrt() * spread;
        Estimate {
            value: known / part,
            std_error: known.max(1.0).sqrt() * spread / part,
            lower: ((known - reach(known)) / part).max(known),
            upper: (known + reach(known + 1.0) + 2.0 * spread) / part,
        }
    }

    fn choose(&self, other: &Self, keep: impl Fn(bool) -> bool) -> Self {
        let theta = self.theta.min(other.theta);
        let known = self.hashes.iter().copied().filter(|&hash| hash < theta);
        let hashes = known.filter(|hash| keep(other.hashes.binary_search(hash).is_ok())).collect();
        Self { theta, hashes }
    }
}
