//! What the tests share: a server of their own in a folder of its own, clients for its two
//! sockets, and the real data where it is present.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

pub mod faults;
pub mod postgres;
pub mod process;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use summarizer::clock::Clock;
use summarizer::config::Config;
use summarizer::server::Server;

/// Longest that any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// 2026-11-20T12:00:00Z, where manual clocks begin.
pub const NOON_US: i64 = 1_795_176_000_000_000;

/// A server in this process, and what is needed to start it again.
pub struct TestServer {
    pub folder: PathBuf,
    pub clock: Clock,
    text: String,
    /// Events come over TCP to this port instead of ipc.
    port: Option<u16>,
    server: Option<Server>,
    context: zmq::Context,
}

impl TestServer {
    /// Starts a server with a configuration and a clock that stands at [`NOON_US`].
    /// `text` needs no addresses and no folder.
    pub fn start(folder: &Path, text: &str) -> Self {
        Self::start_with(folder, text, Clock::manual(NOON_US))
    }

    pub fn start_with(folder: &Path, text: &str, clock: Clock) -> Self {
        Self::start_at(folder, text, clock, None)
    }

    /// Starts a server that takes events over TCP at a port.
    pub fn start_at(folder: &Path, text: &str, clock: Clock, port: Option<u16>) -> Self {
        let mut server = Self {
            folder: folder.to_owned(),
            clock,
            text: text.to_owned(),
            port,
            server: None,
            context: zmq::Context::new(),
        };
        server.server = Some(server.try_start().unwrap());
        server
    }

    fn try_start(&self) -> Result<Server, String> {
        let mut config =
            Config::parse(&self.text, Path::new("test.toml")).map_err(|e| e.to_string())?;
        config.data_dir = self.folder.join("data");
        config.ingest.bind = vec![self.ingest()];
        config.query.bind = vec![self.query()];
        Server::start(config, self.clock.clone()).map_err(|e| e.to_string())
    }

    /// Address of the socket for events.
    pub fn ingest(&self) -> String {
        if let Some(port) = self.port {
            return format!("tcp://127.0.0.1:{port}");
        }
        format!("ipc://{}", self.folder.join("in").display())
    }

    /// Address of the question socket.
    pub fn query(&self) -> String {
        format!("ipc://{}", self.folder.join("ask").display())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().unwrap();
    }

    /// Stops it and starts it again, with another configuration.
    pub fn restart_with(&mut self, text: &str) -> Result<(), String> {
        if self.server.is_some() {
            self.stop();
        }
        self.text = text.to_owned();
        self.server = Some(self.try_start()?);
        Ok(())
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// A socket that sends events.
    pub fn push(&self) -> zmq::Socket {
        let socket = self.context.socket(zmq::PUSH).unwrap();
        socket.set_linger(60_000).unwrap();
        socket.connect(&self.ingest()).unwrap();
        socket
    }

    /// Asks over the socket.
    pub fn ask(&self, question: &str) -> Value {
        ask(&self.context, &self.query(), question)
    }

    /// Waits until so many events were accepted or refused, over all.
    pub fn wait_for(&self, events: u64) {
        let begun = Instant::now();
        loop {
            let stats = self.ask(r#"{"get":"stats"}"#);
            let seen = stats["events_accepted"].as_u64().unwrap()
                + stats["events_refused"].as_u64().unwrap();
            if seen >= events {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{seen} of {events} events");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the counters are as they should be.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        wait_until(|question| self.ask(question), what, holds);
    }

    /// A counter.
    pub fn counter(&self, name: &str) -> u64 {
        self.ask(r#"{"get":"stats"}"#)[name].as_u64().unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let stopped = server.stop();
            if !std::thread::panicking() {
                stopped.unwrap();
            }
        }
    }
}

/// Waits until the counters of a server, which `ask` asks, are as they should be.
pub fn wait_until(ask: impl Fn(&str) -> Value, what: &str, holds: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let stats = ask(r#"{"get":"stats"}"#);
        if holds(&stats) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "never {what}: {stats:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the rows of all shards take, by the counters.
pub fn memory_bytes(stats: &Value) -> u64 {
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard["memory_bytes"].as_u64().unwrap()).sum()
}

/// Asks a server one question.
pub fn ask(context: &zmq::Context, at: &str, question: &str) -> Value {
    let socket = context.socket(zmq::REQ).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
    socket.connect(at).unwrap();
    socket.send(question, 0).unwrap();
    let answer = socket.recv_bytes(0).expect("an answer in time");
    serde_json::from_slice(&answer).expect("an answer in JSON")
}

/// A folder of the real data; none, loudly, where this clone has none beside it.
pub fn real_data(folder: &str) -> Option<PathBuf> {
    // Cargo runs tests in the folder of their package.
    let shared = std::env::var_os("SUMMARIZER_SHARED").unwrap_or_else(|| "../shared".into());
    let path = std::path::absolute(shared).unwrap().join("data").join(folder);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "CI must have {}", path.display());
    eprintln!("SKIPPED: no real data at {}", path.display());
    None
}

/// A server that has all edits of Wikipedia of one day, half of them stored and half live, an
/// hour after the midnight that ends it; and the edits. None where there is no real data.
pub fn with_edits(folder: &Path, config: &str) -> Option<(TestServer, Vec<Value>)> {
    const NEXT_DAY_US: i64 = 1_442_106_000_000_000;
    let data = real_data("wikiticker")?;
    let file = std::fs::File::open(data.join("wikiticker-2015-09-12-sampled.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut server = TestServer::start_with(folder, config, Clock::manual(NEXT_DAY_US));
    let send = |server: &TestServer, part: &[&str]| {
        let push = server.push();
        part.chunks(100).for_each(|chunk| push.send(chunk.join("\n").as_str(), 0).unwrap());
        server.wait_for(part.len() as u64);
    };
    let (stored, live) = lines.split_at(lines.len() / 2);
    send(&server, stored);
    server.restart_with(config).unwrap();
    send(&server, live);
    let events = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some((server, events))
}

/// A free port below the range that the system gives to connecting sockets: there, one that
/// keeps trying to connect could meet itself.
pub fn free_port() -> u16 {
    let start = 20_000 + (std::process::id() % 10_000) as u16;
    (start..32_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// One of the example configurations.
pub fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new("schemas").join(name)).unwrap()
}
