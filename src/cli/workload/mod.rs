//! The canonical workload: an ad server's day, made of a seed. `generate` prints it, `bench`
//! feeds it, [`crate::cli::model`] knows what must come of it.
//!
//! In: a seed, how many events, which days. Out: [`Event`]s of small numbers, which the
//! names in [`names`] turn into text only where they are written ([`text`], [`wire`]).
//! The same seed makes the same events, whoever asks.

pub mod names;
pub mod text;
pub mod wire;

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use crate::limits;

/// How many users there are; the most active is number 1.
pub const USERS: u32 = 2_000_000;
/// How many placements there are; the busiest is number 1.
pub const PLACEMENTS: u32 = 50_000;
/// How many campaigns own them.
pub const CAMPAIGNS: u32 = 2_000;
/// How many regions there are.
pub const REGIONS: u8 = 50;
/// The highest cost, in micro-units; the lowest is one.
pub const MAX_COST_MICROS: u32 = 5_000;
/// The day that the events end on unless told otherwise (2026-11-20), as days since 1970.
pub const LAST_DAY: i32 = 20_777;

const DAY_MS: i64 = 86_400_000;

/// One event. Numbers stand for names; see [`names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique within a seed; written as 16 hex digits.
    pub id: u64,
    /// Milliseconds since 1970.
    pub ts_ms: i64,
    /// 1 to [`USERS`].
    pub user: u32,
    /// 1 to [`PLACEMENTS`].
    pub placement: u32,
    /// 1 to [`CAMPAIGNS`]; a function of the placement.
    pub campaign: u16,
    /// Place in [`names::AD_SIZES`]; a function of the placement.
    pub ad_size: u8,
    /// Place in [`names::BROWSERS`].
    pub browser: u8,
    /// Place in [`names::COUNTRIES`].
    pub country: u8,
    /// 1 to [`REGIONS`].
    pub region: u8,
    /// Place in [`names::KINDS`].
    pub kind: u8,
    /// Cost in millionths.
    pub cost_micros: u32,
    /// Latency in thousandths of a millisecond.
    pub latency_us: u32,
}

/// Makes the events of some days, in order of time.
pub struct Generator {
    random: ChaCha8Rng,
    users: Zipf<f64>,
    placements: Zipf<f64>,
    countries: Vec<u64>,
    regions: Vec<u64>,
    id_key: u64,
    first_ms: i64,
    span_ms: i64,
    events: u64,
    made: u64,
}

impl Generator {
    /// `events` events spread evenly over `days` days from `first_day` (days since 1970) on.
    ///
    /// # Errors
    /// Where there are no days, or some that the server would not take.
    pub fn new(seed: u64, events: u64, days: u32, first_day: i32) -> anyhow::Result<Self> {
        let last = i64::from(first_day) + i64::from(days) - 1;
        if days == 0 || first_day < limits::FIRST_DAY || last > i64::from(limits::LAST_DAY) {
            bail!("the days must lie between 1970-01-01 and 2199-12-31, and be one at least");
        }
        Ok(Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            users: Zipf::new(f64::from(USERS), 1.05).context("users")?,
            placements: Zipf::new(f64::from(PLACEMENTS), 1.0).context("placements")?,
            countries: thresholds(names::COUNTRIES.len(), 1.2),
            regions: thresholds(usize::from(REGIONS), 0.8),
            id_key: mix(seed ^ 0x6964),
            first_ms: i64::from(first_day) * DAY_MS,
            span_ms: i64::from(days) * DAY_MS,
            events,
            made: 0,
        })
    }

    /// The time of the n-th event.
    fn time(&self, n: u64) -> i64 {
        let offset = i128::from(n) * i128::from(self.span_ms) / i128::from(self.events);
        // Less than the span, which is an i64.
        self.first_ms + offset as i64
    }
}

/// The campaign and the ad size of a placement. Every campaign has placements of every
/// size, and neighbours in rank differ in both, so that no size owns the busy ones.
pub fn owner(placement: u32) -> (u16, u8) {
    let (round, campaign) = (placement / CAMPAIGNS, placement % CAMPAIGNS);
    ((campaign + 1) as u16, ((2 * campaign + round) % names::AD_SIZES.len() as u32) as u8)
}

