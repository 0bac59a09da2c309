//! The real program as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::{PATIENCE, ask, wait_until};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_summarizer");

/// A configuration for the events that a [`Process`] sends; it asks at `folder/ask`.
pub fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"
data_dir = "{folder}/data"
field = [{{ name = "page" }}, {{ name = "n", type = "int" }}, {{ name = "user" }}]
[ingest.zmq]
bind = "tcp://127.0.0.1:*"
[query.zmq]
bind = "ipc://{folder}/ask"
[event]
time = {{ field = "ts", format = "unix_s" }}
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [{{ name = "events", count = true }}, {{ name = "n", sum = "n" }}]
"#
    )
}

/// A server process that has said what it listens on.
pub struct Process {
    pub child: Child,
    /// Address of its socket for events.
    pub events: String,
    folder: PathBuf,
}

impl Process {
    pub fn start(folder: &Path, text: &str) -> Self {
        std::fs::write(folder.join("s.toml"), text).unwrap();
        Self::of(&mut serve(folder), folder)
    }

    /// Runs a command that becomes a server with its question socket at `folder/ask`.
    pub fn of(command: &mut Command, folder: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening") {
            let more = log.read_line(&mut said).unwrap() > 0;
            assert!(more, "it ended before it listened: {said}");
        }
        let line = said.lines().last().unwrap();
        let events = line.split("tcp://").nth(1).and_then(|l| l.split('"').next()).unwrap();
        let events = format!("tcp://{events}");
        // Somebody must read on, or the pipe fills.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, events, folder: folder.to_owned() }
    }

    /// Runs `folder/s.toml` where nobody can read the log, so that its address for events has to
    /// be known.
    pub fn unheard(folder: &Path, events: String, log: Stdio) -> Self {
        let child = serve(folder).stderr(log).spawn().unwrap();
        Self { child, events, folder: folder.to_owned() }
    }

    pub fn ask(&self, question: &str) -> serde_json::Value {
        ask(&zmq::Context::new(), &format!("ipc://{}/ask", self.folder.display()), question)
    }

    /// Waits until the counters are as they should be.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&serde_json::Value) -> bool) {
        wait_until(|question| self.ask(question), what, holds);
    }

    pub fn send(&self, from: i64, to: i64) {
        let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
        socket.set_linger(60_000).unwrap();
        socket.set_sndtimeo(60_000).unwrap();
        socket.connect(&self.events).unwrap();
        for i in from..to {
            let event = json!({ "ts": 1_795_000_000 + i, "page": format!("p{}", i % 10), "n": i, "user": "u" });
            socket.send(event.to_string().as_str(), 0).unwrap();
        }
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub fn wait(mut self) -> std::process::ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that serves `folder/s.toml`.
pub fn serve(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("-c").arg(folder.join("s.toml")).env_remove("RUST_LOG");
    command
}
