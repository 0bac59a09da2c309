//! Small, mergeable, canonical summaries of many values.
//!
//! | type | answers | costs | promises |
//! |---|---|---|---|
//! | [`unique::Unique`] | how many distinct values | 16 bytes up to 3 values, about 6 bytes a value up to 3,072, then 16 KiB (log2m 14) | 0.01 % rms error up to 3,072 values, 0.81 % standard error beyond |
//! | [`quantile::Quantile`] | which value lies at 95 % | 16 bytes for one value, 12 bytes a value up to 8, then 6 bytes a bin that occurs or 2 bytes a bin in all, at most 9 kB (61 kB at an error of 0.1 %) | relative error of the [`quantile::Mapping`], 1 % by custom; count, min, max and sum exact |
//! | [`theta::Theta`] | how many are in this set and not in that | 8 bytes a value, at most 16 · 2^log2k | 1.6 % standard error at log2k 12 |
//! | [`top::Top`] | the k most frequent strings | 8 · k places and the strings | bounds for each |
//!
//! What every summary here keeps:
//!
//! - **Order does not matter.** A summary is a function of the multiset of values it
//!   saw, however they were ordered, split and merged ([`top::Top`] alone is not).
//! - **Encodings are canonical.** Equal content gives equal bytes; a decoder accepts
//!   exactly what an encoder writes, and answers any other bytes with a [`codec::DecodeError`].
//! - **Pure values.** No I/O, no clock, no threads, no randomness, no unsafe code
//!   but a [`prefetch`].
//!
//! The expensive part of an update, hashing a value ([`unique::Coupon`]) or finding its
//! bin ([`quantile::Mapping::bin`]), is apart from the update itself, so that one event
//! that goes into twelve summaries is hashed once.
//!
//! ```
//! use sketches::unique::{Coupon, Unique};
//! let (mut monday, mut tuesday) = (Unique::new(14), Unique::new(14));
//! monday.insert(Coupon::of_bytes(b"ada"));
//! tuesday.insert(Coupon::of_bytes(b"ada"));
//! tuesday.insert(Coupon::of_bytes(b"grace"));
//! monday.merge(&tuesday);
//! assert_eq!(monday.estimate().value, 2.0);
//! ```
//!
//! For other systems: [`ak`] (PostgreSQL's `hll`), [`datasketches`] (Apache), and
//! [`quantile::Quantile::write_datadog`]. Figures and their measurement are in the README.

#![deny(unsafe_code)]

pub mod ak;
pub mod codec;
pub mod datasketches;
pub mod hash;
pub mod prefetch;
pub mod quantile;
pub mod sum;
pub mod theta;
pub mod top;
pub mod unique;

/// The examples of the README are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
