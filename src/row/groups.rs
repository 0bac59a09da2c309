//! Folds many rows into few: the groups of a question. Rows in memory and stored rows go
//! through the same door, so that an answer is the union of both.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::codec::StoredRow;
use super::layout::Layout;
use super::state::State;
use super::view::RowView;
use crate::event::Value;
use crate::key;

/// A group: its key, and the states of the folded aggregates.
pub type Group = (Box<[u8]>, Vec<Option<State>>);

/// One part of a group's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// The day.
    Day,
    /// A dimension, by its place in the summary's key.
    Dimension(usize),
}

/// What is folded, how.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// What makes a group, in the order of its key.
    pub by: Vec<GroupKey>,
    /// Per dimension of the summary: the pieces that are taken, in order; none: all.
    pub only: Vec<Option<Vec<Vec<u8>>>>,
    /// Aggregates that are folded.
    pub aggregates: Vec<usize>,
    /// Groups beyond which it is an error.
    pub max_groups: usize,
}

/// States of the folded aggregates, by group.
pub struct Groups {
    layout: Arc<Layout>,
    grouping: Arc<Grouping>,
    groups: HashMap<Box<[u8]>, Vec<Option<State>>, FixedState>,
    pieces: Vec<(usize, usize)>,
    key: Vec<u8>,
    rows: u64,
    visited: u64,
    overfull: bool,
}

impl Groups {
    /// No groups yet.
    pub fn new(layout: Arc<Layout>, grouping: Arc<Grouping>) -> Self {
        Self {
            layout,
            grouping,
            groups: HashMap::default(),
            pieces: Vec::new(),
            key: Vec::new(),
            rows: 0,
            visited: 0,
            overfull: false,
        }
    }

    /// Whether there were more groups than allowed: then they are not all here.
    pub fn is_overfull(&self) -> bool {
        self.overfull
    }

    /// Number of rows that were folded.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of rows that were looked at, whether the question wanted them or not.
    pub fn visited(&self) -> u64 {
        self.visited
    }

    /// Folds a row in memory. `key` holds the pieces of its dimensions.
    pub fn fold_row(&mut self, key: &[u8], day: i32, row: &RowView<'_>) {
        if !self.find(key, day) {
            return;
        }
        let (layout, grouping) = (Arc::clone(&self.layout), Arc::clone(&self.grouping));
        let Some(states) = self.group() else { return };
        for (state, &aggregate) in states.iter_mut().zip(&grouping.aggregates) {
            row.fold_into(&layout, aggregate, state);
        }
    }

    /// Folds a stored row.
    ///
    /// # Errors
    /// A sentence where the bytes are no row of this summary.
    pub fn fold_stored(&mut self, key: &[u8], day: i32, row: &[u8]) -> Result<(), String> {
        if !self.find(key, day) {
            return Ok(());
        }
        let row = StoredRow::decode(row).map_err(|e| e.to_string())?;
        let (layout, grouping) = (Arc::clone(&self.layout), Arc::clone(&self.grouping));
        let Some(states) = self.group() else { return Ok(()) };
        for (number, stored) in row.states {
            let Some(aggregate) = layout.position(number) else { continue };
            let Some(at) = grouping.aggregates.iter().position(|&a| a == aggregate) else {
                continue;
            };
            let stored = layout.renew(aggregate, stored);
            match &mut states[at] {
                Some(state) => state.merge(&stored).map_err(|e| e.to_string())?,
                none => *none = Some(stored),
            }
        }
        Ok(())
    }

    /// Computes the group of a key; false where the question does not want it.
    fn find(&mut self, key: &[u8], day: i32) -> bool {
        self.visited += 1;
        self.pieces.clear();
        let mut at = 0;
        while let Some(length) = key::piece_len(&key[at..]) {
            self.pieces.push((at, at + length));
            at += length;
        }
        let wanted = self.grouping.only.iter().zip(&self.pieces).all(|(only, &(start, end))| {
            let piece = &key[start..end];
            only.as_ref().is_none_or(|list| list.binary_search_by(|p| (**p).cmp(piece)).is_ok())
        });
        if !wanted {
            return false;
        }
        self.key.clear();
        for part in &self.grouping.by {
            match part {
                GroupKey::Day => key::push_piece(Value::Int(i64::from(day)), false, &mut self.key),
                GroupKey::Dimension(d) => {
                    let (start, end) = self.pieces[*d];
                    self.key.extend_from_slice(&key[start..end]);
                }
            }
        }
        self.rows += 1;
        true
    }

    /// The states of the group that [`Groups::find`] computed.
    fn group(&mut self) -> Option<&mut Vec<Option<State>>> {
        if !self.groups.contains_key(self.key.as_slice()) {
            if self.groups.len() >= self.grouping.max_groups {
                self.overfull = true;
                return None;
            }
            let nulls = vec![None; self.grouping.aggregates.len()];
            self.groups.insert(self.key.as_slice().into(), nulls);
        }
        self.groups.get_mut(self.key.as_slice())
    }

    /// Unites with groups of the same question from elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.visited += other.visited;
        self.overfull |= other.overfull;
        for (key, states) in other.groups {
            if let Some(mine) = self.groups.get_mut(&key) {
                mine.iter_mut().zip(&states).for_each(|(a, b)| unite(a, b));
            } else if self.groups.len() < self.grouping.max_groups {
                self.groups.insert(key, states);
            } else {
                self.overfull = true;
            }
        }
    }

    /// All groups together.
    pub fn total(&self) -> Vec<Option<State>> {
        let mut total = vec![None; self.grouping.aggregates.len()];
        for states in self.groups.values() {
            total.iter_mut().zip(states).for_each(|(a, b)| unite(a, b));
        }
        total
    }

    /// The groups, in the order of their keys.
    pub fn into_sorted(self) -> Vec<Group> {
        let mut groups: Vec<_> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        groups
    }
}

/// Unites two states of one aggregate, either of which may be null.
fn unite(a: &mut Option<State>, b: &Option<State>) {
    match (a, b) {
        (Some(a), Some(b)) => {
            // Both were made by one layout: their kinds agree.
            let _ = a.merge(b);
        }
        (a @ None, Some(b)) => *a = Some(b.clone()),
        (_, None) => {}
    }
}
