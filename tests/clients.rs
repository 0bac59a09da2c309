//! A client that nobody here wrote: Python's pyzmq, as REQ and as DEALER.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

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

#[test]
fn python_asks_as_req_and_as_dealer() {
    let config = r#"
field = [{ name = "user" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "all"
dimensions = []
aggregates = [{ name = "events", count = true }, { name = "users", unique = "user" }]
"#;
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), config);
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
