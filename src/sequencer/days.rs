//! What the sequencer knows of days: which have rows in the store, which have changed since
//! they were published, and how many events each has seen.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::event::Date;
use crate::shard::{TableId, TableReport};
use crate::store::{DayRecord, Store, StoreError};

/// Where the rows of a day are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// All in memory.
    Full,
    /// From this checkpoint on, the store has rows that memory has not.
    Partial(u64),
}

/// For questions: days whose rows are all in memory, so that the store must not be read,
/// and the checkpoint from which on it must be.
#[derive(Clone, Default)]
pub struct Residences(Arc<RwLock<HashMap<TableId, Residence>>>);

impl Residences {
    /// Whether the store, as of a checkpoint, holds rows of a day that memory does not show.
    pub fn reads_store(&self, id: TableId, checkpoint: u64) -> bool {
        let residences = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match residences.get(&id) {
            None => true,
            Some(Residence::Full) => false,
            Some(Residence::Partial(from)) => checkpoint >= *from,
        }
    }

    fn set(&self, id: TableId, residence: Option<Residence>) {
        let mut residences = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match residence {
            Some(residence) => residences.insert(id, residence),
            None => residences.remove(&id),
        };
    }
}

/// A day that has changed since it was published.
#[derive(Clone, Copy, Debug)]
pub struct PendingDay {
    /// Which one.
    pub id: TableId,
    /// What is known of it.
    pub record: DayRecord,
}

struct Day {
    record: DayRecord,
    /// The stored record could not be read: it has still to be added.
    is_unread: bool,
    residence: Residence,
    /// Changed since the last checkpoint.
    changed: bool,
    /// Bytes in memory, as of the last report.
    bytes: Option<usize>,
}

impl Day {
    fn new(record: DayRecord, residence: Residence) -> Self {
        Self { record, is_unread: false, residence, changed: false, bytes: None }
    }

    fn is_pending(&self) -> bool {
        self.record.changed_sequence > self.record.published_sequence
    }

    fn add_stored(&mut self, stored: DayRecord) {
        let DayRecord { events, changed_sequence, changed_us, published_sequence } =
            &mut self.record;
        *events += stored.events;
        *changed_sequence = stored.changed_sequence.max(*changed_sequence);
        *changed_us = stored.changed_us.max(*changed_us);
        *published_sequence = stored.published_sequence.max(*published_sequence);
        self.is_unread = false;
    }
}

/// The days that are in memory or wait to be published.
pub struct Days {
    store: Arc<Store>,
    summary_numbers: Vec<u32>,
    /// By summary: days before this one were deleted.
    deleted: Vec<Date>,
    days: HashMap<TableId, Day>,
    /// Deleted since the last checkpoint. Until all shards have forgotten them, a question that
    /// looked at the store before must not count them twice.
    gone: Vec<TableId>,
    residences: Residences,
}

