//! Bad input of every kind is counted, kept with its reason, and harms nothing else.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use serde_json::Value;
use summarizer::config::{Config, Format};
use summarizer::event::Batch;
use summarizer::ingest::{DeadLetters, Decoder, Message, Progress, Reason, wire};
use summarizer::metrics::Metrics;
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
shards = 2
field = [
  { name = "page" }, { name = "n", type = "int" }, { name = "cost", type = "decimal(2)" },
  { name = "ms", type = "float" }, { name = "ok", type = "bool" }, { name = "note" },
  { name = "inner", from = "a.b" }, { name = "size", type = "decimal(1)" },
  { name = "url" }, { name = "low", derive = "lower(url)" }, { name = "start", derive = "prefix(low, 4)" },
  { name = "quiet", derive = "lower(note)" }, { name = "tens", derive = "bucket(n, 10)" },
]
[ingest.zmq]
max_message = "1MB"
[event]
time = { field = "ts", format = "unix_ms" }
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [
  { name = "events", count = true }, { name = "n", sum = "n" }, { name = "cost", sum = "cost" },
  { name = "ms", sum = "ms" }, { name = "note", last = "note" }, { name = "inner", max = "inner" },
  { name = "size", quantile = "size" },
]
retain_days = 4000
[[summary]]
name = "starts"
dimensions = ["start"]
aggregates = [{ name = "events", count = true }]
retain_days = 4000
"#;

fn now_ms() -> i64 {
    NOON_US / 1000
}

/// A row of protobuf that names a member twice.
fn page_twice() -> Vec<u8> {
    let value = wire::Value { kind: Some(wire::value::Kind::String(b"p".to_vec())) };
    let row = wire::Row { name: vec![0, 0], value: vec![value.clone(), value] };
    let batch = wire::EventBatch { names: vec![b"page".to_vec()], rows: vec![row] };
    batch.encode_to_vec()
}

