//! The parameters of the format, and how the header holds them.

use crate::codec::DecodeError;

/// How many hashes are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explicit {
    /// None (expthresh 0).
    Off,
    /// As many as the full form has room for (expthresh −1).
    Auto,
    /// 2 to the power of the number, 0 to 30.
    UpTo(u8),
}

/// The parameters of a sketch. Systems refuse to unite sketches whose parameters differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The binary logarithm of the number of registers, 4 to 26.
    pub log2m: u8,
    /// Bits of a register (regwidth), 1 to 8.
    pub register_bits: u8,
    /// Up to how many values hashes are kept.
    pub explicit: Explicit,
    /// Whether a few registers are kept by index (sparseon).
    pub sparse: bool,
    /// The most registers that are kept by index; `None` for as many as are shorter than
    /// all registers, as PostgreSQL does. The header does not tell.
    pub sparse_limit: Option<u32>,
}

impl Settings {
    /// The parameters of PostgreSQL's type `hll(log2m)`.
    pub const fn postgresql(log2m: u8) -> Self {
        Self { log2m, register_bits: 5, explicit: Explicit::Auto, sparse: true, sparse_limit: None }
    }

    /// The number of registers.
    pub(super) fn registers(self) -> usize {
        1 << self.log2m
    }

    /// The greatest value of a register.
    pub(super) fn greatest(self) -> u8 {
        (u16::MAX >> (16 - self.register_bits)) as u8
    }

    /// Bits of an index and a register.
    pub(super) fn pair_bits(self) -> u32 {
        u32::from(self.log2m + self.register_bits)
    }

    /// The length of the full form without its header, in bytes.
    pub(super) fn full_bytes(self) -> usize {
        (self.registers() * usize::from(self.register_bits)).div_ceil(8)
    }

    /// The most values whose hashes are kept.
    pub(super) fn most_explicit(self) -> usize {
        match self.explicit {
            Explicit::Off => 0,
            Explicit::Auto => self.full_bytes() / 8,
            Explicit::UpTo(power) => 1 << power,
        }
    }

    /// The most registers that are kept by index.
    pub(super) fn most_sparse(self) -> usize {
        if !self.sparse {
            return 0;
        }
        let full_bits = self.registers() * usize::from(self.register_bits);
        let shorter = (full_bits - 1) / self.pair_bits() as usize;
        self.sparse_limit.map_or(shorter, |limit| limit as usize)
    }

    /// The second and third byte of the format.
    pub(super) fn header(self) -> [u8; 2] {
        let explicit = match self.explicit {
            Explicit::Off => 0,
            Explicit::Auto => 63,
            Explicit::UpTo(power) => power + 1,
        };
        [(self.register_bits - 1) << 5 | self.log2m, u8::from(self.sparse) << 6 | explicit]
    }

    /// The inverse, without a limit for sparse.
    pub(super) fn from_header([sizes, cutoffs]: [u8; 2]) -> Result<Self, DecodeError> {
        let explicit = match cutoffs & 63 {
            0 => Explicit::Off,
            63 => Explicit::Auto,
            power @ 1..=31 => Explicit::UpTo(power - 1),
            _ => return Err(DecodeError::Invalid("the explicit cut-off is out of range")),
        };
        if cutoffs & 0x80 != 0 {
            return Err(DecodeError::Invalid("a bit of the header is set that has no meaning"));
        }
        let (log2m, register_bits) = (sizes & 31, (sizes >> 5) + 1);
        if !(4..=26).contains(&log2m) {
            return Err(DecodeError::Invalid("log2m is not one of 4 to 26"));
        }
        let sparse = cutoffs & 64 != 0;
        Ok(Self { log2m, register_bits, explicit, sparse, sparse_limit: None })
    }
}
