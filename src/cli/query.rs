//! `summarizer query`: one question over the socket.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use super::say;
use super::send::push::{listens, millis};
use super::table::show;
use crate::clock::Stopwatch;

/// Ask a running server one question
///
/// The answer is a table on a terminal and JSON otherwise. The table is to look at: it shows
/// three decimals, or four digits of what is below 1; null as ∅ and the empty string as
/// nothing; characters that a terminal would obey as \n or \u001b. --json has all of it.
#[derive(clap::Args)]
#[command(after_help = r#"Examples:
  summarizer query '{"summary":"placements","from":"2026-11-20","to":"2026-11-20","by":["placement"],"order":"-users","limit":10}'
  summarizer query '{"get":"placements","day":"2026-11-20","key":{"placement":"p1"}}'
  summarizer query '{"set":{"and":[{"summary":"pages","where":{"page":"/a"}},{"summary":"pages","where":{"page":"/b"}}]}}'
  summarizer query --json '{"get":"stats"}'"#)]
pub struct Args {
    /// Where the server answers questions
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5556")]
    at: String,
    /// JSON also on a terminal
    #[arg(long)]
    json: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// The question, in JSON
    #[arg(value_name = "JSON")]
    question: String,
}

/// Runs the command.
///
/// # Errors
/// Where there is no answer, or the answer is an error.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let timeout = Duration::from_secs(u64::from(args.timeout));
    // A file may begin with a byte-order mark.
    let question = args.question.trim_start_matches('\u{feff}').trim_start();
    if !question.starts_with('{') {
        bail!(
            "a question is a JSON object, such as '{{\"get\":\"stats\"}}', in quotes that your \
             shell leaves alone; this one begins with \"{}\"",
            question.chars().take(20).collect::<String>()
        );
    }
    let answer = ask(&args.at, question, timeout)?;
    if args.json || !std::io::stdout().is_terminal() {
        say(&answer)?;
    }
    let value: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    if let Some(error) = value.get("error") {
        let text = |key: &str| error[key].as_str().unwrap_or("").to_owned();
        bail!("{} ({}); {}", text("message"), text("code"), text("hint"));
    }
    if !args.json && std::io::stdout().is_terminal() {
        say(show(&answer).trim_end())?;
    }
    Ok(())
}

/// Longest wait for a server that is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// How often it is asked whether a server that has not answered yet is still there.
const STILL_THERE: Duration = Duration::from_secs(5);

/// Sends a question to a server and waits for the answer.
///
/// # Errors
/// Where nobody is there, or nobody answers in time.
pub fn ask(at: &str, question: &str, timeout: Duration) -> anyhow::Result<String> {
    let socket = zmq::Context::new().socket(zmq::REQ)?;
    let connect = CONNECT.min(timeout);
    // A question waits for a server here, rather than unseen in the socket's queue.
    socket.set_immediate(true)?;
    socket.set_sndtimeo(millis(connect))?;
    socket.set_linger(0)?;
    socket.connect(at).map_err(|error| {
        anyhow!(
            "cannot connect to {at} ({error}); expected an address such as tcp://127.0.0.1:5556"
        )
    })?;
    loop {
        match socket.send(question, 0) {
            Ok(()) => break,
            Err(zmq::Error::EINTR) => {}
            Err(zmq::Error::EAGAIN) => bail!(
                "nobody takes questions at {at} (waited {} s); start `summarizer serve`, or name \
                 the address of its query.zmq.bind",
                connect.as_secs_f64()
            ),
            Err(error) => bail!("cannot ask at {at}: {error}"),
        }
    }
    let since = Stopwatch::start();
    loop {
        let left = timeout.saturating_sub(since.elapsed());
        socket.set_rcvtimeo(millis(left.min(STILL_THERE)))?;
        match socket.recv_bytes(0) {
            Ok(answer) => return String::from_utf8(answer).context("the answer is not text"),
            Err(zmq::Error::EINTR) => {}
            Err(zmq::Error::EAGAIN) if !listens(at) => {
                bail!("the server at {at} went away before it answered; see its log")
            }
            Err(zmq::Error::EAGAIN) if since.elapsed() >= timeout => bail!(
                "the server at {at} did not answer within {} s; {}, or wait longer (--timeout)",
                timeout.as_secs(),
                match question.contains("\"min_events\"") {
                    true => "it waits for as many events as min_events says, so send them",
                    false => "it is busy, so ask for less",
                }
            ),
            Err(zmq::Error::EAGAIN) => {}
            Err(error) => bail!("no answer from {at}: {error}"),
        }
    }
}