impl Days {
    /// The days that wait to be published, and those that were deleted, from the store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn new(store: Arc<Store>, summary_numbers: Vec<u32>) -> Result<Self, StoreError> {
        let mut days = HashMap::new();
        let database = store.database()?;
        for (number, day) in database.pending()? {
            let Some(summary) = summary_numbers.iter().position(|n| *n == number) else { continue };
            let Some(record) = database.day(number, day)? else { continue };
            let residence = Residence::Partial(0);
            days.insert(TableId { summary, day }, Day::new(record, residence));
        }
        let deleted = summary_numbers.iter().map(|&number| database.deleted_before(number));
        let deleted = deleted.collect::<Result<_, _>>()?;
        drop(database);
        let (gone, residences) = (Vec::new(), Residences::default());
        Ok(Self { store, summary_numbers, deleted, days, gone, residences })
    }

    /// For questions.
    pub fn residences(&self) -> Residences {
        self.residences.clone()
    }

    /// Notes that all rows of a day were loaded into memory.
    pub fn set_loaded(&mut self, id: TableId, record: DayRecord) {
        let residence = Residence::Full;
        self.days.insert(id, Day::new(record, residence));
        self.residences.set(id, Some(residence));
    }

    /// Notes that events change a day. Returns whether the store has rows of it that memory
    /// has not.
    pub fn touch(&mut self, id: TableId, events: u64, sequence: u64, arrival_us: i64) -> bool {
        let day = self.day_mut(id);
        day.record.events += events;
        day.record.changed_sequence = sequence;
        day.record.changed_us = arrival_us;
        day.changed = true;
        day.residence != Residence::Full
    }

    /// What is known of a day, which is looked up where nothing is known yet.
    fn day_mut(&mut self, id: TableId) -> &mut Day {
        let Self { store, summary_numbers, days, residences, .. } = self;
        days.entry(id).or_insert_with(|| {
            let day = look_up(store, summary_numbers[id.summary], id.day);
            residences.set(id, Some(day.residence));
            day
        })
    }

    /// The days that changed since this was last asked, for the records of a checkpoint.
    pub fn take_changed(&mut self) -> Vec<(u32, i32, DayRecord, bool)> {
        let mut changed = Vec::new();
        for (id, day) in self.days.iter_mut().filter(|(_, d)| d.changed) {
            let number = self.summary_numbers[id.summary];
            if day.is_unread {
                let stored = self.store.database().and_then(|d| d.day(number, id.day));
                let Ok(stored) = stored else { continue };
                day.add_stored(stored.unwrap_or_default());
            }
            day.changed = false;
            changed.push((number, id.day, day.record, day.is_pending()));
        }
        changed
    }

    /// A checkpoint failed: what it would have recorded has still to be, and the days that were
    /// to leave memory with it leave with the next one.
    pub fn failed(&mut self, checkpoint: u64, records: &[(u32, i32, DayRecord, bool)]) {
        let leaving = Residence::Partial(checkpoint);
        for (id, day) in self.days.iter_mut().filter(|(_, day)| day.residence == leaving) {
            day.residence = Residence::Partial(checkpoint + 1);
            self.residences.set(*id, Some(day.residence));
        }
        for (number, day, ..) in records {
            let Some(summary) = self.summary_numbers.iter().position(|n| n == number) else {
                continue;
            };
            if let Some(day) = self.days.get_mut(&TableId { summary, day: *day }) {
                day.changed = true;
            }
        }
    }

    /// The coldest days that are whole in memory, enough of them to free so many bytes; from
    /// this checkpoint on they are in the store.
    pub fn evict(&mut self, bytes_to_free: u64, checkpoint: u64) -> Vec<TableId> {
        let full = self.days.iter().filter(|(_, d)| d.residence == Residence::Full);
        let mut coldest: Vec<(u64, TableId, Option<usize>)> =
            full.map(|(id, d)| (d.record.changed_sequence, *id, d.bytes)).collect();
        coldest.sort_unstable();
        let known: Vec<usize> = coldest.iter().filter_map(|(_, _, bytes)| *bytes).collect();
        let typical = known.iter().sum::<usize>() / known.len().max(1);
        let mut freed = 0u64;
        let mut evicted = Vec::new();
        for (_, id, bytes) in coldest {
            if freed >= bytes_to_free {
                break;
            }
            freed += bytes.unwrap_or(typical).max(1) as u64;
            evicted.push(id);
            self.set_residence(id, Residence::Partial(checkpoint));
        }
        evicted
    }

    fn set_residence(&mut self, id: TableId, residence: Residence) {
        if let Some(day) = self.days.get_mut(&id) {
            day.residence = residence;
            self.residences.set(id, Some(residence));
        }
    }

    /// The store holds a checkpoint: what is neither in memory nor to be published is
    /// forgotten here.
    ///
    /// A day that left memory with this very checkpoint is remembered until the next one: a
    /// question that looked at the store before it may still be on its way to the shards.
    pub fn committed(&mut self, checkpoint: u64, reports: &[TableReport]) {
        let mut sizes: HashMap<TableId, usize> = HashMap::new();
        for report in reports {
            *sizes.entry(report.id).or_default() += report.bytes;
        }
        let residences = &self.residences;
        self.gone.drain(..).for_each(|id| residences.set(id, None));
        self.days.retain(|id, day| {
            day.bytes = sizes.get(id).copied();
            let settled = matches!(day.residence, Residence::Partial(from) if from < checkpoint);
            let keep = !settled || day.changed || day.is_pending();
            if !keep {
                residences.set(*id, None);
            }
            keep
        });
    }

    /// The days that have changed since they were published.
    pub fn pending(&self) -> Vec<PendingDay> {
        let pending = self.days.iter().filter(|(_, d)| d.is_pending());
        pending.map(|(id, d)| PendingDay { id: *id, record: d.record }).collect()
    }

    /// The oldest day of a summary that has changed since it was published.
    pub fn oldest_pending(&self, summary: usize) -> Option<i32> {
        let of_summary = self.days.iter().filter(|(id, d)| id.summary == summary && d.is_pending());
        of_summary.map(|(id, _)| id.day).min()
    }

    /// Number of days that have changed since they were published.
    pub fn pending_count(&self) -> usize {
        self.days.values().filter(|d| d.is_pending()).count()
    }

    /// Notes that a day was published with all events before a sequence number.
    pub fn published(&mut self, id: TableId, sequence: u64) {
        if id.day < self.deleted[id.summary] {
            return;
        }
        let day = self.day_mut(id);
        day.record.published_sequence = day.record.published_sequence.max(sequence);
        day.changed = true;
    }

    /// The day before which a summary's days were deleted.
    pub fn deleted_before(&self, summary: usize) -> Date {
        self.deleted[summary]
    }

    /// Deletes the days of a summary before a day, from the store and from here. Returns the
    /// first and the last of them; none: there were none.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn delete_before(
        &mut self,
        summary: usize,
        before: Date,
    ) -> Result<Option<(Date, Date)>, StoreError> {
        let number = self.summary_numbers[summary];
        let database = self.store.database()?;
        let stored = database.first_day(number)?.zip(database.last_day(number, before)?);
        let Some((first, last)) = stored.filter(|(first, _)| *first < before) else {
            return Ok(None);
        };
        // Only up to there: a later day that never was is welcome, should the clock be wrong.
        database.delete_before(number, last + 1)?;
        self.deleted[summary] = last + 1;
        let Self { days, gone, .. } = self;
        gone.extend(
            days.extract_if(|id, _| id.summary == summary && id.day <= last).map(|(id, _)| id),
        );
        Ok(Some((first, last)))
    }
}

