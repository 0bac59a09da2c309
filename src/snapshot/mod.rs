//! Published days: `snapshots/SUMMARY/DATE.rN.csv`, its manifest `DATE.rN.json`, and
//! `DATE.csv`, a link that always names the newest.
//!
//! [`publisher`] is the thread that decides when; [`due`] is its rule; [`export`] publishes
//! one summary's day from a view of the store. [`columns`] turns a stored row into cells,
//! [`csv`] writes them in the exact dialect, [`excel`] for spreadsheets; [`manifest`]
//! describes what was published, [`revision`] puts it in the place of what was there.
//! [`origin`] tells the store that all this came from from any other. [`files`] knows every file
//! name, [`durable`] is how a file comes to bear one: whole and on disk, or not at all.
//!
//! In: stored rows, the handed-in clock, requests to export. Out: files, and a note to the
//! sequencer of what they hold. Never reads live rows: what is published is the store as of
//! one checkpoint.

pub mod columns;
pub mod csv;
pub mod due;
pub mod durable;
pub mod excel;
pub mod export;
pub mod files;
pub mod manifest;
pub mod origin;
pub mod publisher;
pub mod revision;

#[cfg(test)]
mod fixture;

pub use export::{Exporter, Order};
pub use manifest::Manifest;
pub use origin::Origin;
pub use publisher::{ExportRequest, Publisher};
pub use revision::Published;
