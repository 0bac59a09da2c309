//! Questions as clients write them: numbers with all their digits, whatever protobuf can carry,
//! ids of any form. What would be taken for something else is refused.

#![allow(clippy::unwrap_used)]

mod support;

use prost::Message;
use serde_json::{Value, json};
use summarizer::clock::Stopwatch;
use summarizer::ingest::wire;
use support::{NOON_US, TestServer};
use wire::cell::Kind;

const CONFIG: &str = r#"
field = [
  { name = "fine", type = "decimal(18)" }, { name = "large", type = "decimal(2)" },
  { name = "whole", type = "int" }, { name = "text" }, { name = "user" },
]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "all"
dimensions = ["fine", "large", "whole", "text"]
aggregates = [{ name = "n", count = true }, { name = "users", theta = "user" }]
"#;

const FINE: &str = "1.123456789012345678";
const LARGE: &str = "12345678901234567.89";

/// A server that has one event.
fn filled(folder: &std::path::Path) -> TestServer {
    let server = TestServer::start(folder, CONFIG);
    let event = format!(
        r#"{{"ts":{NOON_US},"fine":{FINE},"large":{LARGE},"whole":3,"text":12345678901234567890123,"user":"u"}}"#
    );
    server.push().send(event.as_str(), 0).unwrap();
    server.wait_for(1);
    server
}

fn respond(server: &TestServer, question: &[u8]) -> wire::Answer {
    wire::Answer::decode(
        server.server().responder().respond(question, Stopwatch::start()).as_slice(),
    )
    .unwrap()
}

/// A question for the number of events with a value of a dimension.
fn with(dimension: &str, kind: Kind) -> Vec<u8> {
    let values = vec![wire::Cell { kind: Some(kind) }];
    let condition = wire::Condition { dimension: dimension.into(), values };
    let question = wire::Question {
        summary: "all".into(),
        select: vec!["n".into()],
        r#where: vec![condition],
        ..wire::Question::default()
    };
    question.encode_to_vec()
}

#[test]
fn a_number_is_found_with_all_its_digits() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    let shown = server
        .server()
        .responder()
        .respond(br#"{"summary":"all","by":["fine","large"]}"#, Stopwatch::start());
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(&format!("[[{FINE},{LARGE},")), "{shown}");
    for (dimension, value) in
        [("fine", FINE), ("large", LARGE), ("text", "12345678901234567890123"), ("whole", "3")]
    {
        let quoted = format!("\"{value}\"");
        let quoted = if dimension == "whole" { "3.0" } else { quoted.as_str() };
        for value in [value, quoted, &format!("[ {value} , null]")] {
            let question = format!(
                r#"{{"summary":"all","where":{{"{dimension}": {value} }},"select":["n"]}}"#
            );
            assert_eq!(server.ask(&question)["rows"], json!([[1]]), "{question}");
        }
        let answer = respond(&server, &with(dimension, Kind::Decimal(value.into())));
        assert_eq!(answer.error, None, "{dimension}");
        assert_eq!(answer.rows[0].cells[0].kind, Some(Kind::Int(1)), "{dimension}");
    }
}

#[test]
fn what_is_no_number_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    for text in
        ["null", "true", "\"a\"", "[1]", " 1.5", "1.5\n", "+1", "1.", ".5", "0x1", "NaN", ""]
    {
        let answer = respond(&server, &with("fine", Kind::Decimal(text.into())));
        assert_eq!(answer.error.unwrap().code, "bad_value", "{text}");
        let question = json!({ "summary": "all", "where": { "fine": text } }).to_string();
        let answer = server.ask(&question);
        assert_eq!(answer["error"]["code"], "bad_value", "{question}");
    }
    for value in ["{}", "[[1]]", "1.1234567890123456789", "1e999"] {
        let answer = server.ask(&format!(r#"{{"summary":"all","where":{{"fine":{value}}}}}"#));
        assert!(answer["error"].is_object(), "{value}: {answer}");
    }
}

#[test]
fn a_double_that_is_not_finite_is_no_null() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let answer = respond(&server, &with("fine", Kind::Double(double)));
        assert_eq!(answer.error.unwrap().code, "bad_value", "{double}");
    }
    assert_eq!(respond(&server, &with("fine", Kind::Double(1.5))).error, None);
}

