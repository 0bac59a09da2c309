//! The most frequent values over the socket and in files, on real edits of Wikipedia: exact
//! while all values are kept, within their bounds beyond.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};
use summarizer::clock::Clock;
use summarizer::ingest::wire;
use support::{NOON_US, TestServer, with_edits};

const CONFIG: &str = r#"
shards = 2
field = [
  { name = "channel" }, { name = "page" }, { name = "user" }, { name = "added", type = "int" },
]
[event]
time = { field = "time", format = "rfc3339" }
[[summary]]
name = "channels"
dimensions = ["channel"]
aggregates = [
  { name = "users", top = "user", k = 1000 },
  { name = "few", top = "user", k = 5 },
  { name = "sizes", top = "added", k = 20 },
]
[[summary]]
name = "edits"
dimensions = []
aggregates = [
  { name = "pages", top = "page", k = 6000 },
  { name = "some", top = "page", k = 100, where = "added > 0" },
]
derived = [{ name = "kept", sql = "some.count / pages.count" }]
"#;

type Counts = BTreeMap<String, u64>;

fn counts<'e>(events: impl Iterator<Item = &'e Value>, field: &str) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        let value = &event[field];
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        *counts.entry(text).or_default() += 1;
    }
    counts
}

/// Whether a list is in order, of distinct values, and each within its bounds; gives the
/// greatest distance of these.
fn check(list: &Value, truth: &Counts, context: &str) -> u64 {
    let items = list.as_array().unwrap_or_else(|| panic!("{context}: {list}"));
    let number = |item: &Value, name: &str| item[name].as_u64().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for pair in items.windows(2) {
        assert!(number(&pair[0], "count") >= number(&pair[1], "count"), "{context}");
    }
    for item in items {
        let value = item["value"].as_str().unwrap();
        let truth = truth[value];
        assert!(seen.insert(value), "{context}: {value} twice");
        let (lower, upper) = (number(item, "lower"), number(item, "upper"));
        assert!((lower..=upper).contains(&truth), "{context}: {item} for {truth}");
        assert_eq!(number(item, "count"), upper, "{context}");
    }
    items.iter().map(|item| number(item, "upper") - number(item, "lower")).max().unwrap_or(0)
}

