//! Which field a member of a record belongs to. Names are looked up in a tree of paths;
//! senders write their members in the same order again and again, so each place of an
//! object first guesses the member that was there last time, which costs one comparison.

use std::collections::HashMap;

use super::json::Guess;
use crate::config::{FieldSource, Schema, Steps, path_steps};
use crate::limits;

/// Place of a node in the tree.
pub type NodeId = usize;

/// The object at the root of a record.
pub const ROOT: NodeId = 0;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// A node of the tree: some field is here or below.
    Known(NodeId),
    /// Place of its name among the unknown ones.
    Unknown(usize),
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMember {
    /// As [`Member::Known`].
    Known(NodeId),
    /// Something within the value of a field.
    Within,
    /// As [`Member::Unknown`].
    Unknown(usize),
}

/// A name, or the way to one.
#[derive(Default)]
pub struct Node {
    /// Fields that take the value here.
    pub fields: Vec<usize>,
    /// Whether the event's time is here.
    pub is_time: bool,
    /// Whether the event's id is here.
    pub is_id: bool,
    /// Whether fields lie below.
    pub has_children: bool,
    /// The event that had it last, and where the last member of that name begins.
    event: u64,
    last: usize,
    children: HashMap<Box<[u8]>, NodeId>,
    guesses: Vec<(Guess, Member)>,
}

/// The tree of configured paths, and the names that are in none.
pub struct Members {
    nodes: Vec<Node>,
    /// Number of the event that is read.
    event: u64,
    unknown: HashMap<Box<[u8]>, usize>,
    unknown_counts: Vec<(String, u64)>,
}

/// Members of one object for which a guess is kept.
const MAX_GUESSES: usize = 256;

/// Bytes of the longest name that is guessed, or counted by itself if unknown.
const MAX_GUESS_BYTES: usize = 64;

impl Node {
    /// Whether a field or the time takes the value here.
    pub fn is_leaf(&self) -> bool {
        !self.fields.is_empty() || self.is_time
    }
}

impl Members {
    /// The tree of a schema's paths.
    pub fn new(schema: &Schema) -> Self {
        let mut members = Self {
            nodes: vec![Node::default()],
            event: 0,
            unknown: HashMap::new(),
            unknown_counts: vec![("(other)".to_owned(), 0)],
        };
        for (at, field) in schema.fields.iter().enumerate() {
            if let FieldSource::Record(path) = &field.source {
                let node = members.insert(path);
                members.nodes[node].fields.push(at);
            }
        }
        let time = members.insert(&schema.time.path);
        members.nodes[time].is_time = true;
        if let Some(path) = &schema.id {
            let id = members.insert(path);
            members.nodes[id].is_id = true;
        }
        members
    }

    fn insert(&mut self, path: &[String]) -> NodeId {
        path.iter().fold(ROOT, |parent, step| {
            let next = self.nodes.len();
            let id = *self.nodes[parent].children.entry(step.as_bytes().into()).or_insert(next);
            if id == next {
                self.nodes.push(Node::default());
            }
            self.nodes[parent].has_children = true;
            id
        })
    }

    /// Begins another event.
    pub fn begin(&mut self) {
        self.event += 1;
    }

    /// Notes that the event has a member. Returns whether it had one of that name before.
    #[inline]
    pub fn is_repeated(&mut self, id: NodeId) -> bool {
        std::mem::replace(&mut self.nodes[id].event, self.event) == self.event
    }

    /// Notes where a member begins; the last note counts.
    pub fn note_last(&mut self, id: NodeId, at: usize) {
        self.nodes[id].last = at;
    }

    /// Whether this is where the last member of that name begins.
    pub fn is_last(&self, id: NodeId, at: usize) -> bool {
        self.nodes[id].last == at
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The key that the `nth` member of an object is likely to have, and what it is then.
    #[inline]
    pub fn guess(&self, parent: NodeId, nth: usize) -> Option<&(Guess, Member)> {
        self.nodes[parent].guesses.get(nth)
    }

    /// Finds the `nth` member of an object by its name and remembers it as a guess.
    /// `plain` says that the name needs no escape in JSON.
    pub fn find(&mut self, parent: NodeId, nth: usize, name: &[u8], plain: bool) -> Member {
        let member = match self.nodes[parent].children.get(name) {
            Some(&id) => Member::Known(id),
            None => Member::Unknown(self.unknown_place(name)),
        };
        let guesses = &mut self.nodes[parent].guesses;
        if plain && name.len() <= MAX_GUESS_BYTES && nth < MAX_GUESSES {
            let known = guesses.len();
            match guesses.get_mut(nth) {
                Some(guess) => *guess = (Guess::new(name), member),
                None if known == nth => guesses.push((Guess::new(name), member)),
                None => {}
            }
        }
        member
    }

    /// Finds a member by its path.
    pub fn find_path(&mut self, path: &str) -> PathMember {
        let mut id = ROOT;
        for step in Steps::new(path) {
            if self.nodes[id].is_leaf() && !self.nodes[id].has_children {
                return PathMember::Within;
            }
            let Some(&next) = self.nodes[id].children.get(step.as_bytes()) else {
                return PathMember::Unknown(self.unknown_path(path));
            };
            id = next;
        }
        PathMember::Known(id)
    }

    fn unknown_path(&mut self, path: &str) -> usize {
        // Every second byte may be an escape.
        if path.len() > 2 * MAX_GUESS_BYTES {
            return 0;
        }
        self.unknown_place(path_steps(path).join(".").as_bytes())
    }

    fn unknown_place(&mut self, name: &[u8]) -> usize {
        if let Some(&place) = self.unknown.get(name) {
            return place;
        }
        if self.unknown_counts.len() > limits::MAX_UNKNOWN_NAMES || name.len() > MAX_GUESS_BYTES {
            return 0;
        }
        let place = self.unknown_counts.len();
        let shown = String::from_utf8_lossy(name).into_owned();
        self.unknown.insert(name.into(), place);
        self.unknown_counts.push((shown, 0));
        place
    }

    /// Counts an unknown member.
    #[inline]
    pub fn count_unknown(&mut self, place: usize) {
        self.unknown_counts[place].1 += 1;
    }

    /// Unknown names and how often each was seen; the first stands for all beyond the limit.
    pub fn unknown_counts(&self) -> &[(String, u64)] {
        &self.unknown_counts
    }
}
