//! Rows: a key and the states of its aggregates.
//!
//! [`layout`] says where each aggregate's state lies in a row in memory, [`view`] is such a row,
//! [`buffer`] what its sketches have not taken yet; [`state`] is one
//! state by itself (of an answer, of a stored row), [`codec`] is the stored form and its
//! union, [`groups`] folds many rows into few.

pub mod buffer;
pub mod codec;
pub mod groups;
pub mod layout;
pub mod state;
pub mod view;

pub use buffer::Buffer;
pub use groups::{GroupKey, Grouping, Groups};
pub use layout::{Layout, Slot};
pub use state::{Scalar, State};
pub use view::{RowMut, RowView};
