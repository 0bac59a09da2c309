//! Questions that could keep the server from other things: they are refused, quick, or ended.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::json;
use summarizer::clock::Stopwatch;
use summarizer::limits::MAX_CONDITION_VALUES;
use summarizer::query::{Failure, Question};
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
    let begun = Stopwatch::start();
    let answer = server.ask(&json!({ "summary": "pages", "where": { "user": users } }).to_string());
    assert_eq!(answer["rows"], json!([[ROWS / 2]]), "{answer}");
    // Compared with each value, that takes 3.5 s.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());

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
    engine.asks_out = vec![ask];
    let question =
        Question { summary: Some("pages".into()), fresh: Some(false), ..Question::default() };
    let begun = Stopwatch::start();
    let asking =
        std::thread::spawn(move || engine.answer(&question, Stopwatch::start()).unwrap_err());
    server.stop();
    assert_eq!(asking.join().unwrap(), Failure::stopping());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
