//! The counters of the program. Whatever is lost, refused or slow is counted here; the
//! question `{"get":"stats"}` shows all of it. ops/METRICS.md says what each one means.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Default, Debug)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it. Who reads the new value also sees what was set before it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Release);
    }

    /// Adds to it. One thread alone may change it.
    pub fn add(&self, value: i64) {
        self.set(self.get() + value);
    }

    /// Its value.
    pub fn get(&self) -> i64 {
        self.0.load(Acquire)
    }
}

/// How often spans of time were how long: four steps for each doubling, from a microsecond up to an
/// hour and more.
#[derive(Debug)]
pub struct Histogram {
    steps: [AtomicU64; 128],
    longest_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: std::array::from_fn(|_| AtomicU64::new(0)), longest_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a span.
    pub fn record(&self, span: Duration) {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.steps[step_of(us).min(self.steps.len() - 1)].fetch_add(1, Relaxed);
        self.longest_us.fetch_max(us, Relaxed);
    }

    /// Microseconds below or at which a share of the spans was, as a step tells.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.steps.iter().map(|step| step.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let step = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let longest_us = self.longest_us.load(Relaxed);
        step.map_or(0, |step| end_of(step).min(longest_us))
    }

    fn to_json(&self) -> Value {
        let spans: u64 = self.steps.iter().map(|step| step.load(Relaxed)).sum();
        json!({
            "spans": spans,
            "p50": self.quantile_us(0.5),
            "p99": self.quantile_us(0.99),
            "p999": self.quantile_us(0.999),
            "max": self.longest_us.load(Relaxed),
        })
    }
}

/// The step that a number of microseconds belongs to: it tells the highest bit and the two below.
fn step_of(us: u64) -> usize {
    match us.checked_ilog2() {
        None | Some(0 | 1) => us as usize,
        Some(bit) => (4 * (bit as usize - 1)) + ((us >> (bit - 2)) & 3) as usize,
    }
}

/// The greatest number of microseconds that belongs to a step.
fn end_of(step: usize) -> u64 {
    match (step / 4, step as u64 % 4) {
        (0, us) => us,
        (doubling, quarter) => ((4 + quarter + 1) << (doubling - 1)) - 1,
    }
}

/// A shard's part.
#[derive(Default, Debug)]
pub struct ShardMetrics {
    /// Commands waiting.
    pub queue_depth: Gauge,
    /// Rows in memory.
    pub rows: Gauge,
    /// Bytes of rows in memory.
    pub memory_bytes: Gauge,
    /// Updates of rows.
    pub updates: Counter,
    /// How long batches waited for anything but other batches.
    pub pauses_us: Histogram,
}

/// A summary's part.
#[derive(Default, Debug)]
pub struct SummaryMetrics {
    /// Events applied.
    pub events: Counter,
    /// Events that were older than the days it retains.
    pub expired: Counter,
}

