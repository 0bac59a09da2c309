//! The counters of the program. Whatever is lost, refused or slow is counted here; the
//! question `{"get":"stats"}` shows all of it. ops/METRICS.md says what each one means.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

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
        let shards = self.shards.iter().map(|s| {
            json!({
                "queue_depth": s.queue_depth.get(),
                "rows": s.rows.get(),
                "memory_bytes": s.memory_bytes.get(),
                "updates": s.updates.get(),
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
