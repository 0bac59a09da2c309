//! The Aggregate Knowledge storage format, version 1, which PostgreSQL's `hll` type and
//! the Java, JavaScript and Go libraries of that family read and write.
//!
//! [`write_row`] publishes a [`Unique`](crate::unique::Unique) in it. [`Hll`] is the
//! format's own sketch, which keeps the hashes as the format does, with all its parameters.
//!
//! Source: the HLL storage specification (STORAGE.md of aggregateknowledge/hll-storage-spec).
//!
//! ```text
//! byte 0   version (high 4 bits) and kind: 1 empty, 2 explicit, 3 sparse, 4 full
//! byte 1   bits of a register less 1 (high 3 bits) and log2m (low 5)
//! byte 2   64 where sparse is allowed, plus the explicit cut-off: 63 auto, 0 none, n: 2ⁿ⁻¹
//! then     explicit: hashes as big-endian signed 64-bit integers, ascending
//!          sparse: log2m bits of index and the register, ascending, highest bit first
//!          full: the registers, highest bit first
//! ```

mod bits;
mod hll;
mod row;
mod settings;

pub use hll::Hll;
pub use row::write_row;
pub use settings::{Explicit, Settings};

/// Version 1 and the kind, as they stand in the first byte.
const EMPTY: u8 = 0x11;
const EXPLICIT: u8 = 0x12;
const SPARSE: u8 = 0x13;
const FULL: u8 = 0x14;
