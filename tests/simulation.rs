//! Seeded simulations against an exact model: many days, late events, little memory,
//! restarts, other numbers of shards. Whatever happens in between, every number is right,
//! and what is stored is the same to the byte.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use summarizer::event::{date, parse_date};
use summarizer::store::Store;
use support::{NOON_US, TestServer};

fn config(shards: usize, memory: &str, interval: &str) -> String {
    format!(
        r#"
shards = {shards}
memory_limit = "{memory}"
field = [
  {{ name = "key" }}, {{ name = "group", type = "int" }}, {{ name = "n", type = "int" }},
  {{ name = "user" }}, {{ name = "ms", type = "float" }}, {{ name = "kind" }},
]
[checkpoint]
interval = "{interval}"
[event]
time = {{ field = "ts", format = "unix_ms" }}
[[summary]]
name = "keys"
dimensions = ["key", "group"]
aggregates = [
  {{ name = "events", count = true }},
  {{ name = "clicks", count = true, where = "kind = 'click' and n > 10" }},
  {{ name = "n", sum = "n" }}, {{ name = "least", min = "n" }}, {{ name = "most", max = "ms" }},
  {{ name = "newest", last = "user" }}, {{ name = "users", unique = "user" }},
  {{ name = "ms", sum = "ms" }}, {{ name = "latency", quantile = "ms" }},
  {{ name = "apache", unique = "user", family = "datasketches", log2m = 12 }},
  {{ name = "set", theta = "user", log2k = 9 }}, {{ name = "few", theta = "n", log2k = 4 }},
]
[[summary]]
name = "clicks"
dimensions = ["group"]
where = "kind = 'click'"
aggregates = [ {{ name = "events", count = true }}, {{ name = "users", unique = "user" }} ]
"#
    )
}

/// A summary of its own, since its bytes depend on the order of events.
const FREQUENT: &str = r#"
[[summary]]
name = "frequent"
dimensions = ["group"]
aggregates = [
  { name = "all", top = "key", k = 100 }, { name = "few", top = "key", k = 2 },
  { name = "ns", top = "n", k = 3 },
]
"#;

#[derive(Clone)]
struct Event {
    ts: i64,
    key: Option<String>,
    group: i64,
    n: Option<i64>,
    user: String,
    ms: f64,
    kind: &'static str,
}

impl Event {
    fn random(rng: &mut ChaCha8Rng, days: i64, at: i64) -> Self {
        let day = rng.random_range(0..days);
        let keys = if rng.random_bool(0.5) { 3 } else { 200 };
        Self {
            // Times are unique, so that the newest event is.
            ts: NOON_US / 1000 - day * 86_400_000 - 40_000_000 + at,
            key: (!rng.random_bool(0.05)).then(|| format!("k{}", rng.random_range(0..keys))),
            group: rng.random_range(-2..3),
            n: (!rng.random_bool(0.1)).then(|| rng.random_range(-50..50)),
            user: format!("u{}", rng.random_range(0..500)),
            ms: f64::from(rng.random_range(0..8000)) / 8.0,
            kind: if rng.random_bool(0.2) { "click" } else { "view" },
        }
    }

    fn json(&self) -> String {
        json!({ "ts": self.ts, "key": self.key, "group": self.group, "n": self.n, "user": self.user,
            "ms": self.ms, "kind": self.kind, "other": [1, 2] })
        .to_string()
    }

    fn day(&self) -> i32 {
        i32::try_from(self.ts.div_euclid(86_400_000)).unwrap()
    }
}

#[derive(Default)]
struct Row {
    events: i64,
    clicks: i64,
    n: i64,
    least: Option<i64>,
    most: Option<f64>,
    newest: Option<(i64, String)>,
    users: BTreeSet<String>,
    ns: BTreeSet<i64>,
    each_n: Vec<i64>,
    ms: Vec<f64>,
}

impl Row {
    fn add(&mut self, event: &Event) {
        self.events += 1;
        self.clicks += i64::from(event.kind == "click" && event.n.is_some_and(|n| n > 10));
        self.n += event.n.unwrap_or(0);
        self.least = self.least.into_iter().chain(event.n).min();
        self.most = Some(self.most.map_or(event.ms, |m| m.max(event.ms)));
        self.newest = self.newest.take().max(Some((event.ts, event.user.clone())));
        self.users.insert(event.user.clone());
        self.ns.extend(event.n);
        self.each_n.extend(event.n);
        self.ms.push(event.ms);
    }