/// Questions of a client that knows more than this server.
mod newer {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Question {
        #[prost(string, tag = "16")]
        pub id: String,
        #[prost(string, tag = "17")]
        pub summary: String,
        #[prost(message, repeated, tag = "20")]
        pub only: Vec<Condition>,
        #[prost(message, optional, tag = "31")]
        pub set: Option<Set>,
        #[prost(uint64, tag = "32")]
        pub skip: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Condition {
        #[prost(string, tag = "16")]
        pub dimension: String,
        #[prost(message, repeated, tag = "17")]
        pub values: Vec<Cell>,
        #[prost(bool, tag = "18")]
        pub negated: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Cell {
        #[prost(string, tag = "22")]
        pub prefix: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Set {
        #[prost(message, repeated, tag = "16")]
        pub and: Vec<Part>,
        #[prost(message, repeated, tag = "19")]
        pub either: Vec<Part>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Part {
        #[prost(string, tag = "16")]
        pub summary: String,
        #[prost(message, repeated, tag = "20")]
        pub only: Vec<Condition>,
        #[prost(string, tag = "21")]
        pub zone: String,
    }
}

#[test]
fn what_a_newer_client_asks_is_refused_and_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    let plain =
        || newer::Question { id: "x".into(), summary: "all".into(), ..newer::Question::default() };
    let condition = |values: Vec<newer::Cell>, negated| {
        vec![newer::Condition { dimension: "text".into(), values, negated }]
    };
    let cells = || vec![newer::Cell { prefix: "1".into() }];
    let part = || newer::Part { summary: "all".into(), ..newer::Part::default() };
    let set = |and: newer::Part, either: Vec<newer::Part>| newer::Question {
        id: "x".into(),
        set: Some(newer::Set { and: vec![and], either }),
        ..newer::Question::default()
    };
    for question in [
        newer::Question { skip: 1, ..plain() },
        newer::Question { only: condition(Vec::new(), true), ..plain() },
        newer::Question { only: condition(cells(), false), ..plain() },
        set(part(), vec![part()]),
        set(newer::Part { zone: "UTC".into(), ..part() }, Vec::new()),
        set(newer::Part { only: condition(cells(), false), ..part() }, Vec::new()),
    ] {
        let answer = respond(&server, &question.encode_to_vec());
        let error = answer.error.unwrap_or_else(|| panic!("answered: {question:?}"));
        assert_eq!((answer.id.as_str(), error.code.as_str()), ("x", "bad_request"), "{error:?}");
        assert!(error.message.contains("does not know"), "{error:?}");
    }
    // What is known is understood however it is written: a default that need not be there, a
    // field given twice, a number longer than it need be.
    for question in [plain().encode_to_vec(), set(part(), Vec::new()).encode_to_vec()] {
        let again = [question.as_slice(), &[0x82, 1, 0], &[0x82, 1, 0x81, 0, b'y']].concat();
        let answer = respond(&server, &again);
        assert_eq!((answer.error, answer.id.as_str()), (None, "y"));
    }
}

#[test]
fn an_id_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    for id in ["1.10", "12345678901234567890123", "1e2", r#""\u0041""#, r#"{"a":[1.0]}"#, "7"] {
        for rest in [
            r#""summary":"all""#,
            r#""set":{"and":[{"summary":"all"}]}"#,
            r#""get":"stats""#,
            r#""export":"*","day":"2026-11-20""#,
            r#""summary":"al""#,
            r#""sumary":"all""#,
        ] {
            let question = format!(r#"{{{rest},"id": {id} }}"#);
            let answer =
                server.server().responder().respond(question.as_bytes(), Stopwatch::start());
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(&format!(r#""id":{id},"#)), "{question}: {answer}");
            assert!(serde_json::from_str::<Value>(&answer).unwrap().is_object());
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_protobuf() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    let answer = server.ask("\u{feff}{\"id\":1,\"summary\":\"all\",\"select\":[\"n\"]}");
    assert_eq!((&answer["id"], &answer["rows"]), (&json!(1), &json!([[1]])), "{answer}");
    let answer = server.ask("\u{feff}{\"id\":1,\"summary\":\"al\"}");
    let error = &answer["error"]["code"];
    assert_eq!((&answer["id"], error), (&json!(1), &json!("unknown_summary")), "{answer}");
    let waiting = "\u{feff}{\"id\":1,\"summary\":\"all\",\"min_events\":2,\"timeout_ms\":20}";
    assert_eq!(server.ask(waiting)["error"]["code"], "timeout");
}

/// Rows in memory as well as stored ones, also those that `where` leaves out.
#[test]
fn rows_that_are_read_count_and_not_only_those_that_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{CONFIG}\n[query.zmq]\nmax_scan = 3");
    let mut server = TestServer::start(folder.path(), &config);
    let push = server.push();
    for whole in 0..4 {
        push.send(format!(r#"{{"ts":{NOON_US},"whole":{whole}}}"#).as_str(), 0).unwrap();
    }
    server.wait_for(4);
    drop(push);
    let one = r#"{"summary":"all","where":{"whole":1},"select":["n"]}"#;
    let key = r#"{"get":"all","day":"2026-11-20","key":{"fine":null,"large":null,"whole":1,"text":null},"select":["n"]}"#;
    for _ in ["live", "stored"] {
        let answer = server.ask(one);
        assert_eq!(answer["error"]["code"], "too_much_scan", "{answer}");
        assert_eq!(server.ask(key)["rows"], json!([[1]]));
        server.restart_with(&config).unwrap();
    }
}
