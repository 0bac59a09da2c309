//! What must come of the canonical workload, exactly: the judge of `bench` and of tests.
//! It shares no code with the server on purpose; it keeps the events and sorts them.
//!
//! In: the events ([`Model::add`]), then the files that the server published
//! ([`Model::compare`]). Out: how many rows were compared, and what was wrong with them.
//! Memory: 20 bytes per event, and 24 more while one summary is compared.

mod compare;
mod judge;

pub use compare::Comparison;

use super::workload::Event;
use super::workload::names::{AD_SIZES, BROWSERS, COUNTRIES, KINDS};

/// The summaries of the canonical configuration, and their dimensions.
pub const SUMMARIES: [(&str, &[&str]); 12] = [
    ("campaign", &["campaign"]),
    ("placement", &["placement"]),
    ("campaign_placement", &["campaign", "placement"]),
    ("placement_ad_size", &["placement", "ad_size"]),
    ("country_region", &["country", "region"]),
    ("campaign_country", &["campaign", "country"]),
    ("browser", &["browser"]),
    ("campaign_ad_size", &["campaign", "ad_size"]),
    ("placement_country", &["placement", "country"]),
    ("campaign_event", &["campaign", "event"]),
    ("ad_size_browser_country", &["ad_size", "browser", "country"]),
    ("campaign_placement_ad_size_country", &["campaign", "placement", "ad_size", "country"]),
];

/// Columns of the published files behind `day` and the dimensions.
pub const COLUMNS: [&str; 9] = [
    "events",
    "cost",
    "users",
    "users_error",
    "users_hll",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
];

/// Where each dimension lies in the 64 bits of a key: name, lowest bit, number of bits.
/// The day lies above them all.
const PLACES: [(&str, u32, u32); 7] = [
    ("placement", 0, 16),
    ("campaign", 16, 11),
    ("country", 27, 6),
    ("region", 33, 6),
    ("ad_size", 39, 3),
    ("browser", 42, 3),
    ("event", 45, 2),
];
const DAY_PLACE: u32 = 47;
const DAY_MS: i64 = 86_400_000;

/// All events, in columns.
#[derive(Default)]
pub struct Model {
    keys: Vec<u64>,
    users: Vec<u32>,
    latencies_us: Vec<u32>,
    costs_micros: Vec<u32>,
}

impl Model {
    /// Knows no events yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event.
    pub fn add(&mut self, event: &Event) {
        self.keys.push(key(event));
        self.users.push(event.user);
        self.latencies_us.push(event.latency_us);
        self.costs_micros.push(event.cost_micros);
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Day and dimensions of an event in 64 bits; a summary is this with some bits masked.
fn key(event: &Event) -> u64 {
    let values = [
        event.placement,
        u32::from(event.campaign),
        u32::from(event.country),
        u32::from(event.region),
        u32::from(event.ad_size),
        u32::from(event.browser),
        u32::from(event.kind),
    ];
    let day = event.ts_ms.div_euclid(DAY_MS) as u64;
    let put = |key, (value, (_, place, _)): (&u32, &(_, u32, _))| key | u64::from(*value) << place;
    values.iter().zip(&PLACES).fold(day << DAY_PLACE, put)
}

/// The bits of a key that a summary of these dimensions tells apart, with the day.
fn mask(dimensions: &[&str]) -> u64 {
    let days = u64::MAX << DAY_PLACE;
    let wanted = PLACES.iter().filter(|(name, ..)| dimensions.contains(name));
    wanted.fold(days, |mask, (_, place, bits)| mask | ((1 << bits) - 1) << place)
}

/// The bits of one dimension from its name in a file; none where no event has it.
fn bits_of(dimension: &str, text: &str) -> Option<u64> {
    let listed = |names: &[&str]| names.iter().position(|name| *name == text).map(|at| at as u64);
    let numbered = |letter| text.strip_prefix(letter).and_then(|digits: &str| digits.parse().ok());
    let value = match dimension {
        "placement" => numbered('p'),
        "campaign" => numbered('c'),
        "region" => numbered('r'),
        "country" => listed(&COUNTRIES),
        "ad_size" => listed(&AD_SIZES),
        "browser" => listed(&BROWSERS),
        _ => listed(&KINDS),
    }?;
    let (_, place, bits) = PLACES.iter().find(|(name, ..)| *name == dimension)?;
    (value < 1 << bits).then_some(value << place)
}

#[cfg(test)]
mod tests;