    /// Compares with a row of an answer that has selected all columns.
    fn check(&mut self, cells: &[Value], context: &str) {
        let exact = [json!(self.events), json!(self.clicks), json!(self.n), json!(self.least)];
        assert_eq!(cells[..4], exact, "{context}");
        assert_eq!(cells[4].as_f64(), self.most, "{context}");
        assert_eq!(cells[5].as_str(), self.newest.as_ref().map(|(_, u)| u.as_str()), "{context}");
        assert_eq!(cells[6].as_u64(), Some(self.users.len() as u64), "{context}");
        assert_eq!(cells[7].as_f64(), Some(self.ms.iter().sum()), "{context}");
        for counted in &cells[12..14] {
            assert_eq!(counted.as_u64(), Some(self.users.len() as u64), "{context}");
        }
        // Sixteen values are kept apart; beyond, five standard errors of a quarter.
        let (few, truth) = (cells[14].as_f64().unwrap(), self.ns.len() as f64);
        let reach = if truth > 16.0 { 5.0 / 4.0 * truth } else { 0.0 };
        assert!((few - truth).abs() <= reach, "{context}: {few} for {truth}");
        self.ms.sort_by(f64::total_cmp);
        for (cell, q) in cells[8..12].iter().zip([0.5, 0.9, 0.95, 0.99]) {
            let rank = (q * (self.ms.len() - 1) as f64).floor() as usize;
            let near = &self.ms[rank.saturating_sub(1)..(rank + 2).min(self.ms.len())];
            let value = cell.as_f64().unwrap();
            let fits = near.iter().any(|v| (v - value).abs() <= 0.0101 * v + 1e-9);
            assert!(fits, "{context}: {value} for p{q} near {near:?}");
        }
    }
}

type Model = BTreeMap<(i32, Option<String>, i64), Row>;

fn send(server: &TestServer, events: &[Event], model: &mut Model) {
    let push = server.push();
    for chunk in events.chunks(50) {
        let lines: Vec<String> = chunk.iter().map(Event::json).collect();
        push.send(lines.join("\n").as_str(), 0).unwrap();
    }
    for event in events {
        model.entry((event.day(), event.key.clone(), event.group)).or_default().add(event);
    }
}

const SELECT: &str = r#""select":["events","clicks","n","least","most","newest","users","ms","latency.p50","latency.p90","latency.p95","latency.p99","apache","set","few"]"#;

