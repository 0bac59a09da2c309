//! An event in protobuf is the same event as in JSON, and a bad one harms no other.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use prost::Message as _;
use serde_json::{Value, json};
use summarizer::cli::send::batch::{Batch, Form};
use summarizer::config::{Config, Format};
use summarizer::ingest::wire::{self, value::Kind};
use summarizer::ingest::{DeadLetters, Decoder, Message, Progress, Reason};
use summarizer::metrics::Metrics;
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
field = [
  { name = "k" }, { name = "n", type = "int" }, { name = "d", type = "decimal(2)" },
  { name = "ok", type = "bool" }, { name = "ms", type = "float" },
  { name = "dot", from = 'a\.b' }, { name = "nest", from = "x.y" },
]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "all"
dimensions = ["k", "n", "d", "ok", "dot", "nest"]
aggregates = [{ name = "events", count = true }, { name = "ms", sum = "ms" }]
"#;

/// The members of events beside their time.
const MEMBERS: [&str; 49] = [
    r#""k":"text""#,
    r#""k":"1\n\"ä\u0000""#,
    r#""k":17850"#,
    r#""k":17850.0"#,
    r#""k":1e3"#,
    r#""k":0.50"#,
    r#""k":-0"#,
    r#""k":12345678901234567890"#,
    r#""k":0.12345678901234567890"#,
    r#""k":true"#,
    r#""k":null"#,
    r#""k":{"z":1}"#,
    r#""k":{}"#,
    r#""k":[1]"#,
    r#""n":7"#,
    r#""n":7.0"#,
    r#""n":7.5"#,
    r#""n":1e2"#,
    r#""n":"7""#,
    r#""n":18446744073709551616"#,
    r#""d":0.125"#,
    r#""d":12.50"#,
    r#""d":1e400"#,
    r#""ms":0.1"#,
    r#""ms":1e400"#,
    r#""ok":false"#,
    r#""ok":0"#,
    r#""a":{"b":"inner"}"#,
    r#""a.b":"outer""#,
    r#""a":{"b":"inner"},"a.b":"outer""#,
    r#""x":{"y":"in","z":[{}]}"#,
    r#""x.y":"literal""#,
    r#""x":{"y":{"z":1}}"#,
    r#""x":7"#,
    r#""x":{}"#,
    r#""u":[1,{"k":"unknown"}],"k\\":1,"":2"#,
    // The last member of a name counts whole.
    r#""x":{"y":"first"},"x":{"z":{"y":"b"}}"#,
    r#""x":{"y":"first"},"k":"between","x":{}"#,
    r#""x":{"y":"first"},"x":null"#,
    r#""x":{"y":"first"},"\u0078":[{"y":"in"}]"#,
    r#""x":7,"x":{"y":"in"}"#,
    r#""x":{"y":1},"x":{"y":"in","y":null}"#,
    r#""x":{"y":{"z":1}},"x":{"y":"in"}"#,
    r#""k":"first","k":"last""#,
    r#""n":"wrong","n":7"#,
    r#""n":7,"n":"wrong""#,
    r#""a":{"b":"inner"},"a.b":"first","a":{},"a.b":"last""#,
    r#""u":1,"u":{"k":"unknown"}"#,
    r#""ts":"wrong","ts":1795176000000000"#,
];

/// What a server makes of a message: rows, counters, and reasons with their fields.
fn outcome(message: &[u8], events: u64) -> (Value, Value, Vec<(Value, Value)>) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    server.push().send(message, 0).unwrap();
    server.wait_for(events);
    let question = r#"{"summary":"all","by":["k","n","d","ok","dot","nest"]}"#;
    let rows = server.ask(question)["rows"].clone();
    let stats = server.ask(r#"{"get":"stats"}"#);
    let counts = json!([stats["events_accepted"], stats["refused"]]);
    let path = folder.path().join("data/dead-letters/2026-11-20.ndjson");
    let letters = std::fs::read_to_string(path).unwrap_or_default();
    let letters = letters.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).unwrap();
        (letter["reason"].clone(), letter["field"].clone())
    });
    (rows, counts, letters.collect())
}

