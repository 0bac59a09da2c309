//! Single keys are looked up at once where they are in memory and their shard is idle, and otherwise
//! by way of the sequencer, the shards and the store: nobody sees which.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use summarizer::query::Question;
use summarizer::sequencer::Request;
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
shards = 3
field = [{ name = "page" }, { name = "user", type = "int" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{ name = "views", count = true }, { name = "users", unique = "user" }]
[[summary]]
name = "all"
dimensions = []
aggregates = [{ name = "views", count = true }]
"#;

const DAY: &str = "2026-11-19";
/// On that day, the one before the newest that is taken.
const THEN_US: i64 = NOON_US - 86_400_000_000;
const PAGES: i64 = 40;

fn event(number: i64, time_us: i64) -> String {
    json!({ "ts": time_us, "page": format!("p{}", number % PAGES), "user": number }).to_string()
}

fn question(page: i64) -> Value {
    json!({ "get": "pages", "day": DAY, "key": { "page": format!("p{page}") } })
}

/// Whether a question is answered by the thread that asks.
fn is_at_once(server: &TestServer, question: &Value) -> bool {
    let question = Question::from_json(question.to_string().as_bytes()).unwrap();
    server.server().responder().engine.answer_at_once(&question).is_some()
}

/// The answer at once and that of a worker, who has a question that says how long it may take.
fn both(server: &TestServer, question: &Value) -> [Value; 2] {
    let mut patient = question.clone();
    patient["timeout_ms"] = json!(20_000);
    assert!(!is_at_once(server, &patient));
    [question, &patient].map(|question| {
        let mut answer = server.ask(&question.to_string());
        assert!(answer["as_of"].is_string(), "{answer}");
        answer.as_object_mut().unwrap().remove("as_of");
        answer
    })
}

#[test]
fn a_key_is_looked_up_at_once_or_by_the_way_around_and_nobody_sees_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    for number in 0..10 * PAGES {
        push.send(event(number, THEN_US).as_str(), 0).unwrap();
    }
    server.wait_for(10 * PAGES as u64);
    for page in [0, 1, 2, 17, PAGES - 1] {
        assert!(is_at_once(&server, &question(page)), "page {page}");
        let [at_once, around] = both(&server, &question(page));
        assert_eq!(at_once, around);
        assert_eq!(at_once["rows"], json!([[10, 10]]));
        assert_eq!(at_once["totals"], json!([10, 10]));
    }
    // Nobody has it; of a day of which nothing is known.
    let mut unknown_day = question(0);
    unknown_day["day"] = json!("2026-11-18");
    for question in [question(PAGES), unknown_day] {
        let [at_once, around] = both(&server, &question);
        assert_eq!(at_once, around, "{question}");
        assert_eq!(at_once["rows"], json!([[0, 0]]), "{question}");
    }
    // The server is started anew, and the newest day is another one.
    push.send(event(0, NOON_US).as_str(), 0).unwrap();
    server.wait_for(10 * PAGES as u64 + 1);
    server.restart_with(CONFIG).unwrap();
    assert!(!is_at_once(&server, &question(0)), "it is in the store");
    assert_eq!(both(&server, &question(0))[0]["rows"], json!([[10, 10]]));
    // What comes late is in memory and the rest in the store.
    let push = server.push();
    push.send(event(PAGES, THEN_US).as_str(), 0).unwrap();
    server.wait_for(1);
    assert!(!is_at_once(&server, &question(0)), "some of it is in the store");
    let [at_once, around] = both(&server, &question(0));
    assert_eq!(at_once, around);
    assert_eq!(at_once["rows"], json!([[11, 10]]));
}

#[test]
fn what_was_counted_is_seen_by_whoever_looks_up_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let push = server.push();
    for number in 1..=500 {
        push.send(event(number * PAGES, THEN_US).as_str(), 0).unwrap();
        let counted = json!({ "summary": "all", "min_events": number, "timeout_ms": 20_000 });
        assert_eq!(server.ask(&counted.to_string())["events"], number);
        // Answered at once or not: it may be that a shard is still at work.
        let answer = server.ask(&question(0).to_string());
        assert_eq!(answer["rows"], json!([[number, number]]), "{answer}");
        assert_eq!(answer["events"], number);
    }
}

#[test]
fn a_shard_at_work_holds_up_nobody_who_does_not_ask_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), &format!("{CONFIG}[query.zmq]\nworkers = 1\n"));
    let push = server.push();
    for page in 0..PAGES {
        push.send(event(page, THEN_US).as_str(), 0).unwrap();
    }
    server.wait_for(PAGES as u64);
    let (pause, until_closed) = crossbeam_channel::bounded(0);
    let engine = &server.server().responder().engine;
    engine.request(Request::Pause(until_closed)).unwrap();
    while is_at_once(&server, &question(0)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
    dealer.set_rcvtimeo(20_000).unwrap();
    dealer.connect(&server.query()).unwrap();
    dealer.send(question(0).to_string().as_str(), 0).unwrap();
    assert_eq!(dealer.poll(zmq::POLLIN, 300).unwrap(), 0, "its shard stands still");
    // The thread of the socket waits for no shard.
    dealer.send(r#"{"get":"pages","day":"someday","key":{}}"#, 0).unwrap();
    drop(pause);
    let answers = [(); 2].map(|()| dealer.recv_bytes(0).unwrap());
    let answers = answers.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
    assert!(answers.iter().any(|answer| answer["rows"] == json!([[1, 1]])), "{answers:?}");
    assert!(answers.iter().any(|answer| answer["error"]["code"] == "bad_value"), "{answers:?}");
}
