//! A server as a process of its own: started, asked, measured and stopped from outside.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::clock::Stopwatch;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(60);

/// How long any question, and the end, may take: a checkpoint of everything lies in it.
pub const PATIENCE: Duration = Duration::from_secs(1800);

/// Ticks of /proc/PID/stat per second, on every Linux.
const TICKS: u64 = 100;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// The most memory it ever held, in bytes.
    pub peak_rss: u64,
}

/// A running server.
pub struct Server {
    child: Child,
    log: PathBuf,
    questions: String,
    context: zmq::Context,
    peak_rss: u64,
}

/// An address that nobody listens at.
///
/// # Errors
/// Where there is none.
pub fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("the loopback has no free port")?;
    Ok(format!("tcp://{}", listener.local_addr()?))
}

impl Server {
    /// Starts `serve` on a configuration and waits until it answers at `questions`. Its log
    /// goes to `log`.
    ///
    /// # Errors
    /// Where it ends, or does not answer in time; with the end of its log.
    pub fn start(config: &Path, data: &Path, questions: &str, log: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let log_file =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(program)
            .arg("serve")
            .arg("-c")
            .arg(config)
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .context("cannot start a server")?;
        let (log, questions) = (log.to_owned(), questions.to_owned());
        let context = zmq::Context::new();
        let mut server = Self { child, log, questions, context, peak_rss: 0 };
        let since = Stopwatch::start();
        while server.ask_within(&json!({"get": "stats"}), Duration::from_millis(500)).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at its start ({status}): {}", server.log_end());
            }
            if since.elapsed() > START {
                bail!("the server does not answer: {}", server.log_end());
            }
        }
        Ok(server)
    }

    /// Asks a question.
    ///
    /// # Errors
    /// Where there is no answer, or it is an error.
    pub fn ask(&self, question: &Value) -> anyhow::Result<Value> {
        self.ask_within(question, PATIENCE)
    }

    fn ask_within(&self, question: &Value, timeout: Duration) -> anyhow::Result<Value> {
        let socket = self.context.socket(zmq::REQ)?;
        socket.set_linger(0)?;
        socket.set_rcvtimeo(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))?;
        socket.connect(&self.questions)?;
        socket.send(question.to_string().as_bytes(), 0)?;
        let answer = loop {
            match socket.recv_bytes(0) {
                Err(zmq::Error::EINTR) => {}
                other => break other,
            }
        };
        let answer = answer.with_context(|| format!("no answer to {question}"))?;
        let answer: Value = serde_json::from_slice(&answer).context("the answer is not JSON")?;
        match answer.get("error") {
            Some(error) => bail!("{question} was answered with {error}"),
            None => Ok(answer),
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// Where /proc does not tell.
    pub fn usage(&mut self) -> anyhow::Result<Usage> {
        Ok(self.look()?.0)
    }

    /// Usage, and whether the process has ended.
    fn look(&mut self) -> anyhow::Result<(Usage, bool)> {
        let read = |what| {
            let path = format!("/proc/{}/{what}", self.child.id());
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {path} (Linux only)"))
        };
        let (ticks, state) =
            parse_stat(&read("stat")?).context("/proc/PID/stat is not understood")?;
        // Gone with the memory itself when the process has ended.
        self.peak_rss = self.peak_rss.max(parse_peak(&read("status")?).unwrap_or(0));
        let cpu = Duration::from_millis(ticks * 1000 / TICKS);
        Ok((Usage { cpu, peak_rss: self.peak_rss }, state == 'Z'))
    }

    /// Stops it as an operator would, and tells all it has ever used.
    ///
    /// # Errors
    /// Where it does not end, or not well; with the end of its log.
    pub fn stop(mut self) -> anyhow::Result<Usage> {
        let kill =
            Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status();
        kill.context("cannot send SIGTERM")?;
        let since = Stopwatch::start();
        // Until it is waited for, an ended process still shows what it has used.
        let usage = loop {
            let (usage, ended) = self.look()?;
            if ended {
                break usage;
            }
            if since.elapsed() > PATIENCE {
                bail!("the server does not stop: {}", self.log_end());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}: {}", self.log_end());
        }
        Ok(usage)
    }

    /// The last lines of its log.
    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("; ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only where something went wrong; then nothing of it is needed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ticks in user and system mode, and the state, of /proc/PID/stat. The name in it may hold
/// anything, also spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u64, char)> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?, fields.first()?.chars().next()?))
}

/// VmHWM of /proc/PID/status, in bytes.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_understood() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 5 0 0 0 123 77 0 0 20 0 9 0 5 6 7";
        assert_eq!(parse_stat(stat), Some((200, 'S')));
        assert_eq!(parse_stat("nonsense"), None);
        assert_eq!(parse_peak("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("Name: x"), None);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(parse_stat(&own).is_some());
    }

    #[test]
    fn a_free_address_can_be_bound() {
        let address = free_address().unwrap();
        let context = zmq::Context::new();
        context.socket(zmq::REP).unwrap().bind(&address).unwrap();
    }
}
