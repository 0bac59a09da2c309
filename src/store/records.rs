//! Entries of the store that are no rows. Their keys begin with summary number 0, which no
//! summary has; their values are JSON.

use serde::{Deserialize, Serialize};

/// The key of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// [`Format`]
    Format,
    /// [`super::Registry`]
    Registry,
    /// [`Position`]
    Position,
    /// [`DayRecord`] of a summary number and a day.
    Day(u32, i32),
    /// Present while a day has changed since it was published.
    Pending(u32, i32),
    /// The day before which a summary number's days were deleted.
    Deleted(u32),
    /// What tells this store from all others.
    Identity,
}

const FORMAT: u8 = 1;
const REGISTRY: u8 = 2;
const POSITION: u8 = 3;
const DAY: u8 = 4;
const PENDING: u8 = 5;
const DELETED: u8 = 6;
const IDENTITY: u8 = 7;

impl Record {
    /// The bytes of the key; records order by kind, summary, day.
    pub fn key(&self) -> Vec<u8> {
        let mut key = vec![0, 0, 0, 0];
        match self {
            Self::Format => key.push(FORMAT),
            Self::Registry => key.push(REGISTRY),
            Self::Position => key.push(POSITION),
            Self::Identity => key.push(IDENTITY),
            Self::Day(summary, day) => {
                key.push(DAY);
                key.extend_from_slice(&crate::key::prefix(*summary, *day));
            }
            Self::Pending(summary, day) => {
                key.push(PENDING);
                key.extend_from_slice(&crate::key::prefix(*summary, *day));
            }
            Self::Deleted(summary) => {
                key.push(DELETED);
                key.extend_from_slice(&summary.to_be_bytes());
            }
        }
        key
    }

    /// The record that a key names.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (kind, rest) = key.strip_prefix(&[0, 0, 0, 0])?.split_first()?;
        let id = || {
            let raw: [u8; 8] = rest.try_into().ok()?;
            let (summary, day) =
                ((u64::from_be_bytes(raw) >> 32) as u32, u64::from_be_bytes(raw) as u32);
            Some((summary, (day ^ (1 << 31)) as i32))
        };
        match *kind {
            FORMAT => Some(Self::Format),
            REGISTRY => Some(Self::Registry),
            POSITION => Some(Self::Position),
            DAY => id().map(|(summary, day)| Self::Day(summary, day)),
            PENDING => id().map(|(summary, day)| Self::Pending(summary, day)),
            DELETED => rest.try_into().ok().map(|raw| Self::Deleted(u32::from_be_bytes(raw))),
            IDENTITY => Some(Self::Identity),
            _ => None,
        }
    }

    /// What the keys of all pending days begin with.
    pub fn pending_prefix() -> [u8; 5] {
        [0, 0, 0, 0, PENDING]
    }
}

/// Versions of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Of the store: keys and records.
    pub store: u32,
    /// Of the rows.
    pub rows: u32,
}

impl Format {
    /// What this program reads and writes.
    pub const CURRENT: Self = Self { store: 2, rows: crate::row::codec::VERSION as u32 };
}

/// Up to where the store holds everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Number of the newest checkpoint.
    pub checkpoint: u64,
    /// Sequence number after the last event.
    pub sequence: u64,
    /// Arrival of the last batch, in microseconds since 1970.
    pub arrival_us: i64,
}

/// What is known of a summary's day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRecord {
    /// Events that changed it.
    pub events: u64,
    /// Sequence number after the last of them.
    pub changed_sequence: u64,
    /// Arrival of the last of them, in microseconds since 1970.
    pub changed_us: i64,
    /// What was published: all events before this sequence number; 0: nothing yet.
    pub published_sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_order() {
        let records = [
            Record::Format,
            Record::Registry,
            Record::Position,
            Record::Day(1, -5),
            Record::Day(1, 20_000),
            Record::Day(2, 0),
            Record::Pending(1, 7),
            Record::Deleted(1),
            Record::Deleted(2),
            Record::Identity,
        ];
        for pair in records.windows(2) {
            assert!(pair[0].key() < pair[1].key());
        }
        records.iter().for_each(|r| assert_eq!(Record::from_key(&r.key()), Some(*r)));
        assert_eq!(Record::from_key(&crate::key::prefix(1, 2)), None);
        assert_eq!(Record::Day(1, 2).key(), [0, 0, 0, 0, 4, 0, 0, 0, 1, 0x80, 0, 0, 2]);
    }
}