fn check_all(server: &TestServer, model: &mut Model) {
    let answer =
        server.ask(&format!(r#"{{"summary":"keys","by":["day","key","group"],{SELECT}}}"#));
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(rows.len(), model.len());
    // Ties of no order are ordered by key: exactly the order of the model.
    for (row, ((day, key, group), expected)) in rows.iter().zip(model.iter_mut()) {
        let cells = row.as_array().unwrap();
        assert_eq!(parse_date(cells[0].as_str().unwrap()), Some(*day));
        assert_eq!((cells[1].as_str(), cells[2].as_i64()), (key.as_deref(), Some(*group)));
        expected.check(&cells[3..], &format!("{day} {key:?} {group}"));
    }
}

/// Frequent values depend on the order, but always within their bounds.
fn check_frequent(server: &TestServer, model: &Model) {
    type Counts = BTreeMap<String, u64>;
    let mut days: BTreeMap<(i32, i64), [Counts; 2]> = BTreeMap::new();
    for ((day, key, group), row) in model {
        let [keys, ns] = days.entry((*day, *group)).or_default();
        if let Some(key) = key {
            *keys.entry(key.clone()).or_default() += row.events as u64;
        }
        row.each_n.iter().for_each(|n| *ns.entry(n.to_string()).or_default() += 1);
    }
    let answer = server.ask(r#"{"summary":"frequent","by":["day","group"]}"#);
    let rows = answer["rows"].as_array().unwrap();
    // An event with neither key nor n makes no row.
    let seen = days.iter().filter(|(_, counts)| counts.iter().any(|c| !c.is_empty()));
    assert_eq!(rows.len(), seen.clone().count());
    for (row, ((day, group), [keys, ns])) in rows.iter().zip(seen) {
        assert_eq!(
            (parse_date(row[0].as_str().unwrap()), row[1].as_i64()),
            (Some(*day), Some(*group))
        );
        for (list, counts, k) in [(&row[2], keys, 100), (&row[3], keys, 2), (&row[4], ns, 3)] {
            let list = list.as_array().unwrap();
            let (exact, most) = (counts.len() <= 6 * k, counts.len().min(k));
            assert!(list.len() == most || !exact && list.len() < most, "{day} {group}");
            for item in list {
                let truth = counts[item["value"].as_str().unwrap()];
                let (lower, upper) = (item["lower"].as_u64(), item["upper"].as_u64());
                assert!(
                    lower <= Some(truth) && Some(truth) <= upper,
                    "{day} {group} {item} {truth}"
                );
                assert!(!exact || lower == upper, "{day} {group} {item} {truth}");
            }
        }
    }
}

/// Everything that is stored of rows, as bytes; but for the summary with frequent values.
fn stored(server: &TestServer) -> BTreeMap<(u32, i32, Vec<u8>), Vec<u8>> {
    let store = Store::open_read_only(&server.folder.join("data/store")).unwrap();
    let reader = store.reader().unwrap();
    let mut all = BTreeMap::new();
    for summary in 1..=2 {
        for day in reader.days(summary, 0, i32::MAX).unwrap() {
            let mut rows = reader.rows(summary, day, &[]);
            while let Some((key, row)) = rows.next().unwrap() {
                all.insert((summary, day, key.to_vec()), row.to_vec());
            }
        }
    }
    all
}

#[test]
fn any_number_of_shards_and_restarts_store_the_same_bytes() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let events: Vec<Event> = (0..12_000).map(|i| Event::random(&mut rng, 4, i)).collect();
    let mut reference = None;
    // The last one stops and starts in between, each time with other shards and little memory.
    for (shards, restarts) in [(1, vec![]), (5, vec![]), (2, vec![3, 1, 4])] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let mut server =
            TestServer::start(folder.path(), &(config(shards, "1GB", "10s") + FREQUENT));
        let parts = restarts.len() + 1;
        for (at, part) in events.chunks(events.len() / parts).enumerate() {
            send(&server, part, &mut model);
            // At the time of an answer everything sent is accepted or still in flight.
            server.stop();
            let shards = restarts.get(at).copied().unwrap_or(shards);
            server.restart_with(&(config(shards, "2MB", "200ms") + FREQUENT)).unwrap();
        }
        check_all(&server, &mut model);
        check_frequent(&server, &model);
        server.stop();
        let bytes = stored(&server);
        assert!(bytes.len() > model.len());
        match &reference {
            None => reference = Some(bytes),
            Some(reference) => assert!(*reference == bytes, "{shards} shards store other bytes"),
        }
    }
}

#[test]
fn three_hundred_cold_days_are_as_good_as_today() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let mut server = TestServer::start(folder.path(), &config(2, "3MB", "100ms"));
    let mut sent = 0;
    for round in 0..4 {
        let events: Vec<Event> =
            (0..15_000).map(|i| Event::random(&mut rng, 300, round * 15_000 + i)).collect();
        send(&server, &events, &mut model);
        sent += events.len() as u64;
        server.wait_for(sent);
        let memory = |s: &Value| {
            s["shards"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["memory_bytes"].as_i64().unwrap())
                .sum::<i64>()
        };
        let stats = server.ask(r#"{"get":"stats"}"#);
        assert!(memory(&stats) < 6_000_000, "{}", memory(&stats));
        if round == 2 {
            assert!(server.counter("checkpoints") >= 2);
            assert!(server.counter("tables_evicted") > 100);
            server.restart_with(&config(3, "3MB", "100ms")).unwrap();
            // One day came into memory, not three hundred.
            assert!(memory(&server.ask(r#"{"get":"stats"}"#)) < 500_000);
            sent = 0;
        }
    }
    check_all(&server, &mut model);

    // Late events and one-row questions of days that are long stored.
    let late = Event { ts: NOON_US / 1000 - 250 * 86_400_000, ..Event::random(&mut rng, 1, 0) };
    send(&server, std::slice::from_ref(&late), &mut model);
    server.wait_for(sent + 1);
    let question = json!({ "get": "keys", "day": date(late.day()).to_string(),
        "key": { "key": late.key, "group": late.group }, "select": ["events", "users"] });
    let answer = server.ask(&question.to_string());
    let row = &model[&(late.day(), late.key.clone(), late.group)];
    assert_eq!(answer["rows"], json!([[row.events, row.users.len()]]));
    check_all(&server, &mut model);
}

#[test]
fn back_pressure_holds_the_sender_and_loses_nothing() {
    const EVENTS: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), &config(2, "1GB", "10s"));
    let (pause, until_closed) = crossbeam_channel::bounded::<()>(0);
    let engine = server.server().responder().engine.clone();
    engine.request(summarizer::sequencer::Request::Pause(until_closed)).unwrap();
    let push = server.push();
    push.set_sndhwm(10).unwrap();
    let progress = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sent = std::sync::Arc::clone(&progress);
    let sender = std::thread::spawn(move || {
        let event = format!(
            r#"{{"ts":{},"key":"k","group":1,"n":1,"user":"u","ms":1,"kind":"view"}}"#,
            NOON_US / 1000
        );
        let message = vec![event; 100].join("\n");
        for _ in 0..EVENTS / 100 {
            push.send(message.as_str(), 0).unwrap();
            sent.fetch_add(100, std::sync::atomic::Ordering::SeqCst);
        }
    });
    // The sender comes to a standstill long before the end.
    let mut before = 0;
    let stalled = loop {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = progress.load(std::sync::atomic::Ordering::SeqCst);
        if now == before && now > 0 {
            break now;
        }
        before = now;
    };
    assert!(stalled < EVENTS / 4, "{stalled} events left the sender while nobody worked");
    // Those that wait, one that is sent, and one that is taken out.
    let batches = summarizer::limits::SHARD_QUEUE + 2;
    let most = (batches * summarizer::limits::BATCH_EVENTS) as i64;
    assert!(engine.metrics.sequence.get() <= most, "bounded queues hold few batches");
    drop(pause);
    sender.join().unwrap();
    server.wait_for(EVENTS);
    let answer = server.ask(r#"{"summary":"keys","select":["events","n"]}"#);
    assert_eq!(answer["rows"], json!([[EVENTS, EVENTS]]));
    assert!(server.counter("blocked_us") > 0);
}
