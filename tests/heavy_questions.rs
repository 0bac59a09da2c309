//! Questions that could keep the server from other things: they are refused, quick, or ended.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde_json::{Value, json};
use summarizer::clock::Stopwatch;
use summarizer::limits::MAX_CONDITION_VALUES;
use summarizer::query::{Failure, Question};
use summarizer::sequencer::Request;
use support::{NOON_US, TestServer};

const CONFIG: &str = r#"
field = [{ name = "page" }, { name = "user", type = "int" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "pages"
dimensions = ["page", "user"]
aggregates = [{ name = "views", count = true }]
"#;

fn filled(folder: &std::path::Path, rows: usize) -> TestServer {
    let server = TestServer::start(folder, CONFIG);
    let push = server.push();
    for user in 0..rows {
        let event = json!({ "ts": NOON_US, "page": "p", "user": user });
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(rows as u64);
    server
}

#[test]
fn many_values_are_looked_up_and_too_many_refused() {
    const ROWS: usize = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), ROWS);
    // Every other row, and far more that is not there; in no order, some of it twice.
    let mut users: Vec<usize> = (0..MAX_CONDITION_VALUES - 2).rev().map(|at| at * 2).collect();
    users.extend([0, 0]);
    let answer = server.ask(&json!({ "summary": "pages", "where": { "user": users } }).to_string());
    assert_eq!(answer["rows"], json!([[ROWS / 2]]), "{answer}");

    users.push(1);
    let answer = server.ask(&json!({ "summary": "pages", "where": { "user": users } }).to_string());
    assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
    assert_eq!(answer["error"]["hint"], "at most 65536");
}

#[test]
fn a_stop_ends_a_question_that_is_being_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = filled(folder.path(), 10);
    // A shard that never answers.
    let mut engine = server.server().responder().engine.clone();
    let (ask, _asks) = crossbeam_channel::bounded(1);
    engine.shards[0].asks_out = ask;
    engine.shards.truncate(1);
    let question =
        Question { summary: Some("pages".into()), fresh: Some(false), ..Question::default() };
    let asking =
        std::thread::spawn(move || engine.answer(&question, Stopwatch::start()).unwrap_err());
    server.stop();
    assert_eq!(asking.join().unwrap(), Failure::stopping());
}

/// A server with one thread for answers, and with shards that stand still until the sender is
/// dropped.
fn paused(folder: &std::path::Path) -> (TestServer, Sender<()>) {
    let server = TestServer::start(folder, &format!("{CONFIG}[query.zmq]\nworkers = 1\n"));
    let event = json!({ "ts": NOON_US, "page": "p", "user": 1 });
    server.push().send(event.to_string().as_str(), 0).unwrap();
    server.wait_for(1);
    let (pause, until_closed) = bounded(0);
    server.server().responder().engine.request(Request::Pause(until_closed)).unwrap();
    (server, pause)
}

fn dealer(server: &TestServer) -> zmq::Socket {
    let dealer = zmq::Context::new().socket(zmq::DEALER).unwrap();
    dealer.set_rcvtimeo(60_000).unwrap();
    dealer.set_linger(0).unwrap();
    dealer.connect(&server.query()).unwrap();
    dealer
}

fn answer(dealer: &zmq::Socket) -> Value {
    serde_json::from_slice(&dealer.recv_bytes(0).unwrap()).unwrap()
}

#[test]
fn an_export_keeps_no_other_question_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (server, pause) = paused(folder.path());
    // It needs a checkpoint, and that the shards.
    let exporting = dealer(&server);
    exporting.send(r#"{"export":"pages","day":"2026-11-20"}"#, 0).unwrap();
    // These need only the thread for answers.
    for _ in 0..3 {
        assert_eq!(server.counter("events_accepted"), 1);
    }
    assert_eq!(exporting.poll(zmq::POLLIN, 0).unwrap(), 0, "the shards stand still");
    drop(pause);
    assert_eq!(answer(&exporting)["export"][0]["revision"], 1);
}

#[test]
fn the_time_of_a_question_begins_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (server, pause) = paused(folder.path());
    let dealer = dealer(&server);
    dealer.send(r#"{"id":"patient","summary":"pages"}"#, 0).unwrap();
    dealer.send(r#"{"id":"hasty","summary":"pages","timeout_ms":100}"#, 0).unwrap();
    // The first has the only thread, the second waits behind it for far longer than it may.
    std::thread::sleep(Duration::from_secs(2));
    drop(pause);
    let first = answer(&dealer);
    assert_eq!((&first["id"], &first["rows"]), (&json!("patient"), &json!([[1]])));
    let second = answer(&dealer);
    assert_eq!((&second["id"], &second["error"]["code"]), (&json!("hasty"), &json!("timeout")));
}