macro_rules! metrics {
    ($(counter $counter:ident $counter_doc:literal)* $(gauge $gauge:ident $gauge_doc:literal)*) => {
        /// All counters.
        #[derive(Default, Debug)]
        pub struct Metrics {
            $(#[doc = $counter_doc] pub $counter: Counter,)*
            $(#[doc = $gauge_doc] pub $gauge: Gauge,)*
            /// Events and messages refused, by reason.
            pub refused: Vec<(&'static str, Counter)>,
            /// How long the sequencer did other things than to receive, while there was more.
            pub receiving_pauses_us: Histogram,
            /// By shard.
            pub shards: Vec<ShardMetrics>,
            /// By summary.
            pub summaries: Vec<(String, SummaryMetrics)>,
            /// Members that no field names, by name.
            pub unknown_fields: Mutex<BTreeMap<String, u64>>,
        }

        impl Metrics {
            /// Name and meaning of each counter and gauge, as ops/METRICS.md lists them.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[
                $((stringify!($counter), $counter_doc),)*
                $((stringify!($gauge), $gauge_doc),)*
            ];

            fn plain(&self) -> Map<String, Value> {
                let mut all = Map::new();
                $(all.insert(stringify!($counter).to_owned(), self.$counter.get().into());)*
                $(all.insert(stringify!($gauge).to_owned(), self.$gauge.get().into());)*
                all
            }
        }
    };
}

metrics! {
    counter messages "Messages received."
    counter message_bytes "Bytes of messages received."
    counter events_accepted "Events accepted since the start: given a sequence number."
    counter events_refused "Events and messages refused; LOSS unless kept as dead letters."
    counter dead_letters "Refused events kept as dead letters."
    counter dead_letters_dropped "Refused events that were only counted: the day's file was full or could not be written. LOSS."
    counter batches "Batches that went to the shards."
    counter blocked_us "Microseconds that reading the sockets stood still because a shard's queue was full."
    counter checkpoints "Checkpoints written."
    counter checkpoints_failed "Checkpoints that could not be written and will be tried again."
    counter store_reopened "Times that the store was opened anew because an error of its disk had stopped it."
    counter checkpoint_rows "Rows written by checkpoints."
    counter checkpoint_bytes "Bytes written by checkpoints, before compression."
    counter tables_evicted "Tables (one summary, one day) that left memory."
    counter questions "Questions answered."
    counter questions_failed "Questions answered with an error."
    counter answers_dropped "Questions left without an answer: their senders do not read, and too much waited for them."
    counter answers_unwanted "Answers whose questioner had gone."
    counter snapshots "Revisions published."
    counter snapshots_unchanged "Publications that found nothing changed."
    counter snapshots_failed "Publications that failed and will be tried again."
    counter nul_cells_replaced "Cells of published revisions in which U+FFFD stands for U+0000."
    counter connections_refused "Connections that were not let in: as many as the open files allow were there."
    gauge sequence "Sequence number after the newest accepted event, over all runs."
    gauge stored_sequence "Sequence number up to which the store holds everything."
    gauge open_batch_events "Events in the batch that is being filled."
    gauge checkpoint_us "Microseconds that the newest checkpoint took."
    gauge event_connections "Connections to the sockets for events."
    gauge question_connections "Connections to the question socket."
    gauge pending_days "Tables (one summary, one day) that have changed since they were published."
}

impl Metrics {
    /// Counters for the given reasons of refusal, number of shards and summaries.
    pub fn new(reasons: &[&'static str], shards: usize, summaries: &[String]) -> Self {
        Self {
            refused: reasons.iter().map(|r| (*r, Counter::default())).collect(),
            shards: (0..shards).map(|_| ShardMetrics::default()).collect(),
            summaries: summaries.iter().map(|s| (s.clone(), SummaryMetrics::default())).collect(),
            ..Self::default()
        }
    }

    /// All of it as one JSON object.
    pub fn to_json(&self) -> Value {
        let mut all = self.plain();
        let refused = self.refused.iter().filter(|(_, c)| c.get() > 0);
        all.insert("refused".into(), refused.map(|(n, c)| (*n, c.get())).collect());
        let unknown = self.unknown_fields.lock().map(|names| json!(*names));
        all.insert("unknown_fields".into(), unknown.unwrap_or(Value::Null));
        all.insert("receiving_pauses_us".into(), self.receiving_pauses_us.to_json());
        let shards = self.shards.iter().map(|s| {
            json!({
                "queue_depth": s.queue_depth.get(),
                "rows": s.rows.get(),
                "memory_bytes": s.memory_bytes.get(),
                "updates": s.updates.get(),
                "pauses_us": s.pauses_us.to_json(),
            })
        });
        all.insert("shards".into(), shards.collect());
        let summaries = self.summaries.iter().map(|(name, s)| {
            (name.clone(), json!({ "events": s.events.get(), "expired": s.expired.get() }))
        });
        all.insert("summaries".into(), Value::Object(summaries.collect()));
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_is_in_its_step() {
        let mut last = 0;
        for us in
            (0..5_000).chain((13..40).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]))
        {
            let step = step_of(us);
            assert!(step == last || step == last + 1 || us > 5_000, "{us}: {step} after {last}");
            assert!(us <= end_of(step) && end_of(step) <= us + us / 4, "{us}: {step}");
            assert_eq!(step_of(end_of(step)), step);
            last = step;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_steps() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), 0);
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram.record(Duration::from_secs(100_000));
        assert!((500..=639).contains(&histogram.quantile_us(0.5)));
        assert!((990..=1279).contains(&histogram.quantile_us(0.99)));
        let longest_us = histogram.longest_us.load(Relaxed);
        assert_eq!(
            (histogram.quantile_us(1.0), longest_us),
            (end_of(127).min(longest_us), 100_000_000_000)
        );
    }
}
