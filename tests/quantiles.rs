//! Quantiles through the real server: within their error however far apart the values are, and
//! where they cannot be, the answer, the file's manifest and a part of their own say so.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use prost::Message;
use serde_json::{Value, json};
use summarizer::ingest::wire;
use support::process::Process;
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
  { name = "n", count = true },
  { name = "fine", quantile = "v", error = 0.001 },
  { name = "finer", quantile = "v", error = 0.002 },
  { name = "near", quantile = "v", error = 0.005 },
  { name = "usual", quantile = "v" },
]
"#;

const ERRORS: [(&str, f64); 4] =
    [("fine", 0.001), ("finer", 0.002), ("near", 0.005), ("usual", 0.01)];

fn send(server: &TestServer, key: &str, values: impl IntoIterator<Item = f64>) {
    let before = server.counter("events_accepted");
    let events = values.into_iter().map(|v| json!({ "ts": NOON_US, "key": key, "v": v }));
    let events: Value = events.collect();
    server.push().send(events.to_string().as_str(), 0).unwrap();
    server.wait_for(before + events.as_array().unwrap().len() as u64);
}

fn repeat(count: usize, value: f64) -> impl Iterator<Item = f64> {
    std::iter::repeat_n(value, count)
}

fn check(server: &TestServer, key: &str, part: &str, exact: f64) {
    for (aggregate, error) in ERRORS {
        let select = format!("{aggregate}.{part}");
        let question = json!({ "summary": "keys", "where": { "key": key }, "select": [select] });
        let answer = server.ask(&question.to_string());
        let ours = answer["rows"][0][0].as_f64().unwrap();
        let off = (ours / exact - 1.0).abs();
        assert!(off <= error * (1.0 + 1e-9), "{key} {select}: {ours}, not {exact}: {answer}");
        assert_eq!(answer.get("folded"), None, "{answer}");
    }
}

#[test]
fn one_value_far_away_spoils_no_quantile() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    send(&server, "slow", repeat(99, 20.0).chain([60_000.0]));
    send(&server, "steps", repeat(80, 1.0).chain(repeat(15, 5.0)).chain(repeat(5, 1000.0)));
    send(&server, "unit", repeat(99, 1.0).chain([100.0]));
    let check_all = |server: &TestServer| {
        for part in ["p50", "p90", "p98"] {
            check(server, "slow", part, 20.0);
        }
        check(server, "steps", "p50", 1.0);
        check(server, "unit", "p50", 1.0);
    };
    check_all(&server);
    send(&server, "unit", [1_099_511_627_775.0]);
    check_all(&server);
    server.restart_with(CONFIG).unwrap();
    check_all(&server);
}

#[test]
fn what_is_folded_is_told_where_the_number_is() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    // Twenty-one orders of magnitude: at 1 %, the lowest three are folded.
    let powers = (-9..=12).map(|power| 10f64.powi(power));
    send(&server, "wide", powers.flat_map(|value| repeat(2, value)));
    send(&server, "narrow", repeat(20, 3.0));
    let question = json!({
        "summary": "keys", "by": ["key"],
        "select": ["usual.p10", "usual.folded", "fine.folded", "n"],
    });
    let answer = server.ask(&question.to_string());
    let rows = &answer["rows"];
    let count = |cell: &Value| cell.as_u64().unwrap();
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!("narrow"), &json!(3)), "{answer}");
    let (usual, fine) = (count(&rows[1][2]), count(&rows[1][3]));
    assert_eq!((usual, fine), (8, 16), "{answer}");
    let told = json!({ "usual": [0, usual], "fine": [0, fine] });
    assert_eq!(answer["folded"], told, "{answer}");
    assert_eq!(answer["folded_totals"], json!({ "usual": usual, "fine": fine }), "{answer}");
    assert_eq!(answer["totals"], json!([null, answer["totals"][1], usual, fine, 64]), "{answer}");

    // Totals are of all rows, also of those that do not come back.
    let question = json!({ "summary": "keys", "by": ["key"], "select": ["usual.p50"], "limit": 1 });
    let answer = server.ask(&question.to_string());
    assert_eq!(answer["folded"], json!({ "usual": [0] }), "{answer}");
    assert_eq!(answer["folded_totals"], json!({ "usual": usual }), "{answer}");

    let question = wire::Question {
        summary: "keys".into(),
        by: vec!["key".into()],
        select: vec!["usual.p50".into()],
        ..wire::Question::default()
    };
    let req = zmq::Context::new().socket(zmq::REQ).unwrap();
    req.set_rcvtimeo(60_000).unwrap();
    req.connect(&server.query()).unwrap();
    req.send(question.encode_to_vec(), 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    let folded = wire::Folded { aggregate: "usual".into(), rows: vec![0, usual], total: usual };
    assert_eq!(answer.folded, [folded]);

    let export = server.ask(r#"{"export":"*","day":"2026-11-20"}"#);
    assert_eq!(export.get("error"), None, "{export}");
    let manifest = folder.path().join("data/snapshots/keys/2026-11-20.r1.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let told: Vec<(&str, &Value)> = manifest["sketches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sketch| (sketch["aggregate"].as_str().unwrap(), &sketch["folded"]))
        .collect();
    let of = |values: u64| json!({ "values": values, "rows": u64::from(values > 0) });
    assert_eq!(told[0], ("fine", &of(fine)), "{manifest}");
    assert_eq!(told[3], ("usual", &of(usual)), "{manifest}");
}

/// What follows from an error alone is small and made in no time, however many there are.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_quantiles_of_different_errors_start_in_little_memory() {
    use std::fmt::Write;
    let folder = tempfile::tempdir().unwrap();
    let mut text = support::process::config(folder.path());
    for summary in 0..100 {
        let quantile = |at: usize| {
            let error = 0.001 + (summary * 10 + at) as f64 * 1e-7;
            format!("{{ name = \"q{at}\", quantile = \"n\", error = {error:.7} }}")
        };
        let all: Vec<String> = (0..10).map(quantile).collect();
        let all = all.join(", ");
        writeln!(text, "[[summary]]\nname = \"s{summary}\"\ndimensions = []").unwrap();
        writeln!(text, "aggregates = [{all}]").unwrap();
    }
    let process = Process::start(folder.path(), &text);
    assert_eq!(process.ask(r#"{"get":"stats"}"#)["events_accepted"], 0);
    // Bounds of all bins would be 5.7 MB for each of them.
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 300_000, "{peak}");
}
