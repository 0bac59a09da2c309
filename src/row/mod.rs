//! Rows: a key and the states of its aggregates.
//!
//! [`layout`] says where each aggregate's state lies in a row in memory, [`state`] is one
//! state by itself (of an answer, of a stored row), [`codec`] is the stored form and its
//! union, [`groups`] folds many rows into few.

pub mod codec;
pub mod groups;
pub mod layout;
pub mod state;

pub use groups::{GroupKey, Grouping, Groups};
pub use layout::{Layout, RowView, Slot};
pub use state::{Scalar, State};