#[test]
fn protobuf_says_what_json_says() {
    let sent = |form: Form| {
        let mut batch = Batch::new(form, MEMBERS.len());
        for members in MEMBERS {
            batch.add(format!("{{\"ts\":{NOON_US},{members}}}").as_bytes()).unwrap();
        }
        let mut message = Vec::new();
        batch.take(&mut message);
        outcome(&message, MEMBERS.len() as u64)
    };
    let (rows, counts, letters) = sent(Form::Json);
    assert_eq!(rows[0].as_array().unwrap().len(), 8, "{rows}");
    assert_eq!(sent(Form::Protobuf), (rows, counts, letters));
}

fn message(names: &[&[u8]], rows: Vec<Vec<(u32, Kind)>>) -> Vec<u8> {
    let value = |kind: Kind| wire::Value { kind: Some(kind) };
    let row = |row: Vec<(u32, Kind)>| {
        let (name, value) = row.into_iter().map(|(name, kind)| (name, value(kind))).unzip();
        wire::Row { name, value }
    };
    let names = names.iter().map(|name| name.to_vec()).collect();
    wire::EventBatch { names, rows: rows.into_iter().map(row).collect() }.encode_to_vec()
}

#[test]
fn a_bad_row_harms_no_other() {
    let text = |text: &[u8]| Kind::String(text.to_vec());
    let json = |text: &str| Kind::Json(text.as_bytes().to_vec());
    let row = |name: u32, kind: Kind| vec![(0, Kind::Int(NOON_US)), (name, kind)];
    let rows = vec![
        row(1, text(b"good")),
        row(1, text(b"\xff")),
        row(1, Kind::Json(b"\"\xff\"".to_vec())),
        row(1, json("1,\"n\":2")),
        row(1, json("")),
        row(1, json("{")),
        row(2, text(b"within")),
        row(2, json("1")),
        row(3, text(b"no name")),
        row(9, text(b"no such name")),
        row(4, text(b"in")),
        row(1, text(b"good")),
    ];
    let names: [&[u8]; 5] = [b"ts", b"k", b"k.z", b"\xff", b"x.y"];
    let (rows, counts, letters) = outcome(&message(&names, rows), 12);
    let good = json!(["good", null, null, null, null, null, 2, 0]);
    let nested = json!([null, null, null, null, null, "in", 1, 0]);
    let (mut expected, mut rows) = (vec![good, nested], rows.as_array().unwrap().clone());
    expected.sort_by_key(Value::to_string);
    rows.sort_by_key(Value::to_string);
    assert_eq!(rows, expected);
    let refused = json!({ "invalid_utf8": 3, "malformed_json": 3, "malformed_protobuf": 1,
        "wrong_type": 2 });
    assert_eq!(counts, json!([3, refused]));
    assert_eq!(letters.len(), 9);
}