fn look_up(store: &Store, number: u32, day: i32) -> Day {
    let stored = store.database().and_then(|database| database.day(number, day));
    let (stored, is_unread) = match stored {
        Ok(stored) => (stored, false),
        Err(error) => {
            tracing::error!(%error, "a day's record cannot be read");
            (None, true)
        }
    };
    // To ask the store for rows that it does not have is right as well.
    let is_stored = stored.is_some() || is_unread;
    let residence = if is_stored { Residence::Partial(0) } else { Residence::Full };
    let record = stored.unwrap_or_default();
    Day { is_unread, ..Day::new(record, residence) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_leaves_after_a_failure_is_remembered_as_long_as_any() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store"), 100).unwrap();
        let mut days = Days::new(store, vec![1]).unwrap();
        let residences = days.residences();
        let id = TableId { summary: 0, day: 7 };
        days.set_loaded(id, DayRecord::default());
        assert!(!residences.reads_store(id, 4), "all of it is in memory");
        assert_eq!(days.evict(1, 5), [id]);
        days.failed(5, &[]);
        // It leaves with the next one. A question that looked at the store before that may still
        // be on its way to the shards, which have it until they hear of the commit.
        days.committed(6, &[]);
        assert!(!residences.reads_store(id, 4) && residences.reads_store(id, 6));
        days.committed(7, &[]);
        assert!(residences.reads_store(id, 7) && days.days.is_empty());
    }
}