/// What is sent, and the reason for which it is refused.
fn bad_events() -> Vec<(Vec<u8>, &'static str)> {
    let now = now_ms();
    let with = |members: &str| format!(r#"{{"ts":{now},"page":"bad",{members}}}"#).into_bytes();
    let at = |ts: &str| format!(r#"{{"ts":{ts},"page":"bad"}}"#).into_bytes();
    let mut invalid_utf8 = with(r#""note":"x""#);
    let x = invalid_utf8.iter().rposition(|b| *b == b'x').unwrap();
    invalid_utf8[x] = 0xff;
    vec![
        (br#"{"ts":1,"page":"trunc"#.to_vec(), "malformed_json"),
        (b"hello".to_vec(), "malformed_json"),
        (br#"{"ts":1,"page":"x",}"#.to_vec(), "malformed_json"),
        (br#"{'ts':1}"#.to_vec(), "malformed_json"),
        (with(r#""n":NaN"#), "malformed_json"),
        (with(r#""n":"12""#), "wrong_type"),
        (with(r#""n":1.5"#), "wrong_type"),
        (with(r#""n":true"#), "wrong_type"),
        (with(r#""cost":[1]"#), "wrong_type"),
        (with(r#""ok":1"#), "wrong_type"),
        (with(r#""note":{"x":1}"#), "wrong_type"),
        (with(r#""n":9223372036854775808"#), "number_overflow"),
        (with(r#""cost":1e30"#), "number_overflow"),
        (with(r#""ms":1e400"#), "float_range"),
        (with(r#""ms":1099511627776"#), "float_range"),
        (with(r#""size":1099511627776"#), "float_range"),
        (with(r#""size":-1.1e12"#), "float_range"),
        (br#"{"page":"no time"}"#.to_vec(), "missing_time"),
        (br#"{"ts":null,"page":"no time"}"#.to_vec(), "missing_time"),
        (at(r#""yesterday""#), "bad_time"),
        (at("{}"), "bad_time"),
        (at("-86400001"), "before_1970"),
        (at("7258118400000"), "after_2199"),
        (at("99999999999999999999"), "bad_time"),
        (at("9223372036854775"), "after_2199"),
        (at("-9223372036854775"), "before_1970"),
        (at(&(now + 3_600_001).to_string()), "future"),
        (at("86400000"), "expired"),
        (invalid_utf8, "invalid_utf8"),
        (b"\xff\xfe\xfd".to_vec(), "invalid_utf8"),
        (with(&format!(r#""x":{}{}"#, "[".repeat(100), "]".repeat(100))), "too_deep"),
        (
            format!(r#"{{"ts":{now},"page":"{}"}}"#, "p".repeat(5000)).into_bytes(),
            "dimension_too_long",
        ),
        (with(&format!(r#""url":"{}""#, "U".repeat(5000))), "dimension_too_long"),
        // What is derived may be longer, or beyond the integers.
        (with(&format!(r#""url":"{}""#, "\u{130}".repeat(2048))), "dimension_too_long"),
        (with(&format!(r#""url":"{}""#, r"\u0130".repeat(2048))), "dimension_too_long"),
        (with(&format!(r#""note":"{}""#, "\u{130}".repeat(400_000))), "string_too_long"),
        (with(r#""n":-9223372036854775808"#), "number_overflow"),
        (b"".to_vec(), "empty_message"),
        (b" \n\0".to_vec(), "empty_message"),
        (vec![b'x'; 1_000_001], "message_too_large"),
        (vec![0x82, 0x01, 0xff], "malformed_protobuf"),
        (page_twice(), "malformed_protobuf"),
    ]
}

/// Whether a message is one of text that may have neighbours.
fn stands_on_a_line(message: &[u8]) -> bool {
    let is_protobuf = message.starts_with(&[0x82]) || message.starts_with(&[0x8a]);
    !message.is_empty() && message.len() < 1000 && !is_protobuf && !message.starts_with(b" ")
}

#[test]
fn bad_events_are_counted_and_kept_and_harm_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let bad = bad_events();
    let good = format!(
        r#"{{"ts":{},"page":"good","n":1,"cost":0.125,"ms":0.5,"size":1099511627775.9}}"#,
        now_ms()
    );
    for (message, _) in &bad {
        push.send(message.as_slice(), 0).unwrap();
        push.send(good.as_str(), 0).unwrap();
        // In one message, each on its line.
        if stands_on_a_line(message) {
            let lines = [good.as_bytes(), message, good.as_bytes()].join(&b'\n');
            push.send(lines, 0).unwrap();
        }
    }
    push.send_multipart(["one", "two", "three"], 0).unwrap();
    let repeated = bad.iter().filter(|(message, _)| stands_on_a_line(message));
    let repeated: Vec<&str> = repeated.map(|(_, reason)| *reason).collect();
    let (goods, bads) = (bad.len() + 2 * repeated.len(), bad.len() + repeated.len() + 1);
    server.wait_for((goods + bads) as u64);

    let stats = server.ask(r#"{"get":"stats"}"#);
    assert_eq!(stats["events_accepted"], goods);
    assert_eq!(stats["events_refused"], bads);
    assert_eq!(stats["dead_letters"], bads);
    let mut expected = std::collections::BTreeMap::from([("extra_frames", 1)]);
    let reasons = bad.iter().map(|(_, reason)| *reason).chain(repeated);
    reasons.for_each(|reason| *expected.entry(reason).or_default() += 1);
    assert_eq!(stats["refused"], serde_json::json!(expected));

    let answer = server.ask(r#"{"summary":"pages","by":["page"]}"#);
    let sum: f64 = goods as f64 * 0.12;
    let row = &answer["rows"][0];
    assert_eq!(answer["rows"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!((&row[0], &row[1], &row[2]), (&"good".into(), &goods.into(), &goods.into()));
    // 0.125 is rounded half-even to two decimals, and shown with both.
    assert!((row[3].as_f64().unwrap() - sum).abs() < 1e-9, "{row}");
    assert_eq!(row[4].as_f64().unwrap(), goods as f64 / 2.0);

    let letters =
        std::fs::read_to_string(server.folder.join("data/dead-letters/2026-11-20.ndjson")).unwrap();
    assert_eq!(letters.lines().count(), bads);
    for line in letters.lines() {
        let letter: Value = serde_json::from_str(line).unwrap();
        assert!(letter["arrival"].as_str().unwrap().starts_with("2026-11-20T12:00:00"), "{letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(expected.contains_key(reason));
        let of_a_field = [
            "wrong_type",
            "number_overflow",
            "float_range",
            "dimension_too_long",
            "string_too_long",
        ];
        assert_eq!(letter["field"].is_string(), of_a_field.contains(&reason), "{letter}");
        assert!(letter["source"].as_str().unwrap().starts_with("ipc://"));
        assert!(line.len() < 200_000, "letters are bounded");
        assert!(letter.get("event").is_some() || letter.get("base64").is_some());
    }
}

#[test]
fn a_malformed_event_takes_none_of_its_neighbours_along() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let good = format!(r#"{{"ts":{},"page":"good","n":1,"a":{{"b":"c"}}}}"#, now_ms());
    // Those that close, and those that do not: on one line nothing says where these end.
    let closed = [
        r#"{"ts":1,"n":NaN,"a":{"b":"c"}}"#,
        r#"{"ts":1,"page":"a } { \" ","n":}"#,
        r#"{"ts":1,"page":"two ""quotes"}"#,
        r#"{"ts":1,"a":["bracket missing"}"#,
    ];
    let inner = format!(r#"{{"ts":{},"page":"inner"}}"#, now_ms());
    let open = [
        r#"{"ts":1,"page":"trunc"#.to_owned(),
        r#"{"ts":1,"page":"trunc\"#.to_owned(),
        r#"{"ts":1,"page":"odd " quote"}"#.to_owned(),
        r#"{"ts":1,"a":{"b":"brace missing"}"#.to_owned(),
        r#"{"ts":1,"page":"#.to_owned(),
        "{".to_owned(),
        format!(r#"{{"ts":1,"page":"he said "hi","a":{inner}}}"#),
        format!(r#"{{"ts":1,"page":"he said "hi}} ,"a":{inner}}}"#),
        format!("{{\"ts\":1,\n  \"page\":\"he said \"hi\",\n  \"a\":{inner}\n}}"),
        format!(r#"<34>Oct 11 22:14:15 host app{{w}}[1]: {{ts:1,"a":{inner}}}"#),
        format!(r#"<34>Oct 11 22:14:15 host app{{w}}[1]: {{"page":"he said "hi}} ,"a":{inner}"#),
        // The beginning of these is lost.
        format!(r#"rue,"a":{inner}}}"#),
        format!(r#"1}},"a" : [{inner}, {inner}]}}"#),
    ];
    let mut messages: Vec<String> = closed
        .iter()
        .flat_map(|bad| {
            [
                format!("[{good},{bad},{good}, {good}]"),
                format!("{good} {bad} {good}{good}\n"),
                format!("{good}\n{bad}\n{good}\n{good}"),
            ]
        })
        .collect();
    messages.extend(open.iter().map(|bad| format!("{good}\n{bad}\n{good}\n{good}")));
    // Written over several lines it is one event nevertheless.
    messages.push(format!("{good}\n{{\n  \"ts\": 1,\n  \"n\": NaN,\n  \"x\": {{\n    \"y\": 1\n  }}\n}}\n{good}\n{good}"));
    messages.iter().for_each(|message| push.send(message.as_str(), 0).unwrap());
    let (good, bad) = (3 * messages.len() as u64, messages.len() as u64);
    server.wait_for(good + bad);
    let stats = server.ask(r#"{"get":"stats"}"#);
    assert_eq!(stats["refused"], serde_json::json!({ "malformed_json": bad }));
    let answer = server.ask(r#"{"summary":"pages","by":["page"],"select":["events","n"]}"#);
    assert_eq!(answer["rows"], serde_json::json!([["good", good, good]]));
}

#[test]
fn a_refused_message_is_kept_with_the_time_of_its_own_arrival() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let mut sent = 0;
    for message in [vec![b'x'; 1_000_001], b"{".to_vec()] {
        server.clock.advance(std::time::Duration::from_secs(600));
        push.send(message, 0).unwrap();
        sent += 1;
        server.wait_for(sent);
    }
    server.clock.advance(std::time::Duration::from_secs(600));
    push.send_multipart(["one", "two", "three"], 0).unwrap();
    server.wait_for(3);
    let letters =
        std::fs::read_to_string(folder.path().join("data/dead-letters/2026-11-20.ndjson"));
    let arrival = |line: &str| serde_json::from_str::<Value>(line).unwrap()["arrival"].clone();
    let arrivals: Vec<Value> = letters.unwrap().lines().map(arrival).collect();
    assert_eq!(arrivals, ["2026-11-20T12:10:00Z", "2026-11-20T12:20:00Z", "2026-11-20T12:30:00Z"]);
}

#[test]
fn a_batch_is_full_when_its_texts_are_whatever_field_they_are_in() {
    let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let metrics = Arc::new(Metrics::new(&reasons, 1, &[]));
    let mut dead =
        DeadLetters::new(folder.path().into(), config.dead_letters.clone(), Arc::clone(&metrics));
    let schema = Arc::new(config.schema.clone());
    let mut decoder = Decoder::new(Arc::clone(&schema), metrics);
    let text = "t".repeat(1_000_000);
    // Of a note there is a derived field, which takes as much.
    for (member, expected) in [("note", &[5, 5, 5, 5][..]), ("unknown", &[9, 9, 2])] {
        let event = format!(r#"{{"ts":{},"{member}":"{text}"}}"#, now_ms());
        let bytes = event.repeat(20).into_bytes();
        let message = Message { bytes: &bytes, source: "test", format: Format::Auto };
        let (mut progress, mut batches) = (Progress::default(), Vec::new());
        let mut ended = false;
        while !ended {
            let mut batch = Batch::new(&schema);
            batch.arrival_us = NOON_US;
            ended = decoder.decode(&message, &mut progress, &mut batch, &mut dead);
            batches.push(batch.len());
        }
        assert_eq!(batches, expected, "{member}");
    }
}

#[test]
fn what_rsyslog_wraps_around_events_is_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let event = format!(
        r#"{{"ts":{},"page":"p","a":{{"b":"deep","c":1}},"extra":[1,{{"x":"y"}}]}}"#,
        now_ms()
    );
    let wrapped = [
        event.clone(),
        format!(" {event}"),
        format!("{event}\n"),
        format!("{event}\0"),
        format!("@cee: {event}"),
        format!(" @cee:{event}\n\0"),
        format!("<13>Nov 20 12:00:00 host app[1]: @cee: {event}"),
        format!("<165>1 2026-11-20T12:00:00Z host app 1 ID - {event}\r\n"),
        format!("{event}\n{event}\n\n{event}"),
        format!("{event}{event}"),
        event.replace(",\"", ",\n  \""),
        format!("[{event},\n {event}]"),
        format!("<34>Oct 11 22:14:15 host app{{worker}}[1]: {event}"),
        format!("<34>Oct 11 22:14:15 host app[1]{{x}}: @cee:{event}"),
        format!("<34>Oct 11 22:14:15 host app: key={{a}} and {{b}} before {event}"),
        format!("<13>1 - host app{{w}} 1 ID [x a=\"{{b}}\"] {event}\n<13>h app{{w}} {event}"),
        format!("Oct 11 22:14:15 host app{{worker}}[1]: {event}"),
        format!("\u{feff}{event}"),
        format!("[[{event}],[[{event}]]]"),
    ];
    let events = 12 + 2 + 1 + 1 + 7 + 2;
    for message in &wrapped {
        push.send(message.as_str(), 0).unwrap();
    }
    push.send_multipart(["topic", event.as_str()], 0).unwrap();
    server.wait_for(events + 1);
    let stats = server.ask(r#"{"get":"stats"}"#);
    assert_eq!(
        (&stats["events_accepted"], &stats["events_refused"]),
        (&(events + 1).into(), &0.into())
    );
    assert_eq!(
        stats["unknown_fields"],
        serde_json::json!({ "c": events + 1, "extra": events + 1 })
    );
    let answer = server.ask(r#"{"summary":"pages","select":["events","inner"]}"#);
    assert_eq!(answer["rows"], serde_json::json!([[events + 1, "deep"]]));
}

#[test]
fn what_stands_between_events_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    let event = format!(r#"{{"ts":{},"page":"p"}}"#, now_ms());
    let (mut accepted, mut expected) = (0, Vec::<&str>::new());
    for (message, events, pieces) in [
        ("[E,3,E]", 2, &["3"][..]),
        ("[E,\"lost\",E]", 2, &["\"lost\""]),
        ("[1,E]", 1, &["1"]),
        ("[E,[1,2],E]", 2, &["1,2]"]),
        ("E junk E\n", 2, &["junk"]),
        ("E @cee: E <13>h a: E\0b: E", 4, &[]),
        ("E\n3\nE,null", 2, &["3", "null"]),
        ("<13>1 - h a - - [x a=\"{b}\"] E\nE", 2, &[]),
        ("<13>h a: [E, E]", 2, &[]),
        ("[[E]]", 1, &[]),
        ("[E,[E]]", 2, &[]),
        ("[[1,2],E]", 1, &["1,2]"]),
        ("garbageE", 1, &["garbage"]),
        ("garbage\t E, E\nmore [E]", 3, &["garbage", "more ["]),
        ("key={a} prefix E", 1, &["key={a} prefix"]),
        ("E key={a} prefix E", 2, &["key={a} prefix"]),
        ("hello\0E", 1, &["hello"]),
    ] {
        push.send(message.replace('E', &event).as_str(), 0).unwrap();
        accepted += events;
        expected.extend(pieces);
    }
    server.wait_for(accepted + expected.len() as u64);
    assert_eq!(server.counter("events_accepted"), accepted);
    let letters =
        std::fs::read_to_string(folder.path().join("data/dead-letters/2026-11-20.ndjson"));
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event"].clone();
    let letters: Vec<Value> = letters.unwrap().lines().map(text).collect();
    assert_eq!(letters, expected);
}

#[test]
fn unknown_names_are_counted_one_by_one_up_to_a_thousand() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    for i in 0..1500 {
        push.send(format!(r#"{{"ts":{},"page":"p","x{i}":1}}"#, now_ms()).as_str(), 0).unwrap();
    }
    server.wait_for(1500);
    let stats = server.ask(r#"{"get":"stats"}"#);
    let names = stats["unknown_fields"].as_object().unwrap();
    assert_eq!(names.len(), 1001);
    assert_eq!(names["(other)"], 500);
}