/// Names that lead into one object are of one object, whatever their order; of names that say two
/// things of one place the later one counts.
#[test]
fn names_of_one_object_do_not_contradict_one_another() {
    let text = |text: &str| Kind::String(text.as_bytes().to_vec());
    let json = |text: &str| Kind::Json(text.as_bytes().to_vec());
    let nested = |steps: usize| vec!["a"; steps].join(".").into_bytes();
    let (deep, too_deep) = (nested(65), nested(66));
    let names: [&[u8]; 9] = [b"ts", b"k", b"x.y", b"x", b"x.z", b"x.y", b"k.z", &deep, &too_deep];
    let rows: Vec<(Vec<(u32, Kind)>, Value)> = vec![
        (vec![(2, text("in")), (4, text("b"))], json!(["in"])),
        (vec![(4, text("b")), (2, text("in"))], json!(["in"])),
        (vec![(4, json("{\"y\":1}")), (2, text("in"))], json!(["in"])),
        (vec![(2, text("in")), (3, json("{\"z\":1}"))], json!([null])),
        (vec![(3, json("{\"y\":\"in\"}")), (4, text("b"))], json!([null])),
        (vec![(2, text("in")), (3, Kind::Int(1))], json!([null])),
        (vec![(3, Kind::Int(1)), (2, text("in"))], json!(["in"])),
        (vec![(2, text("first")), (5, text("in"))], json!(["in"])),
        (vec![(6, text("within")), (1, text("k"))], json!([null])),
        (vec![(1, text("k")), (6, text("within"))], json!("wrong_type")),
        (vec![(7, Kind::Int(1)), (4, Kind::Int(1))], json!([null])),
        (vec![(8, Kind::Int(1))], json!("too_deep")),
        (vec![(7, json("[1]"))], json!("too_deep")),
    ];
    for (row, expected) in rows {
        let row: Vec<(u32, Kind)> = [vec![(0, Kind::Int(NOON_US))], row].concat();
        let shown = format!("{row:?}");
        let (rows, counts, letters) = outcome(&message(&names, vec![row]), 1);
        match expected {
            Value::String(reason) => assert_eq!(letters[0].0, reason, "{shown}"),
            nest => assert_eq!(json!([rows[0][5]]), nest, "{shown}: {counts} {letters:?}"),
        }
    }
}

/// JSON of the same depth is taken, and refused, alike.
#[test]
fn json_is_as_deep_as_names() {
    for (objects, reason) in [(64, None), (65, Some("too_deep"))] {
        let nested = format!("{}1{}", r#"{"a":"#.repeat(objects), "}".repeat(objects));
        let event = format!(r#"{{"ts":{NOON_US},"a":{nested}}}"#);
        let (_, _, letters) = outcome(event.as_bytes(), 1);
        assert_eq!(letters.first().map(|l| l.0.as_str().unwrap()), reason);
    }
}

/// What no field holds stays with the event, and says what was sent when it is read.
#[test]
fn what_is_left_over_is_sound_json() {
    let config = Config::parse(CONFIG, Path::new("test.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    let metrics = Arc::new(Metrics::new(&reasons, 1, &[]));
    let mut dead =
        DeadLetters::new(folder.path().into(), config.dead_letters.clone(), Arc::clone(&metrics));
    let schema = Arc::new(config.schema.clone());
    let mut decoder = Decoder::new(Arc::clone(&schema), metrics);
    let mut rest = |bytes: &[u8]| {
        let mut batch = summarizer::event::Batch::new(&schema);
        batch.arrival_us = NOON_US;
        let message = Message { bytes, source: "test", format: Format::Auto };
        assert!(decoder.decode(&message, &mut Progress::default(), &mut batch, &mut dead));
        assert_eq!(batch.len(), 1);
        String::from_utf8(batch.rest.get(0).to_vec()).unwrap()
    };
    let event = |members: &str| format!(r#"{{"ts":{NOON_US},{members}}}"#).into_bytes();
    let members = r#""x":{"z":1,"y":"old"},"u":1,"x":{"y":"new"},"k":"a""#;
    assert_eq!(rest(&event(members)), r#""u":1"#);
    let names: [&[u8]; 6] = [b"ts", b"u.b", b"x.y", b"u.a", b"u.b", b"d"];
    let row = vec![
        (0, Kind::Int(NOON_US)),
        (1, Kind::Int(1)),
        (2, Kind::String(b"in".to_vec())),
        (3, Kind::Int(2)),
        (4, Kind::Int(3)),
        (5, Kind::Double(0.125)),
    ];
    assert_eq!(rest(&message(&names, vec![row])), r#""d":0.125,"u":{"a":2,"b":3}"#);
}
