//! A client that nobody here wrote: Python's pyzmq, as REQ and as DEALER.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use summarizer::clock::Clock;
use summarizer::config::Config;
use summarizer::server::Server;
use support::{NOON_US, TestServer};

const CLIENT: &str = r#"
import json, sys, zmq
context = zmq.Context()
push = context.socket(zmq.PUSH)
push.connect(sys.argv[1])
for i in range(1000):
    push.send_json({"ts": int(sys.argv[3]), "user": "u%d" % (i % 300)})
req = context.socket(zmq.REQ)
req.connect(sys.argv[2])
req.send_json({"summary": "all", "min_events": 1000, "timeout_ms": 30000})
answer = req.recv_json()
assert answer["rows"] == [[1000, 300]], answer
dealer = context.socket(zmq.DEALER)
dealer.connect(sys.argv[2])
for i in range(50):
    dealer.send_multipart([b"", json.dumps({"id": i, "summary": "all"}).encode()])
for i in range(50, 100):
    dealer.send_json({"id": i, "summary": "all", "fresh": False})
seen = set()
for _ in range(100):
    answer = json.loads(dealer.recv_multipart()[-1])
    assert answer["rows"] == [[1000, 300]], answer
    seen.add(answer["id"])
assert seen == set(range(100)), seen
print("ok", zmq.zmq_version())
"#;

const CONFIG: &str = r#"
field = [{ name = "user" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "all"
dimensions = []
aggregates = [{ name = "events", count = true }, { name = "users", unique = "user" }]
"#;

#[test]
fn both_sockets_are_served_over_ipv6_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6: nothing was tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::parse(CONFIG, Path::new("test.toml")).unwrap();
    config.data_dir = folder.path().join("data");
    config.ingest.bind = ["tcp://127.0.0.1:*", "tcp://[::1]:*"].map(str::to_owned).into();
    config.query.bind = config.ingest.bind.clone();
    let server = Server::start(config, Clock::manual(NOON_US)).unwrap();
    let context = zmq::Context::new();
    for address in server.ingest_addresses() {
        let push = context.socket(zmq::PUSH).unwrap();
        push.set_ipv6(true).unwrap();
        push.connect(address).unwrap();
        push.send(format!(r#"{{"ts":{NOON_US},"user":"u"}}"#).as_str(), 0).unwrap();
    }
    for address in server.query_addresses() {
        let ask = context.socket(zmq::REQ).unwrap();
        ask.set_ipv6(true).unwrap();
        ask.set_rcvtimeo(30_000).unwrap();
        ask.connect(address).unwrap();
        ask.send(r#"{"summary":"all","min_events":2,"timeout_ms":20000}"#, 0).unwrap();
        let answer: Value = serde_json::from_slice(&ask.recv_bytes(0).unwrap()).unwrap();
        assert_eq!(answer["rows"], json!([[2, 1]]), "{address}");
    }
    server.stop().unwrap();
}

#[test]
fn python_asks_as_req_and_as_dealer() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let python = std::env::var("SUMMARIZER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python)
        .args(["-c", CLIENT, &server.ingest(), &server.query(), &NOON_US.to_string()])
        .output()
        .expect("python3");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with("ok"), "{text}");
}
