//! The way of an event, room by room, in time per event: decode (beside sonic-rs), partition,
//! and the update of rows, new ones and old ones. `cargo bench --profile release --bench event`

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use summarizer::cli::workload::{Event, Generator, LAST_DAY};
use summarizer::config::{Config, Format, Schema};
use summarizer::event::Batch;
use summarizer::ingest::{DeadLetters, Decoder, Message, Progress, Reason};
use summarizer::limits::BATCH_EVENTS;
use summarizer::metrics::Metrics;
use summarizer::partition::{Plan, Splitter, Work};
use summarizer::row::Layout;
use summarizer::shard::cut::Watchers;
use summarizer::shard::table::Table;
use summarizer::shard::{TableId, update};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SHARDS: usize = 2;

/// Batches that make the rows before those that are measured.
const WARM_UP: usize = 25;

/// Everything in front of the shards, for the canonical schema.
struct Front {
    schema: Arc<Schema>,
    plan: Plan,
    metrics: Arc<Metrics>,
    decoder: Decoder,
    splitter: Splitter,
    dead: DeadLetters,
}

impl Front {
    fn new() -> Self {
        let config = Config::load("schemas/adtech.toml".as_ref()).unwrap();
        let schema = Arc::new(config.schema);
        let reasons: Vec<&str> = Reason::ALL.iter().map(|r| r.name()).collect();
        let names: Vec<String> = schema.summaries.iter().map(|s| s.name.clone()).collect();
        let metrics = Arc::new(Metrics::new(&reasons, SHARDS, &names));
        let nowhere = std::env::temp_dir().join("no-dead-letters");
        Self {
            plan: Plan::new(&schema, 1),
            decoder: Decoder::new(Arc::clone(&schema), Arc::clone(&metrics)),
            splitter: Splitter::new(&schema),
            dead: DeadLetters::new(nowhere, config.dead_letters, Arc::clone(&metrics)),
            metrics,
            schema,
        }
    }

    fn decode(&mut self, messages: &[Vec<u8>], batch: &mut Batch) {
        for bytes in messages {
            let message = Message { bytes, source: "bench", format: Format::Auto };
            let progress = &mut Progress::default();
            assert!(self.decoder.decode(&message, progress, batch, &mut self.dead));
        }
    }

    fn empty(&self) -> Work {
        let mut work = Work::new(Batch::new(&self.schema), SHARDS);
        // The end of the events' day.
        work.batch.arrival_us = (i64::from(LAST_DAY) + 1) * 86_400_000_000;
        work
    }

    fn work(&mut self, messages: &[Vec<u8>]) -> Work {
        let mut work = self.empty();
        self.decode(messages, &mut work.batch);
        self.splitter.split(&self.plan, &mut work, &self.metrics);
        work
    }
}

/// Batches of canonical events, as messages of a hundred.
fn batches(count: usize) -> Vec<Vec<Vec<u8>>> {
    let events = (count * BATCH_EVENTS) as u64;
    let events: Vec<Event> = Generator::new(1, events, 1, LAST_DAY).unwrap().collect();
    let message = |events: &[Event]| {
        let mut text = Vec::new();
        events.iter().for_each(|e| e.write_json(&mut text));
        text
    };
    events.chunks(BATCH_EVENTS).map(|batch| batch.chunks(100).map(message).collect()).collect()
}

/// The event as sonic-rs reads it best: into borrowed text, nothing unknown.
#[derive(serde::Deserialize)]
#[allow(dead_code)]
struct Borrowed<'a> {
    id: &'a str,
    ts: i64,
    user: &'a str,
    placement: &'a str,
    campaign: &'a str,
    ad_size: &'a str,
    browser: &'a str,
    country: &'a str,
    region: &'a str,
    event: &'a str,
    cost: f64,
    latency_ms: f64,
}

fn decode(criterion: &mut Criterion) {
    let messages = batches(1).remove(0);
    let mut front = Front::new();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(BATCH_EVENTS as u64));
    let mut batch = front.empty().batch;
    group.bench_function("into columns", |bench| {
        bench.iter(|| {
            batch.clear();
            front.decode(&messages, &mut batch);
            assert_eq!(black_box(&batch).len(), BATCH_EVENTS);
        });
    });
    group.bench_function("sonic-rs into a borrowed struct", |bench| {
        bench.iter(|| {
            for line in messages.iter().flat_map(|m| m.split_inclusive(|b| *b == b'\n')) {
                black_box(sonic_rs::from_slice::<Borrowed<'_>>(line).unwrap());
            }
        });
    });
    group.bench_function("sonic-rs into a tree", |bench| {
        bench.iter(|| {
            for line in messages.iter().flat_map(|m| m.split_inclusive(|b| *b == b'\n')) {
                black_box(sonic_rs::from_slice::<sonic_rs::Value>(line).unwrap());
            }
        });
    });
    group.finish();
}

fn partition(criterion: &mut Criterion) {
    let messages = batches(1).remove(0);
    let mut front = Front::new();
    let mut work = front.work(&messages);
    let mut group = criterion.benchmark_group("partition");
    group.throughput(Throughput::Elements(BATCH_EVENTS as u64));
    group.bench_function("prepare and split", |bench| {
        bench.iter(|| {
            black_box(front.splitter.split(&front.plan, &mut work, &front.metrics));
        });
    });
    group.finish();
}

/// The tables of all shards, and what applies a batch to them.
struct Back {
    layouts: Vec<Arc<Layout>>,
    tables: Vec<Vec<Table>>,
}

impl Back {
    fn new(schema: &Schema) -> Self {
        let layouts = schema.summaries.iter().map(|summary| {
            let numbers = (0..summary.aggregates.len() as u32).collect();
            Arc::new(Layout::new(schema, summary, 1, numbers))
        });
        let layouts: Vec<_> = layouts.collect();
        let table = |layout: &Arc<Layout>| Table::new(Arc::clone(layout), false);
        let tables = (0..SHARDS).map(|_| layouts.iter().map(table).collect()).collect();
        Self { layouts, tables }
    }

    fn apply(&mut self, plan: &Plan, work: &Work) {
        for (tables, route) in self.tables.iter_mut().zip(&work.routes) {
            for table in &route.tables {
                let id = TableId { summary: table.summary, day: table.day };
                let rows = route.rows(table.rows.clone());
                let summary = &plan.summaries[table.summary];
                let mut watchers = Watchers::new(id, [], None);
                update::apply(&mut tables[table.summary], summary, work, rows, &mut watchers);
            }
        }
    }
}

fn rows(criterion: &mut Criterion) {
    let mut front = Front::new();
    let works: Vec<Work> = batches(WARM_UP + 20).iter().map(|m| front.work(m)).collect();
    let (before, measured) = works.split_at(WARM_UP);
    let mut back = Back::new(&front.schema);
    assert_eq!(back.layouts.len(), 12);
    before.iter().for_each(|work| back.apply(&front.plan, work));
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements((measured.len() * BATCH_EVENTS) as u64));
    group.bench_function("new, in empty tables", |bench| {
        bench.iter_batched_ref(
            || Back::new(&front.schema),
            |back| measured.iter().for_each(|work| back.apply(&front.plan, work)),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("old, behind 400,000 events", |bench| {
        bench.iter(|| measured.iter().for_each(|work| back.apply(&front.plan, work)));
    });
    group.finish();
}

criterion_group!(benches, decode, partition, rows);
criterion_main!(benches);
