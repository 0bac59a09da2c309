//! Days are published at their midnight in their zone plus grace, again when late events
//! have come to rest, and on request; what is published never changes, it is replaced.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::{NOON_US, PATIENCE, TestServer};

const CONFIG: &str = r#"
field = [{ name = "page" }, { name = "user" }]
[event]
time = { field = "ts", format = "unix_s" }
zone = "America/New_York"
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{ name = "events", count = true }, { name = "users", unique = "user" }]
"#;

/// The files of the summary, by name, with their content.
fn files(server: &TestServer) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(server.folder.join("data/snapshots/pages")) else {
        return BTreeMap::new();
    };
    let named = entries.map(|e| e.unwrap()).map(|e| {
        (
            e.file_name().into_string().unwrap(),
            std::fs::read_to_string(e.path()).unwrap_or_default(),
        )
    });
    named.collect()
}

fn wait_for_file(server: &TestServer, name: &str) -> BTreeMap<String, String> {
    let begun = Instant::now();
    loop {
        let found = files(server);
        if found.contains_key(name) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "no {name} among {:?}", found.keys());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(server: &TestServer, ts: i64, page: &str, user: &str) {
    let before = server.counter("events_accepted");
    let event = serde_json::json!({ "ts": ts, "page": page, "user": user }).to_string();
    server.push().send(event.as_str(), 0).unwrap();
    server.wait_for(before + 1);
}

#[test]
fn a_day_is_published_after_its_midnight_and_again_when_it_is_quiet() {
    let noon = NOON_US / 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    send(&server, noon, "=cmd", "a");
    send(&server, noon, "", "b");
    let null = serde_json::json!({ "ts": noon, "user": "c" }).to_string();
    server.push().send(null.as_str(), 0).unwrap();
    server.wait_for(3);

    // Noon in UTC is 7 in New York: midnight and an hour's grace are 18 hours away.
    server.clock.advance(Duration::from_secs(18 * 3600 - 2));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(files(&server).len(), 0, "before its time");
    server.clock.advance(Duration::from_secs(4));
    let first = wait_for_file(&server, "2026-11-20.csv");
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(names, ["2026-11-20.csv", "2026-11-20.r1.csv", "2026-11-20.r1.json"]);
    let lines: Vec<&str> = first["2026-11-20.csv"].lines().collect();
    assert_eq!(lines[0], "day,page,events,users,users_error,users_hll");
    // Null is nothing, the empty string is quoted, and null comes first.
    assert!(lines[1].starts_with("2026-11-20,,1,1,"), "{}", lines[1]);
    assert!(lines[2].starts_with("2026-11-20,\"\",1,1,"), "{}", lines[2]);
    assert!(lines[3].starts_with("2026-11-20,=cmd,1,1,"), "{}", lines[3]);
    let manifest: serde_json::Value = serde_json::from_str(&first["2026-11-20.r1.json"]).unwrap();
    assert_eq!((&manifest["rows"], &manifest["events"]), (&3.into(), &3.into()));
    assert_eq!(manifest["complete"], true);

    // A late event, also across a restart; what was published stays as it was.
    send(&server, noon, "late", "d");
    server.restart_with(CONFIG).unwrap();
    server.clock.advance(Duration::from_secs(58));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!files(&server).contains_key("2026-11-20.r2.csv"), "it is not quiet yet");
    server.clock.advance(Duration::from_secs(4));
    let second = wait_for_file(&server, "2026-11-20.r2.json");
    assert_eq!(second["2026-11-20.r1.csv"], first["2026-11-20.r1.csv"]);
    assert!(second["2026-11-20.r2.csv"].contains("late"));
    let begun = Instant::now();
    while files(&server)["2026-11-20.csv"] != second["2026-11-20.r2.csv"] {
        assert!(begun.elapsed() < PATIENCE, "the link does not follow");
    }

    // Unchanged content makes no revision; the third one lets go of the first.
    let again = server.ask(r#"{"export":"pages","day":"2026-11-20"}"#);
    assert_eq!(again["export"][0]["revision"], serde_json::Value::Null);
    send(&server, noon, "later", "e");
    let third = server.ask(r#"{"export":"pages","day":"2026-11-20","excel":true}"#);
    assert_eq!(third["export"][0]["revision"], 3, "{third}");
    let found = files(&server);
    assert!(!found.contains_key("2026-11-20.r1.csv") && found.contains_key("2026-11-20.r2.csv"));
    let excel = &found["2026-11-20.r3.excel.csv"];
    assert!(excel.contains("'=cmd") && !excel.contains("users_hll"), "{excel}");

    // Today's is not complete.
    send(&server, server.clock.now_us() / 1_000_000, "today", "f");
    let today = server.ask(r#"{"export":"pages","day":"2026-11-21"}"#);
    assert_eq!(today["export"][0]["complete"], false, "{today}");
}

#[test]
fn no_day_is_deleted_before_it_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.to_owned() + "retain_days = 1\n[checkpoint]\ninterval = \"50ms\"\n";
    let mut server = TestServer::start(folder.path(), &config);
    send(&server, NOON_US / 1_000_000, "old", "a");
    server.stop();
    // It closes, and is beyond retention, while nobody is there.
    server.clock.advance(Duration::from_secs(10 * 86_400));
    server.restart_with(&config).unwrap();
    let published = wait_for_file(&server, "2026-11-20.csv");
    assert!(published["2026-11-20.csv"].contains("2026-11-20,old,1,"), "{published:?}");
    assert_eq!(server.ask(r#"{"summary":"pages"}"#)["rows"][0][0], 1);

    // The next midnight takes it along.
    server.clock.advance(Duration::from_secs(86_400));
    send(&server, server.clock.now_us() / 1_000_000, "new", "a");
    let begun = Instant::now();
    let rows = r#"{"summary":"pages","by":["page"],"select":["events"]}"#;
    while server.ask(rows)["rows"] != serde_json::json!([["new", 1]]) {
        assert!(begun.elapsed() < PATIENCE, "{}", server.ask(rows));
    }
}

#[test]
fn a_clock_that_is_wrong_for_a_moment_closes_no_day() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let noon = NOON_US / 1_000_000;
    send(&server, noon, "first", "a");
    server.clock.set(NOON_US + 2 * 86_400_000_000);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(files(&server).len(), 0, "nobody knows yet whether it is right");
    server.clock.advance(Duration::from_secs(600));
    let first = wait_for_file(&server, "2026-11-20.csv");
    assert!(first["2026-11-20.csv"].contains("first"));

    // It was wrong. The day goes on, and is published at its real end, although its events do
    // not come to rest.
    server.clock.set(NOON_US + 600_000_000);
    let export = server.ask(r#"{"export":"pages","day":"2026-11-20"}"#);
    assert_eq!(export["export"][0]["complete"], false, "{export}");
    assert_eq!(export["export"][0]["revision"], 2, "{export}");
    std::thread::sleep(Duration::from_millis(300));
    server.clock.advance(Duration::from_secs(601));
    for second in 0..5 {
        send(&server, noon + second, "second", "b");
        server.clock.advance(Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!files(&server).contains_key("2026-11-20.r3.csv"), "it has not ended");
    server.clock.advance(Duration::from_secs(18 * 3600));
    send(&server, noon, "third", "c");
    let third = wait_for_file(&server, "2026-11-20.r3.json");
    assert!(third["2026-11-20.r3.csv"].contains("third"));
    assert!(third["2026-11-20.r3.json"].contains("\"complete\": true"));
}

/// A store that is gone, emptied, or that of an earlier time would publish days anew from a few
/// late events.
#[test]
fn a_lost_store_replaces_no_published_day() {
    let folder = tempfile::tempdir().unwrap();
    let noon = NOON_US / 1_000_000;
    let mut server = TestServer::start(folder.path(), CONFIG);
    let data = server.folder.join("data");
    send(&server, noon, "first", "a");
    server.stop();
    let copy = |from: &str, to: &str| {
        let (from, to) = (data.join(from), data.join(to));
        let status = std::process::Command::new("cp").arg("-r").args([from, to]).status();
        assert!(status.unwrap().success());
    };
    copy("store", "earlier");
    server.restart_with(CONFIG).unwrap();
    send(&server, noon, "second", "b");
    server.clock.advance(Duration::from_secs(86_400));
    wait_for_file(&server, "2026-11-20.csv");
    server.stop();
    let published = files(&server);

    std::fs::rename(data.join("store"), data.join("right")).unwrap();
    let mut refused = |why: &str| {
        let error = server.restart_with(CONFIG).unwrap_err();
        assert!(error.contains(why) && error.contains("move all of"), "{error}");
        assert_eq!(files(&server), published);
    };
    refused("there is no store in");
    copy("earlier", "store");
    refused("is older than the published days: it holds 1 events, they 2");
    std::fs::remove_file(data.join("store/CURRENT")).unwrap();
    refused("there is no store in");

    // Even where nothing tells but what was published itself.
    std::fs::remove_dir_all(data.join("store")).unwrap();
    copy("earlier", "store");
    std::fs::remove_file(data.join("origin.json")).unwrap();
    server.restart_with(CONFIG).unwrap();
    let answer = server.ask(r#"{"export":"pages","day":"2026-11-20"}"#);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("it is older; put the newer one back"), "{message}");
    assert_eq!(files(&server), published);
    server.stop();

    std::fs::remove_dir_all(data.join("store")).unwrap();
    copy("right", "store");
    server.restart_with(CONFIG).unwrap();
    send(&server, noon, "third", "c");
    let answer = server.ask(r#"{"export":"pages","day":"2026-11-20"}"#);
    assert_eq!(answer["export"][0]["revision"], 2, "{answer}");
    assert!(files(&server)["2026-11-20.csv"].contains("second"));
}
