//! Sums of floats through the real server: exact from the smallest to the greatest, whatever the
//! order and whatever restarts lie between.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use serde_json::{Value, json};
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
shards = 2
field = [{ name = "key" }, { name = "v", type = "float" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "keys"
dimensions = ["key"]
aggregates = [
  { name = "total", sum = "v" },
  { name = "some", sum = "v", where = "v > 0" },
  { name = "dist", quantile = "v" },
]
"#;

fn send(server: &TestServer, events: &[(&str, f64)]) {
    let before = server.counter("events_accepted");
    let all = events.iter().map(|(key, v)| json!({ "ts": NOON_US, "key": key, "v": v }));
    server.push().send(all.collect::<Value>().to_string().as_str(), 0).unwrap();
    server.wait_for(before + events.len() as u64);
}

/// The rows, by key, and the totals.
fn sums(server: &TestServer) -> (Value, Value) {
    let question = json!({
        "summary": "keys", "by": ["key"],
        "select": ["total", "some", "dist.sum", "dist.mean", "dist.min"],
    });
    let answer = server.ask(&question.to_string());
    (answer["rows"].clone(), answer["totals"].clone())
}

#[test]
fn small_values_beside_great_ones_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    let tiny = vec![("tiny", 6.6e-34); 1000];
    let small = vec![("small", 1e-18); 1000];
    send(&server, &[tiny.as_slice(), small.as_slice()].concat());
    send(&server, &[("gone", 1e12), ("gone", 1e-18)]);
    // The rest comes to what is stored.
    server.restart_with(CONFIG).unwrap();
    send(&server, &[("gone", -1e12), ("other", -1e12), ("other", 1e12)]);
    server.restart_with(CONFIG).unwrap();
    send(&server, &[("other", 1e-18)]);
    let expected = json!([
        ["gone", 1e-18, 1e12, 1e-18, 1e-18 / 3.0, -1e12],
        ["other", 1e-18, 1e12, 1e-18, 1e-18 / 3.0, -1e12],
        ["small", 1e-15, 1e-15, 1e-15, 1e-18, 1e-18],
        ["tiny", 6.6e-31, 6.6e-31, 6.6e-31, 6.6e-34, 6.6e-34],
    ]);
    let near = |(a, b): (&Value, &Value)| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-15 * b.abs(),
        _ => a == b,
    };
    let check = |rows: &Value| {
        let (rows, expected) = (rows.as_array().unwrap(), expected.as_array().unwrap());
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.iter().zip(expected) {
            let (row, expected) = (row.as_array().unwrap(), expected.as_array().unwrap());
            assert!(row.iter().zip(expected).all(near), "{row:?}, not {expected:?}");
        }
    };
    let (rows, totals) = sums(&server);
    check(&rows);
    assert!(near((&totals[1], &json!(1.002e-15))), "{totals}");
    server.restart_with(CONFIG).unwrap();
    assert_eq!(sums(&server), (rows, totals));
}

#[test]
fn the_order_leaves_no_trace() {
    // Of all sizes and both signs, so that any rounding on the way would show.
    let size = |i: i32| 10f64.powi(i % 60 - 48) * f64::from(i % 7 - 3) * 1.1;
    let values: Vec<f64> = (0..600).map(size).collect();
    let mut stored = Vec::new();
    for backwards in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = TestServer::start(folder.path(), CONFIG);
        let mut events: Vec<(&str, f64)> = values.iter().map(|&v| ("k", v)).collect();
        if backwards {
            events.reverse();
        }
        send(&server, &events[..100]);
        if backwards {
            server.restart_with(CONFIG).unwrap();
        }
        send(&server, &events[100..]);
        stored.push(sums(&server));
    }
    assert_eq!(stored[0], stored[1]);
}
