//! Clients that ask faster than they read: they get every answer, nobody else waits with them,
//! and what is kept for one that is gone is given up.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use summarizer::clock::Stopwatch;
use support::{NOON_US, PATIENCE, TestServer};

const CONFIG: &str = r#"
field = [{ name = "page" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{ name = "views", count = true }]
"#;

/// So many that an answer has some 40 kB.
const PAGES: usize = 2000;

/// More than libzmq takes for a client that does not read.
const QUESTIONS: usize = 3000;

fn filled(folder: &std::path::Path) -> TestServer {
    let server = TestServer::start(folder, CONFIG);
    let push = server.push();
    for page in 0..PAGES {
        let event = json!({ "ts": NOON_US, "page": format!("/page/{page}") });
        push.send(event.to_string().as_str(), 0).unwrap();
    }
    server.wait_for(PAGES as u64);
    server
}

/// A client that has asked a lot and read nothing. It keeps little for itself, too.
fn eager(context: &zmq::Context, server: &TestServer) -> zmq::Socket {
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_rcvhwm(4).unwrap();
    dealer.set_rcvtimeo(10_000).unwrap();
    dealer.set_sndtimeo(60_000).unwrap();
    dealer.set_linger(0).unwrap();
    dealer.connect(&server.query()).unwrap();
    for id in 0..QUESTIONS {
        let question = json!({ "id": id, "summary": "pages", "by": ["page"] });
        dealer.send(question.to_string().as_str(), 0).unwrap();
    }
    dealer
}

#[test]
fn who_reads_slowly_gets_every_answer_and_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    let context = zmq::Context::new();
    let dealer = eager(&context, &server);
    for _ in 0..100 {
        let answer = server.ask(r#"{"summary":"pages"}"#);
        assert_eq!(answer["rows"], json!([[PAGES]]));
    }
    let mut answered = BTreeSet::new();
    while answered.len() < QUESTIONS {
        let Ok(answer) = dealer.recv_bytes(0) else {
            panic!("{} of {QUESTIONS} questions were answered", answered.len());
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["rows"].as_array().unwrap().len(), PAGES);
        assert!(answered.insert(answer["id"].as_u64().unwrap()), "answered twice");
    }
    assert_eq!(server.counter("answers_dropped"), 0);
    assert_eq!(server.counter("answers_unwanted"), 0);
}

#[test]
fn what_waits_for_one_that_is_gone_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path());
    let dealer = eager(&zmq::Context::new(), &server);
    drop(dealer);
    let begun = Stopwatch::start();
    while server.counter("answers_unwanted") == 0 {
        assert!(begun.elapsed() < PATIENCE, "its answers still wait");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.counter("answers_dropped"), 0);
}

#[test]
fn a_stop_does_not_wait_for_one_that_does_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = filled(folder.path());
    let context = zmq::Context::new();
    let _dealer = eager(&context, &server);
    server.stop();
}
