//! Sets over the socket, on real edits of Wikipedia: who is in two of them, in one and not in
//! another, beside exact sets of the same file; and what is published of them, read by the
//! library whose form it has.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use prost::Message;
use serde_json::{Value, json};
use summarizer::ingest::wire;
use support::{TestServer, with_edits};

const CONFIG: &str = r#"
shards = 2
field = [
  { name = "channel" }, { name = "namespace" }, { name = "page" }, { name = "user" },
  { name = "added", type = "int" },
]
[event]
time = { field = "time", format = "rfc3339" }
[[summary]]
name = "channels"
dimensions = ["channel", "namespace"]
aggregates = [
  { name = "audience", theta = "user" },
  { name = "few", theta = "user", log2k = 7 },
  { name = "sizes", theta = "added" },
  { name = "users", unique = "user", family = "datasketches" },
]
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{ name = "editors", theta = "user" }]
[[summary]]
name = "counts"
dimensions = []
aggregates = [{ name = "edits", count = true }]
"#;

type Sets = BTreeMap<String, BTreeSet<String>>;

/// A server that has all edits, and the users by channel and by page.
fn filled(folder: &std::path::Path) -> Option<(TestServer, Sets, Sets)> {
    let (server, events) = with_edits(folder, CONFIG)?;
    let (mut channels, mut pages) = (Sets::new(), Sets::new());
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        channels.entry(text("channel")).or_default().insert(text("user"));
        pages.entry(text("page")).or_default().insert(text("user"));
    }
    Some((server, channels, pages))
}

/// Estimate and bounds.
fn ask(server: &TestServer, set: &Value) -> [f64; 3] {
    let answer = server.ask(&json!({ "set": set }).to_string());
    assert_eq!(answer["events"], 39_244, "{set}: {answer}");
    ["estimate", "lower", "upper"].map(|name| answer[name].as_f64().unwrap())
}

/// The names of the largest sets.
fn largest(sets: &Sets, count: usize) -> Vec<&String> {
    let mut names: Vec<&String> = sets.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(sets[*name].len()));
    names.truncate(count);
    names
}

#[test]
fn common_and_remaining_users_are_those_of_the_exact_sets() {
    let folder = tempfile::tempdir().unwrap();
    let Some((server, channels, pages)) = filled(folder.path()) else { return };
    let channel = |name: &str, theta: &str| json!({ "summary": "channels", "theta": theta, "where": { "channel": name } });
    let (mut outside, mut asked) = (0, 0);
    let names = largest(&channels, 8);
    for a in &names {
        for b in names.iter().filter(|b| *b != a) {
            let (in_a, in_b) = (&channels[*a], &channels[*b]);
            let both = in_a.intersection(in_b).count() as f64;
            let only_a = in_a.difference(in_b).count() as f64;
            for (theta, kept) in [("audience", 4096), ("few", 128)] {
                let (a, b) = (channel(a, theta), channel(b, theta));
                let exact = in_a.len().max(in_b.len()) <= kept;
                for (set, truth) in
                    [(json!({ "and": [a, b] }), both), (json!({ "and": [a], "not": [b] }), only_a)]
                {
                    let [estimate, lower, upper] = ask(&server, &set);
                    assert!(lower <= estimate && estimate <= upper, "{set}");
                    assert!(!exact || [estimate, lower, upper] == [truth; 3], "{set}: {truth}");
                    outside += usize::from(!(lower..=upper).contains(&truth));
                    let reach = (upper - lower).max(1.0);
                    assert!(
                        (estimate - truth).abs() < 1.5 * reach,
                        "{set}: {estimate} for {truth}"
                    );
                    asked += 1;
                }
            }
        }
    }
    // Two standard errors hold nineteen times in twenty.
    assert!(outside * 20 < asked, "{outside} of {asked}");

    // Any of several, all of several, and a list in where, which is one set.
    let [a, b, c] = [names[1], names[2], names[3]];
    let parts = [a, b, c].map(|name| channel(name, "audience"));
    let [a, b, c] = [a, b, c].map(|name| &channels[name]);
    let any = a.union(b).cloned().collect::<BTreeSet<_>>().union(c).count() as f64;
    assert_eq!(ask(&server, &json!({ "or": parts })), [any; 3]);
    let list =
        json!({ "summary": "channels", "theta": "audience", "where": { "channel": names[1..4] } });
    assert_eq!(ask(&server, &json!({ "and": [list] })), [any; 3]);
    let mixed = a
        .iter()
        .filter(|u| (b.contains(*u) || c.contains(*u)) && !(b.contains(*u) && c.contains(*u)));
    let mixed = mixed.count() as f64;
    let both = json!({ "and": [parts[0], parts[1], parts[2]] });
    let [all, ..] = ask(&server, &both);
    let [either, ..] = ask(&server, &json!({ "and": [parts[0]], "or": [parts[1], parts[2]] }));
    assert_eq!(either - all, mixed);

    // Sets of different summaries: editors of the most edited pages among those of a channel.
    let page = largest(&pages, 1)[0];
    let truth = pages[page].intersection(&channels["#en.wikipedia"]).count() as f64;
    let editors = json!({ "summary": "pages", "where": { "page": page } });
    let english = channel("#en.wikipedia", "audience");
    let [estimate, lower, upper] = ask(&server, &json!({ "and": [editors, english] }));
    assert!(lower <= truth && truth <= upper, "{estimate} for {truth}");
    // Nobody, where no key or day was seen.
    let never = json!({ "summary": "pages", "to": "2015-09-11" });
    assert_eq!(ask(&server, &json!({ "and": [never, editors] })), [0.0; 3]);
    let size = pages[page].len() as f64;
    assert_eq!(ask(&server, &json!({ "and": [editors], "not": [never] })), [size; 3]);
}

