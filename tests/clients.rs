//! A client that nobody here wrote: Python's pyzmq, as REQ and as DEALER.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use summarizer::clock::Clock;
use summarizer::config::Config;
use summarizer::server::Server;
use support::{NOON_US, PATIENCE, TestServer};

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

/// Clients that come back by the name that they chose, with and without their answer, and greet.
const RETURNING: &str = r#"
import json, sys, zmq
context = zmq.Context()
def ask(number, read, kind=zmq.REQ, probe=False):
    socket = context.socket(kind)
    socket.linger, socket.rcvtimeo = 0, 60000
    socket.setsockopt(zmq.ROUTING_ID, b"a fixed name")
    if probe:
        socket.setsockopt(zmq.PROBE_ROUTER, 1)
    if not read:
        socket.immediate = 1
    socket.connect(sys.argv[1])
    question = {"id": number, "summary": "all"}
    if read:
        socket.send_json(question)
        answer = socket.recv_json()
        assert answer["id"] == number and "rows" in answer, (number, answer)
    else:
        # An answer that takes a moment, for one who has asked and does not wait for it.
        socket.linger = 1000
        socket.send_json({**question, "min_events": 10**9, "timeout_ms": number % 7})
    socket.close()
for number in range(100):
    ask(number, True)
for number in range(100, 300):
    ask(number, number % 2 == 1)
for number in range(300, 320):
    ask(number, True, (zmq.REQ, zmq.DEALER)[number % 2], True)
print("ok")
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

/// A server with both sockets on TCP.
fn on_tcp(folder: &Path) -> Server {
    let mut config = Config::parse(CONFIG, Path::new("test.toml")).unwrap();
    config.data_dir = folder.join("data");
    config.ingest.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    config.query.bind = config.ingest.bind.clone();
    Server::start(config, Clock::manual(NOON_US)).unwrap()
}

fn python(program: &str, arguments: &[&str]) -> String {
    let python = std::env::var("SUMMARIZER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(python).args(["-c", program]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn who_comes_back_by_the_same_name_gets_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = on_tcp(folder.path());
    let text = python(RETURNING, &[&server.query_addresses()[0]]);
    assert!(text.starts_with("ok"), "{text}");
    server.stop().unwrap();
}

/// Stands between a client and a server; then its server's end stays, and says nothing more, as
/// that of a host which lost its power.
struct Relay {
    address: String,
    ends: std::thread::JoinHandle<(TcpStream, TcpStream)>,
}

impl Relay {
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("tcp://").unwrap().to_owned();
        let ends = std::thread::spawn(move || {
            let (client, server) =
                (listener.accept().unwrap().0, TcpStream::connect(server).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(read) = from.read(&mut bytes)
                        && read > 0
                        && to.write_all(&bytes[..read]).is_ok()
                    {}
                });
            }
            (client, server)
        });
        Self { address, ends }
    }

    /// The end that the server sees, which stays as it is.
    fn cut(self) -> TcpStream {
        let (client, server) = self.ends.join().unwrap();
        client.shutdown(Shutdown::Both).unwrap();
        server
    }
}

/// Whether the kernel looks after all connections at a port that are idle: their timer is that of
/// keepalive.
fn are_looked_after(port: &str) -> bool {
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let all = ["/proc/net/tcp", "/proc/net/tcp6"].map(|f| std::fs::read_to_string(f).unwrap());
    let lines = all.iter().flat_map(|text| text.lines().skip(1));
    let mut timers = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        (cells[1].ends_with(&port) && cells[3] == "01").then(|| cells[5].starts_with("02:"))
    });
    timers.next().is_some_and(|first| first && timers.all(|timer| timer))
}

#[test]
fn a_client_whose_host_vanished_is_answered_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = on_tcp(folder.path());
    let context = zmq::Context::new();
    let ask_as = |address: &str| {
        let socket = context.socket(zmq::REQ).unwrap();
        socket.set_identity(b"a fixed name").unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(20_000).unwrap();
        socket.connect(address).unwrap();
        socket.send(r#"{"summary":"all"}"#, 0).unwrap();
        let answer = socket.recv_bytes(0).expect("an answer");
        (socket, serde_json::from_slice::<Value>(&answer).unwrap())
    };
    let address = &server.query_addresses()[0];
    let relay = Relay::before(address);
    let (first, answer) = ask_as(&relay.address);
    assert_eq!(answer["rows"], json!([[0, 0]]));
    // It asks for more, and vanishes.
    first.send(r#"{"summary":"all","min_events":9,"timeout_ms":100}"#, 0).unwrap();
    let vanished = relay.cut();
    for _ in 0..2 {
        let (_, answer) = ask_as(address);
        assert_eq!(answer["rows"], json!([[0, 0]]));
    }
    drop(vanished);
    server.stop().unwrap();
}

#[test]
fn the_kernel_finds_dead_connections() {
    let folder = tempfile::tempdir().unwrap();
    let server = on_tcp(folder.path());
    for address in [&server.ingest_addresses()[0], &server.query_addresses()[0]] {
        let (host, port) = address.strip_prefix("tcp://").unwrap().split_once(':').unwrap();
        let _idle = TcpStream::connect(format!("{host}:{port}")).unwrap();
        let begun = summarizer::clock::Stopwatch::start();
        while !are_looked_after(port) {
            assert!(begun.elapsed() < PATIENCE / 4, "{address}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    server.stop().unwrap();
}

#[test]
fn python_asks_as_req_and_as_dealer() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let text = python(CLIENT, &[&server.ingest(), &server.query(), &NOON_US.to_string()]);
    assert!(text.starts_with("ok"), "{text}");
}
