//! What the program takes of memory, seen from outside.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::process::{Process, config};

/// The most memory that a process has had so far, in bytes.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// Rows that are small on the disk because they compress well can be large in memory.
#[test]
fn a_start_loads_no_more_than_the_limit_allows() {
    const ROWS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path())
        + r#"
[[summary]]
name = "texts"
dimensions = ["n"]
aggregates = [
  { name = "events", count = true },
  { name = "longest", max = "user" },
  { name = "newest", last = "user" },
]
[checkpoint]
interval = "50ms"
"#;
    let text = format!("memory_limit = \"64MB\"\n{text}");
    let process = Process::start(folder.path(), &text);
    let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
    socket.set_linger(60_000).unwrap();
    socket.connect(&process.events).unwrap();
    for n in 0..ROWS {
        let event =
            json!({ "ts": 1_795_000_000, "page": "p", "n": n, "user": "x".repeat(1 << 20) });
        socket.send(event.to_string().as_str(), 0).unwrap();
    }
    process.wait_until("stored", |s| s["stored_sequence"] == ROWS);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));

    let process = Process::start(folder.path(), &text);
    let events = process.ask(r#"{"summary":"texts","select":["events"]}"#);
    assert_eq!(events["rows"], json!([[ROWS]]));
    // All rows would be 800 MB.
    let peak = peak(&process);
    assert!(peak < 300 << 20, "{peak} bytes");
}