#[test]
fn numbers_of_sets_have_bounds_and_parts() {
    let folder = tempfile::tempdir().unwrap();
    let Some((server, channels, _)) = filled(folder.path()) else { return };
    let answer = server.ask(
        r#"{"summary":"channels","by":["channel"],"select":["audience","audience.lower","audience.upper","few","few.error"],"order":"-audience"}"#,
    );
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 51);
    let mut outside = 0;
    for (at, row) in rows.iter().enumerate() {
        let truth = channels[row[0].as_str().unwrap()].len() as f64;
        let number = |at: usize| row[at].as_f64().unwrap();
        assert_eq!(answer["bounds"]["audience"][at], json!([row[2], row[3]]));
        assert!(number(2) <= truth && truth <= number(3), "{row} for {truth}");
        outside += usize::from((number(4) - truth).abs() > 2.0 * number(5) + 0.5);
    }
    assert!(outside <= 5, "{outside} of 51 are further off than two standard errors");
}

#[test]
fn protobuf_asks_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let Some((server, _, _)) = filled(folder.path()) else { return };
    let part = |channel: &str| wire::SetPart {
        summary: "channels".into(),
        theta: "few".into(),
        from: "2015-09-12".into(),
        r#where: vec![wire::Condition {
            dimension: "channel".into(),
            values: vec![wire::Cell { kind: Some(wire::cell::Kind::String(channel.into())) }],
        }],
        ..wire::SetPart::default()
    };
    let set = wire::Set {
        and: vec![part("#en.wikipedia")],
        not: vec![part("#de.wikipedia")],
        ..wire::Set::default()
    };
    let question = wire::Question { id: "s".into(), set: Some(set), ..wire::Question::default() };
    let req = zmq::Context::new().socket(zmq::REQ).unwrap();
    req.set_rcvtimeo(60_000).unwrap();
    req.connect(&server.query()).unwrap();
    req.send(question.encode_to_vec(), 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    let estimate = answer.estimate.unwrap_or_else(|| panic!("{:?}", answer.error));
    assert_eq!((answer.id.as_str(), answer.events), ("s", 39_244));
    let json = server.ask(
        r##"{"id":"s","set":{"and":[{"summary":"channels","theta":"few","where":{"channel":"#en.wikipedia"}}],
            "not":[{"summary":"channels","theta":"few","where":{"channel":["#de.wikipedia"]}}]}}"##,
    );
    let wire = [estimate.estimate, estimate.std_error, estimate.lower, estimate.upper];
    let names = ["estimate", "std_error", "lower", "upper"];
    assert_eq!(names.map(|name| json[name].as_f64().unwrap()), wire);
    assert_eq!(json["id"], "s");
    assert!(wire[2] < wire[0] && wire[0] < wire[3]);
}

