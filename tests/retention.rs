//! Days beyond `retain_days` go from memory, store and answers.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::json;
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

fn send(server: &TestServer, day: i64, pages: i64) {
    let push = server.push();
    let before = server.counter("events_accepted");
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
    server.wait_until("stored", |s| s["stored_sequence"] == s["sequence"]);
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
