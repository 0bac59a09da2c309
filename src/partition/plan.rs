//! What has to be computed for each event, derived once from the schema: equal work of
//! different summaries (a hash, a coupon, a filter) gets one slot.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use sketches::quantile::Mapping;
use sketches::unique::Family;

use super::inputs::InputForm;
use crate::config::{AggregateKind, FieldType, Filter, Predicate, Schema, mapping};

/// The work per event.
pub struct Plan {
    /// Fields used as dimensions; a dimension slot is a place here.
    pub dimensions: Vec<Dimension>,
    /// Tuples of dimensions, each behind those that it is made of.
    pub groupings: Vec<Grouping>,
    /// Fields of unique counts, by family; a coupon slot is a place here.
    pub coupons: Vec<(usize, Family)>,
    /// Fields of sets; a mark slot is a place here.
    pub marks: Vec<usize>,
    /// Fields needed as floats and as fixed-point numbers; a number slot is a place here.
    pub numbers: Vec<usize>,
    /// Number slots with the mapping to bins; a sample slot is a place here.
    pub samples: Vec<(usize, Mapping)>,
    /// What rows of different forms take of an event.
    pub inputs: Vec<InputPlan>,
    /// Distinct conditions.
    pub predicates: Vec<(String, Predicate)>,
    /// Which events an aggregate sees.
    pub selections: Vec<Selection>,
    /// Per summary.
    pub summaries: Vec<SummaryPlan>,
    hasher: FixedState,
}

/// A field used as a dimension.
pub struct Dimension {
    /// The field.
    pub field: usize,
    /// Whether its ints are those of a decimal.
    pub decimal: bool,
}

/// A tuple of dimensions, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Of none.
    Nothing,
    /// Of one dimension slot.
    Value(usize),
    /// Of those of another grouping, and one dimension slot more.
    Tuple(usize, usize),
}

/// Events that satisfy a condition and have a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Place of the condition.
    pub predicate: Option<usize>,
    /// The field that must not be null.
    pub present: Option<usize>,
}

/// Which coupons and samples are the inputs of a row's sketches, each with its selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputPlan {
    /// Coupon slots.
    pub coupons: Vec<(usize, usize)>,
    /// Sample slots.
    pub samples: Vec<(usize, usize)>,
}

impl InputPlan {
    fn new(updates: &[Update]) -> Self {
        let mut plan = Self::default();
        for update in updates {
            match update.kind {
                UpdateKind::Unique(slot) => plan.coupons.push((slot, update.selection)),
                UpdateKind::Quantile(slot) => plan.samples.push((slot, update.selection)),
                _ => {}
            }
        }
        plan
    }

    /// How they lie in an input.
    pub fn form(&self) -> InputForm {
        InputForm::new(self.coupons.len(), self.samples.len())
    }
}

/// The work of one summary.
pub struct SummaryPlan {
    /// Dimension slots of its key.
    pub dimensions: Vec<usize>,
    /// Place of the grouping of these.
    pub grouping: usize,
    /// Place of its filter's condition.
    pub filter: Option<usize>,
    /// Its aggregates, in order.
    pub updates: Vec<Update>,
    /// Place of what its rows' sketches take of an event.
    pub inputs: usize,
    /// Days that it keeps.
    pub retain_days: Option<i32>,
}

/// One aggregate's update.
#[derive(Clone, Copy)]
pub struct Update {
    /// What is updated from where.
    pub kind: UpdateKind,
    /// Place of its selection.
    pub selection: usize,
}

/// What is updated, and from which column.
#[derive(Clone, Copy, Debug)]
pub enum UpdateKind {
    /// Counts.
    Count,
    /// Adds an int or decimal field.
    SumInt(usize),
    /// Adds a number slot in fixed point.
    SumFloat(usize),
    /// Keeps the smallest of a field.
    Min(usize),
    /// Keeps the greatest of a field.
    Max(usize),
    /// Keeps the newest of a field.
    Last(usize),
    /// Inserts a coupon slot.
    Unique(usize),
    /// Inserts a mark slot.
    Theta(usize),
    /// Counts the values of a field one by one.
    Top(usize),
    /// Inserts a sample slot.
    Quantile(usize),
}

impl Plan {
    /// Plans for a schema. `seed` keys the hash of keys, so that senders cannot aim at one
    /// slot of a table; nothing that is stored depends on it.
    pub fn new(schema: &Schema, seed: u64) -> Self {
        let mut plan = Self {
            dimensions: Vec::new(),
            groupings: Vec::new(),
            coupons: Vec::new(),
            marks: Vec::new(),
            numbers: Vec::new(),
            samples: Vec::new(),
            inputs: Vec::new(),
            predicates: Vec::new(),
            selections: Vec::new(),
            summaries: Vec::new(),
            hasher: FixedState::with_seed(seed),
        };
        for summary in &schema.summaries {
            let dimensions =
                summary.dimensions.iter().map(|&f| plan.dimension(schema, f)).collect();
            let filter = summary.filter.as_ref().map(|f| plan.predicate(f));
            let updates = summary.aggregates.iter().map(|a| {
                let predicate = a.filter.as_ref().map(|f| plan.predicate(f));
                let selection = Selection { predicate, present: a.kind.field() };
                Update {
                    kind: plan.update(schema, a.kind),
                    selection: place(&mut plan.selections, selection),
                }
            });
            let updates: Vec<Update> = updates.collect();
            let inputs = place(&mut plan.inputs, InputPlan::new(&updates));
            let retain_days = summary.retain_days.map(|d| i32::try_from(d).unwrap_or(i32::MAX));
            let grouping = 0;
            plan.summaries.push(SummaryPlan {
                dimensions,
                grouping,
                filter,
                updates,
                inputs,
                retain_days,
            });
        }
        plan.group();
        plan
    }

