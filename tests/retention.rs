//! Days beyond `retain_days` go from memory, store and answers, but not by a clock that is wrong
//! for a moment, and what is gone does not come back in part.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use summarizer::event::{DAY_US, parse_date};
use support::{NOON_US, TestServer, memory_bytes};

const CONFIG: &str = r#"
shards = 2
field = [{ name = "page" }]
[checkpoint]
interval = "100ms"
[event]
time = { field = "ts", format = "unix_s" }
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{ name = "events", count = true }]
retain_days = 3
[[summary]]
name = "all"
dimensions = []
aggregates = [{ name = "events", count = true }]
"#;

const DAY_S: i64 = 86_400;

/// Sends events of a day, counted from the one of [`NOON_US`].
fn send(server: &TestServer, day: i64, pages: i64) {
    let push = server.push();
    let before = server.counter("events_accepted") + server.counter("events_refused");
    for page in 0..pages {
        let ts = NOON_US / 1_000_000 + day * DAY_S;
        push.send(format!(r#"{{"ts":{ts},"page":"p{page}"}}"#).as_str(), 0).unwrap();
    }
    server.wait_for(before + pages as u64);
}

#[test]
fn days_beyond_retention_go_from_memory_store_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    // The summary that keeps everything has one row; the other's pages take the memory.
    send(&server, 0, 1);
    let memory = |server: &TestServer| memory_bytes(&server.ask(r#"{"get":"stats"}"#));
    let least = memory(&server);
    send(&server, 0, 20_000);
    assert!(memory(&server) > least + 1_000_000);
    // What is not published yet would stay.
    server.clock.advance(Duration::from_secs(2 * DAY_S as u64));
    server.wait_until("published", |s| s["pending_days"] == 0);
    server.clock.advance(Duration::from_secs(2 * DAY_S as u64));
    send(&server, 4, 1);
    wait_until_stored(&server);
    let pages = r#"{"summary":"pages","by":["day"]}"#;
    let all = r#"{"summary":"all"}"#;
    for _ in 0..2 {
        assert_eq!(server.ask(pages)["rows"], json!([["2026-11-24", 1]]));
        assert_eq!(server.ask(all)["rows"], json!([[20_002]]));
        assert!(memory(&server) < least + 500_000, "{} from {least}", memory(&server));
        server.restart_with(CONFIG).unwrap();
    }
    // An event of a day that nobody retains any more reaches the summary that does.
    send(&server, 0, 1);
    assert_eq!(server.ask(pages)["rows"], json!([["2026-11-24", 1]]));
    assert_eq!(server.ask(all)["rows"], json!([[20_003]]));
}

/// The days that have pages, counted from the one of [`NOON_US`], with their events.
fn days(server: &TestServer) -> Vec<(i64, u64)> {
    let answer = server.ask(r#"{"summary":"pages","by":["day"]}"#);
    let rows = answer["rows"].as_array().unwrap().iter();
    let number = |day: &serde_json::Value| {
        let day = i64::from(parse_date(day.as_str().unwrap()).unwrap());
        day - NOON_US.div_euclid(DAY_US)
    };
    rows.map(|row| (number(&row[0]), row[1].as_u64().unwrap())).collect()
}

fn wait_until_stored(server: &TestServer) {
    server.wait_until("stored", |s| s["stored_sequence"] == s["sequence"]);
}

#[test]
fn the_memory_of_rows_is_counted_anew_and_does_not_drift() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let measure = || {
        // The number of the checkpoint that counted them comes after what it counted.
        let checkpoints = server.counter("checkpoints");
        server.wait_until("measured", |s| s["checkpoints"].as_u64() > Some(checkpoints));
        memory_bytes(&server.ask(r#"{"get":"stats"}"#))
    };
    send(&server, 0, 5_000);
    wait_until_stored(&server);
    send(&server, 0, 5_000);
    let first = measure();
    for _ in 0..10 {
        // The same rows, changed; and a day that is not retained.
        send(&server, 0, 5_000);
        send(&server, -10, 100);
        measure();
    }
    wait_until_stored(&server);
    let last = memory_bytes(&server.ask(r#"{"get":"stats"}"#));
    assert!(last.abs_diff(first) < 300_000, "{first}, then {last}");
}

#[test]
fn a_clock_that_is_wrong_for_a_moment_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("retain_days = 3", "retain_days = 20");
    let mut server = TestServer::start(folder.path(), &config);
    for _ in 0..10 {
        server.push().send("{", 0).unwrap();
        send(&server, (server.clock.now_us() - NOON_US) / DAY_US, 1);
        server.clock.advance(Duration::from_secs(DAY_S as u64));
    }
    let sent: Vec<(i64, u64)> = (0..10).map(|day| (day, 1)).collect();
    let right_us = server.clock.now_us();
    let letters = || std::fs::read_dir(folder.path().join("data/dead-letters")).unwrap().count();
    server.wait_until("refused", |s| s["events_refused"] == 10);
    assert_eq!(letters(), 10);
    server.wait_until("published", |s| s["pending_days"] == 0);

    // A year ahead everything is old; also to a server that is started then.
    server.clock.set(right_us + 365 * DAY_US);
    for _ in 0..2 {
        send(&server, 375, 1);
        wait_until_stored(&server);
        server.restart_with(&config).unwrap();
    }
    assert_eq!(days(&server), [&sent[..], &[(375, 2)]].concat());
    assert_eq!(letters(), 10);

    // What comes once the clock is right again is neither old nor from the future.
    server.clock.set(right_us);
    send(&server, 10, 1);
    send(&server, 9, 1);
    assert_eq!(days(&server), [&sent[..9], &[(9, 2), (10, 1), (375, 2)]].concat());
    assert_eq!(server.counter("events_refused"), 0);

    // If it was right all the time, ten minutes show it.
    server.clock.set(right_us + 365 * DAY_US);
    send(&server, 375, 1);
    wait_until_stored(&server);
    assert_eq!(days(&server).len(), 12);
    // The publisher counts them from when it first looked at the clock.
    server.wait_until("published", |s| {
        server.clock.advance(Duration::from_secs(300));
        s["pending_days"].as_u64() <= Some(2)
    });
    server.clock.advance(Duration::from_secs(DAY_S as u64));
    send(&server, 376, 1);
    server.wait_until("deleted", |_| days(&server) == [(375, 3), (376, 1)]);
    assert_eq!(letters(), 0);

    // If it was not, what is gone stays gone; but it is about days that were, not about all
    // until then.
    server.clock.set(right_us + DAY_US);
    send(&server, 10, 1);
    send(&server, 11, 1);
    assert_eq!(days(&server), [(11, 1), (375, 3), (376, 1)]);
}

#[test]
fn a_day_that_is_gone_does_not_come_back_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    send(&server, 0, 5);
    server.clock.advance(Duration::from_secs(2 * DAY_S as u64));
    send(&server, 2, 1);
    wait_until_stored(&server);
    let file = folder.path().join("data/snapshots/pages/2026-11-20.csv");
    server.wait_until("published", |_| file.exists());
    let published = std::fs::read_to_string(&file).unwrap();
    assert_eq!(published.lines().count(), 6);
    server.clock.advance(Duration::from_secs(2 * DAY_S as u64));
    send(&server, 4, 1);
    server.wait_until("deleted", |_| days(&server) == [(2, 1), (4, 1)]);

    // Retained for ever from now on; but what is left of that day is one late event.
    server.restart_with(&CONFIG.replace("retain_days = 3\n", "")).unwrap();
    send(&server, 0, 1);
    send(&server, 1, 1);
    assert_eq!(days(&server), [(1, 1), (2, 1), (4, 1)], "a day without rows may still come");
    let stats = server.ask(r#"{"get":"stats"}"#);
    assert_eq!(stats["summaries"]["pages"]["expired"], 1, "{stats}");
    server.clock.advance(Duration::from_secs(120));
    server.wait_until("published", |s| s["pending_days"].as_u64() <= Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), published);
}