impl Iterator for Generator {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.made == self.events {
            return None;
        }
        let n = self.made;
        self.made += 1;
        let ts_ms = self.time(n);
        let random = &mut self.random;
        let user = self.users.sample(random) as u32;
        let placement = self.placements.sample(random) as u32;
        let (campaign, ad_size) = owner(placement);
        let bits: u32 = random.random();
        Some(Event {
            // A bijection of n: no id comes twice.
            id: mix(n ^ self.id_key),
            ts_ms,
            user,
            placement,
            campaign,
            ad_size,
            browser: small(bits & 0xffff, names::BROWSERS.len() as u32),
            country: drawn(&self.countries, random),
            region: drawn(&self.regions, random) + 1,
            kind: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2][usize::from(small(bits >> 16, 11))],
            cost_micros: random.random_range(1..=MAX_COST_MICROS),
            latency_us: (random.random_range(0.0..6.0f64).exp() * 1000.0) as u32,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.events - self.made).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

/// 0 to `choices` − 1 from 16 random bits.
fn small(bits: u32, choices: u32) -> u8 {
    ((bits * choices) >> 16) as u8
}

/// For Zipf's law over few values a table is faster than the formula: the n-th entry is
/// 2^64 times the chance of a value up to n.
fn thresholds(values: usize, exponent: f64) -> Vec<u64> {
    let weight = |n: usize| (n as f64 + 1.0).powf(-exponent);
    let all: f64 = (0..values).map(weight).sum();
    let mut up_to = 0.0;
    let threshold = |n| {
        up_to += weight(n);
        (up_to / all * u64::MAX as f64) as u64
    };
    (0..values).map(threshold).collect()
}

/// The first entry above a random number.
fn drawn(thresholds: &[u64], random: &mut ChaCha8Rng) -> u8 {
    let number: u64 = random.random();
    let place = thresholds.iter().position(|&t| number < t);
    place.unwrap_or(thresholds.len() - 1) as u8
}

/// A bijection that looks random (the finalizer of splitmix64, Steele et al. 2014).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn events(seed: u64, events: u64, days: u32) -> Vec<Event> {
        Generator::new(seed, events, days, LAST_DAY).unwrap().collect()
    }

    #[test]
    fn a_seed_always_makes_the_same_events() {
        assert_eq!(events(7, 1000, 1), events(7, 1000, 1));
        assert_ne!(events(7, 1000, 1), events(8, 1000, 1));
        let first = events(1, 100_000, 1)[0];
        let again = Generator::new(1, 100_000, 1, LAST_DAY).unwrap().next().unwrap();
        assert_eq!(first, again);
    }

    #[test]
    fn times_are_even_in_order_and_within_the_days() {
        let all = events(1, 10_000, 3);
        assert!(all.windows(2).all(|pair| pair[0].ts_ms <= pair[1].ts_ms));
        for day in 0..3 {
            let start = (i64::from(LAST_DAY) + day) * DAY_MS;
            let within = all.iter().filter(|e| (start..start + DAY_MS).contains(&e.ts_ms)).count();
            assert!(within.abs_diff(3333) <= 1, "{within} events on day {day}");
        }
        assert!(Generator::new(1, 1, 0, LAST_DAY).is_err());
        assert!(Generator::new(1, 1, 1, -1).is_err());
        assert_eq!(events(1, 0, 1), []);
    }

    #[test]
    fn ids_are_unique_and_owners_cover_all() {
        let ids: HashSet<u64> = events(1, 100_000, 1).iter().map(|e| e.id).collect();
        assert_eq!(ids.len(), 100_000);
        let owners: HashSet<_> = (1..=PLACEMENTS).map(owner).collect();
        assert_eq!(owners.len(), 10_000);
        assert!(owners.iter().all(|o| (1..=2000).contains(&o.0) && o.1 < 5));
    }

    /// Shares of the most frequent values, against Zipf's law itself.
    #[test]
    fn shares_follow_zipf() {
        let all = events(3, 200_000, 1);
        let zipf = |n: u32, s: f64| 1.0 / (1..=n).map(|k| f64::from(k).powf(-s)).sum::<f64>();
        let check = |what: &str, share: f64, hits: usize| {
            let (expected, seen) = (share * 200_000.0, hits as f64);
            let reach = 5.0 * (expected * (1.0 - share)).sqrt();
            assert!((seen - expected).abs() < reach, "{what}: {seen} instead of {expected}");
        };
        let hits = |is: &dyn Fn(&Event) -> bool| all.iter().filter(|e| is(e)).count();
        check("user 1", zipf(USERS, 1.05), hits(&|e| e.user == 1));
        check("user 2", zipf(USERS, 1.05) / 2f64.powf(1.05), hits(&|e| e.user == 2));
        check("placement 1", zipf(PLACEMENTS, 1.0), hits(&|e| e.placement == 1));
        check("placement 10", zipf(PLACEMENTS, 1.0) / 10.0, hits(&|e| e.placement == 10));
        check("country 0", zipf(40, 1.2), hits(&|e| e.country == 0));
        check("country 39", zipf(40, 1.2) / 40f64.powf(1.2), hits(&|e| e.country == 39));
        check("region 50", zipf(50, 0.8) / 50f64.powf(0.8), hits(&|e| e.region == 50));
        check("impressions", 9.0 / 11.0, hits(&|e| e.kind == 0));
        check("browser 4", 0.2, hits(&|e| e.browser == 4));
        check("below e^3 ms", 0.5, hits(&|e| e.latency_us < 20_085));
        assert!(all.iter().all(|e| (1..=5000).contains(&e.cost_micros)));
        assert!(all.iter().all(|e| (1000..403_429).contains(&e.latency_us)));
        assert!(all.iter().all(|e| (1..=USERS).contains(&e.user)));
        assert!(all.iter().all(|e| (1..=PLACEMENTS).contains(&e.placement)));
    }
}