    /// Finds the groupings: the short ones first, so that the long ones are made of them.
    fn group(&mut self) {
        let mut order: Vec<usize> = (0..self.summaries.len()).collect();
        order.sort_by_key(|&at| self.summaries[at].dimensions.len());
        let mut tuples: Vec<Vec<usize>> = Vec::new();
        for at in order {
            let wanted = &self.summaries[at].dimensions;
            let within = |tuple: &&Vec<usize>| tuple.iter().all(|slot| wanted.contains(slot));
            let longest = tuples.iter().filter(within).max_by_key(|tuple| tuple.len());
            let mut tuple = longest.cloned().unwrap_or_default();
            let mut grouping = tuples.iter().position(|t| *t == tuple);
            for &slot in wanted {
                if tuple.contains(&slot) {
                    continue;
                }
                let shorter = grouping.filter(|_| !tuple.is_empty());
                tuple.push(slot);
                tuples.push(tuple.clone());
                grouping = Some(self.groupings.len());
                self.groupings.push(match shorter {
                    Some(shorter) => Grouping::Tuple(shorter, slot),
                    None => Grouping::Value(slot),
                });
            }
            self.summaries[at].grouping = grouping.unwrap_or_else(|| {
                tuples.push(tuple);
                self.groupings.push(Grouping::Nothing);
                self.groupings.len() - 1
            });
        }
    }

    fn dimension(&mut self, schema: &Schema, field: usize) -> usize {
        if let Some(slot) = self.dimensions.iter().position(|d| d.field == field) {
            return slot;
        }
        let decimal = matches!(schema.fields[field].kind, FieldType::Decimal(_));
        self.dimensions.push(Dimension { field, decimal });
        self.dimensions.len() - 1
    }

    fn predicate(&mut self, filter: &Filter) -> usize {
        if let Some(at) = self.predicates.iter().position(|(sql, _)| *sql == filter.sql) {
            return at;
        }
        self.predicates.push((filter.sql.clone(), filter.predicate.clone()));
        self.predicates.len() - 1
    }

    fn update(&mut self, schema: &Schema, kind: AggregateKind) -> UpdateKind {
        match kind {
            AggregateKind::Count => UpdateKind::Count,
            AggregateKind::Sum(field) if schema.fields[field].kind == FieldType::Float => {
                UpdateKind::SumFloat(place(&mut self.numbers, field))
            }
            AggregateKind::Sum(field) => UpdateKind::SumInt(field),
            AggregateKind::Min(field) => UpdateKind::Min(field),
            AggregateKind::Max(field) => UpdateKind::Max(field),
            AggregateKind::Last(field) => UpdateKind::Last(field),
            AggregateKind::Unique { field, family, .. } => {
                UpdateKind::Unique(place(&mut self.coupons, (field, family)))
            }
            AggregateKind::Theta { field, .. } => UpdateKind::Theta(place(&mut self.marks, field)),
            AggregateKind::Top { field, .. } => UpdateKind::Top(field),
            AggregateKind::Quantile { field, error } => {
                let number = place(&mut self.numbers, field);
                let mapping = mapping(error);
                let same = |(n, m): &(usize, Mapping)| {
                    *n == number && m.relative_error() == mapping.relative_error()
                };
                let slot = self.samples.iter().position(same).unwrap_or_else(|| {
                    self.samples.push((number, mapping));
                    self.samples.len() - 1
                });
                UpdateKind::Quantile(slot)
            }
        }
    }

    /// Hash of one dimension's piece of a key.
    #[inline]
    pub fn hash_piece(&self, piece: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(piece);
        hasher.finish()
    }

    /// Hash of a number among others of a batch; not that of its piece.
    #[inline]
    pub fn hash_int(&self, value: i64) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_i64(value);
        hasher.finish()
    }

    /// Hash of a key from the hashes of its pieces, in order.
    #[inline]
    pub fn hash_key(pieces: impl Iterator<Item = u64>) -> u64 {
        finish(pieces.fold(KEY_START, combine))
    }
}

/// Hash of a key without dimensions.
pub const KEY_START: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes the hash of the next piece into that of the pieces before it.
#[inline]
pub fn combine(key: u64, piece: u64) -> u64 {
    (key.rotate_left(29) ^ piece).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Spreads a combined hash over all 64 bits: the upper half chooses the shard, the lower
/// half the slot.
#[inline]
pub fn finish(key: u64) -> u64 {
    let key = (key ^ key >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    key ^ key >> 32
}

/// The shard that owns a key.
#[inline]
pub fn shard_of(hash: u64, shards: usize) -> usize {
    (((hash >> 32) * shards as u64) >> 32) as usize
}

/// The place of an item in a list of distinct ones.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|i| *i == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn equal_work_is_done_once() {
        let text = r#"
            event = { time = { field = "t", format = "unix_s" } }
            field = [{ name = "user" }]
            [[summary]]
            name = "a"
            dimensions = []
            aggregates = [
                { name = "ak", unique = "user" },
                { name = "apache", unique = "user", family = "datasketches" },
            ]
            [[summary]]
            name = "b"
            dimensions = []
            aggregates = [
                { name = "apache", unique = "user", family = "datasketches", log2m = 18 },
                { name = "ak", unique = "user", log2m = 4 },
            ]
        "#;
        let config = Config::parse(text, "test.toml".as_ref()).unwrap();
        let plan = Plan::new(&config.schema, 0);
        assert_eq!(plan.coupons, [(0, Family::Ak), (0, Family::DataSketches)]);
        assert_eq!(plan.selections.len(), 1);
    }
}