#[test]
fn wrong_questions_about_sets_are_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), &format!("{CONFIG}\n[query.zmq]\nmax_scan = 7"));
    let push = server.push();
    for channel in ["a", "b", "c", "d"] {
        let event =
            json!({ "time": "2026-11-20T00:00:00Z", "channel": channel, "user": "u", "added": 1 });
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(4);
    let two = r#"{"summary":"channels","theta":"few","where":{"channel":["a","b"]}}"#;
    let many = vec![two; 17].join(",");
    for (set, code, said) in [
        ("{}".to_owned(), "bad_request", "neither and nor or"),
        (format!(r#"{{"not":[{two}]}}"#), "bad_request", "neither and nor or"),
        (format!(r#"{{"and":[{many}]}}"#), "bad_request", "17 sets"),
        (format!(r#"{{"nand":[{two}]}}"#), "bad_request", "nand"),
        (r#"{"and":[{"summary":"channels"}]}"#.to_owned(), "unknown_column", "several"),
        (r#"{"and":[{"summary":"channels","theta":"fwe"}]}"#.to_owned(), "unknown_column", "few"),
        (
            r#"{"and":[{"summary":"channels","theta":"users"}]}"#.to_owned(),
            "unknown_column",
            "users",
        ),
        (r#"{"and":[{"summary":"counts"}]}"#.to_owned(), "unknown_column", "no set"),
        (r#"{"and":[{"summary":"chanels"}]}"#.to_owned(), "unknown_summary", "chanels"),
        (r#"{"and":[{"theta":"few"}]}"#.to_owned(), "bad_request", "summary"),
        (
            r#"{"and":[{"summary":"pages","where":{"channel":"a"}}]}"#.to_owned(),
            "unknown_column",
            "channel",
        ),
        (r#"{"and":[{"summary":"pages","from":"today"}]}"#.to_owned(), "bad_value", "today"),
        (
            r#"{"and":[{"summary":"pages"}],"not":[{"summary":"channels","theta":"sizes"}]}"#
                .to_owned(),
            "bad_request",
            "\"added\" (int)",
        ),
        (format!(r#"{{"and":[{two},{two}]}}"#), "too_much_scan", "more than 7 rows"),
    ] {
        let answer = server.ask(&format!(r#"{{"id":1,"set":{set}}}"#));
        let error = &answer["error"];
        assert_eq!((&answer["id"], &error["code"]), (&json!(1), &json!(code)), "{set}: {answer}");
        let text = error["message"].as_str().unwrap().to_owned() + error["hint"].as_str().unwrap();
        assert!(text.contains(said), "{set}: {answer}");
    }
    let beside = server.ask(&format!(r#"{{"summary":"pages","set":{{"and":[{two}]}}}}"#));
    assert_eq!(beside["error"]["code"], "bad_request", "{beside}");
    let late = format!(r#"{{"set":{{"and":[{two}]}},"min_events":9,"timeout_ms":50}}"#);
    assert_eq!(server.ask(&late)["error"]["code"], "timeout");
    let fine = server.ask(&format!(r#"{{"set":{{"and":[{two}]}}}}"#));
    assert_eq!((&fine["estimate"], &fine["events"]), (&json!(1), &json!(4)), "{fine}");
}

#[test]
fn apaches_library_reads_what_is_published() {
    const SCRIPT: &str = r#"
import csv, json, sys
from datasketches import compact_theta_sketch, hll_sketch, hll_union, theta_union
csv.field_size_limit(1 << 24)
sets, users, rows = theta_union(12), hll_union(14), 0
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8", newline="")):
    audience = compact_theta_sketch.deserialize(bytes.fromhex(row["audience_theta"][2:]))
    assert round(audience.get_estimate()) == int(row["audience"]), row["channel"]
    sets.update(audience)
    counted = hll_sketch.deserialize(bytes.fromhex(row["users_hll"][2:]))
    near = abs(counted.get_estimate() - int(row["users"]))
    assert near <= 3 * float(row["users_error"]) + 0.01 * int(row["users"]), row["channel"]
    users.update(counted)
    rows += 1
print(json.dumps([rows, sets.get_result().get_estimate(), users.get_estimate()]))
"#;
    let python = std::env::var("SUMMARIZER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import datasketches"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {python} has no datasketches (set SUMMARIZER_PYTHON)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some((server, _, _)) = filled(folder.path()) else { return };
    let export = server.ask(r#"{"export":"channels","day":"2015-09-12"}"#);
    let path = export["export"][0]["path"].as_str().unwrap_or_else(|| panic!("{export}"));
    let output = Command::new(&python).args(["-c", SCRIPT, path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [rows, sets, users]: [f64; 3] = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows > 100.0);
    // The same sketches united by us; 10,531 users are in the file.
    let total = server.ask(r#"{"summary":"channels","select":["audience","users"]}"#);
    assert_eq!(total["rows"][0][0].as_f64(), Some(sets.round()));
    assert!((sets - 10_531.0).abs() < 3.0 * 0.016 * 10_531.0, "{sets}");
    assert!((users - 10_531.0).abs() < 3.0 * 0.0081 * 10_531.0, "{users}");

    let manifest = std::path::Path::new(path).with_extension("json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(
        manifest["sketches"],
        json!([
            { "kind": "theta", "aggregate": "audience", "column": "audience_theta", "log2k": 12 },
            { "kind": "theta", "aggregate": "few", "column": "few_theta", "log2k": 7 },
            { "kind": "theta", "aggregate": "sizes", "column": "sizes_theta", "log2k": 12 },
            { "kind": "unique", "aggregate": "users", "column": "users_hll",
              "family": "datasketches", "log2m": 14 },
        ])
    );
}