#[test]
fn frequent_values_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some((server, events)) = with_edits(folder.path(), CONFIG) else { return };

    // All pages are kept: the ten most edited ones are those that are known of this file.
    let answer = server.ask(
        r#"{"summary":"edits","select":["pages.10","pages.count","pages.error","some","some.error","kept"]}"#,
    );
    let row = &answer["rows"][0];
    let pages = counts(events.iter(), "page");
    assert_eq!(check(&row[0], &pages, "pages"), 0);
    let top: Vec<u64> =
        row[0].as_array().unwrap().iter().map(|item| item["count"].as_u64().unwrap()).collect();
    assert_eq!(top, [33, 28, 27, 21, 20, 18, 18, 18, 17, 17]);
    assert_eq!((&row[1], &row[2]), (&json!(39_244), &json!(0)));
    // Far more pages than are kept: bounds, and no further apart than is said.
    let grown = |e: &&Value| e["added"].as_i64() > Some(0);
    let grown = counts(events.iter().filter(grown), "page");
    let apart = check(&row[3], &grown, "some");
    assert!(apart > 0 && Some(apart) == row[4].as_u64(), "{apart}");
    assert_eq!(row[3].as_array().unwrap().len(), 100);
    let kept = grown.values().sum::<u64>() as f64 / 39_244.0;
    assert!((row[5].as_f64().unwrap() - kept).abs() < 1e-12);

    // By channel, and of all channels together.
    let answer = server.ask(
        r#"{"summary":"channels","by":["channel"],"select":["users","few","sizes","few.count"],"order":"-few.count"}"#,
    );
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 51);
    for row in rows.iter().chain([&answer["totals"]]) {
        let channel = &row[0];
        let of_channel = || events.iter().filter(|e| channel.is_null() || e["channel"] == *channel);
        let users = counts(of_channel(), "user");
        let name = channel.to_string();
        let apart = check(&row[1], &users, &name);
        assert!(apart == 0 || users.len() > 6000, "{name}: {apart}");
        assert_eq!(row[1].as_array().unwrap().len(), users.len().min(1000), "{name}");
        let apart = check(&row[2], &users, &name);
        assert!(apart == 0 || users.len() > 30, "{name}: {apart}");
        check(&row[3], &counts(of_channel(), "added"), &name);
        assert_eq!(row[4], users.values().sum::<u64>(), "{name}");
    }

    // In a file: the list is JSON in one cell.
    let export = server.ask(r#"{"export":"channels","day":"2015-09-12","excel":true}"#);
    for published in export["export"].as_array().unwrap() {
        let path = published["path"].as_str().unwrap();
        let mut file = csv::Reader::from_path(path).unwrap();
        let header = file.headers().unwrap().clone();
        let at = |name: &str| header.iter().position(|h| h == name).unwrap();
        let (channel, few) = (at("channel"), at("few"));
        for line in file.into_records() {
            let line = line.unwrap();
            let row = rows.iter().find(|row| row[0] == line[channel]).unwrap();
            let triples = row[2].as_array().unwrap().iter();
            let triples: Value =
                triples.map(|item| json!([item["value"], item["upper"], item["lower"]])).collect();
            assert_eq!(line[few], triples.to_string());
        }
    }

    // In protobuf, with the same numbers.
    let question = wire::Question {
        summary: "edits".into(),
        select: vec!["some.3".into()],
        ..wire::Question::default()
    };
    let req = zmq::Context::new().socket(zmq::REQ).unwrap();
    req.set_rcvtimeo(60_000).unwrap();
    req.connect(&server.query()).unwrap();
    req.send(question.encode_to_vec(), 0).unwrap();
    let answer = wire::Answer::decode(req.recv_bytes(0).unwrap().as_slice()).unwrap();
    let Some(wire::cell::Kind::Items(items)) = &answer.rows[0].cells[0].kind else {
        panic!("{answer:?}")
    };
    let json = server.ask(r#"{"summary":"edits","select":["some.3"]}"#);
    let same: Value = items
        .items
        .iter()
        .map(|i| json!({ "value": i.value, "count": i.count, "lower": i.lower, "upper": i.upper }))
        .collect();
    assert_eq!((items.items.len(), &json["rows"][0][0]), (3, &same));
}

#[test]
fn what_cannot_be_asked_or_kept_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), CONFIG, Clock::manual(NOON_US));
    let push = server.push();
    for page in ["a".to_owned(), "b".repeat(4096), "c".repeat(4097)] {
        let event = json!({ "time": "2026-11-20T00:00:00Z", "page": page, "added": 1 });
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(3);
    let stats = server.ask(r#"{"get":"stats"}"#);
    assert_eq!(stats["events_refused"], 1, "{stats}");
    let answer = server.ask(r#"{"summary":"edits","select":["pages","some.1"]}"#);
    let one = |value: &str| json!({ "value": value, "count": 1, "lower": 1, "upper": 1 });
    assert_eq!(answer["rows"][0], json!([[one("a"), one(&"b".repeat(4096))], [one("a")]]));
    let nothing = server.ask(r#"{"summary":"edits","to":"2020-01-01","select":["pages"]}"#);
    assert_eq!(nothing["rows"], json!([[[]]]));
    for (question, code) in [
        (r#"{"summary":"edits","select":["some.101"]}"#, "unknown_column"),
        (r#"{"summary":"edits","select":["some.0"]}"#, "unknown_column"),
        (r#"{"summary":"edits","select":["some.+1"]}"#, "unknown_column"),
        (r#"{"summary":"edits","select":["some"],"order":"-some"}"#, "bad_request"),
        (r#"{"set":{"and":[{"summary":"edits","theta":"some"}]}}"#, "unknown_column"),
    ] {
        let answer = server.ask(question);
        assert_eq!(answer["error"]["code"], code, "{question}: {answer}");
    }
}
