//! `summarizer send`: feeds files, or the standard input, to a server.
//!
//! In: events in JSON (`events`) or rows of CSV (`csv_rows`) of files (`input`). They are gathered into
//! messages ([`batch`]) and handed over ([`push`]). Out: a line that says how much.

pub mod batch;
mod csv_record;
mod csv_rows;
mod events;
mod input;
pub mod push;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::table::counted;
use super::{mention, say};
use crate::clock::Stopwatch;
use crate::config::parse_micros;
use batch::{Batch, Form};
use csv_rows::CsvRows;
use events::Events;
use input::{Input, Outcome};
use push::{Pusher, SEND_HIGH_WATER_MARK};

/// Bad rows or events that are shown; the others are counted.
const SHOWN: u64 = 5;

/// Feed files or the standard input to a server
///
/// Files hold JSON objects, by line, over several or in an array, or CSV with a header (--csv);
/// plain or gzip. It ends when everything was handed over to the server's side of the connection.
///
/// What becomes of it there, the server counts: summarizer query '{"get":"stats"}' has
/// events_accepted, events_refused and, for each reason, refused.REASON.
///
/// What has no form as an event is passed over; the first five are shown on stderr, with file
/// and line, and at the end the exit code is then 1.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    summarizer send --to tcp://127.0.0.1:5555 events.ndjson.gz\n  \
    summarizer send --to tcp://127.0.0.1:5555 --csv --id row --bool returned sales.csv\n  \
    tail -F access.ndjson | summarizer send --to tcp://127.0.0.1:5555 --batch 1")]
pub struct Args {
    /// The server's address for events (ingest.zmq.bind)
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// What to send the events as
    #[arg(long, value_enum, default_value_t = Form::Json)]
    pub format: Form,
    /// Most events in one message; a message waits until it is full, has a MiB, or the input
    /// ends
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// The files are CSV: numbers are sent as numbers, empty cells not at all
    #[arg(long)]
    pub csv: bool,
    /// Give each event an id, FILE:ROW with the name as given here; the same file sent
    /// again is then known to be the same. For events that have none of their own; one behind
    /// a header in its line gets none
    #[arg(long, value_enum)]
    pub id: Option<Id>,
    /// The CSV cells of this column that are true or false (also TRUE, False) are booleans
    /// and not texts, for a field of type bool; may be given several times
    #[arg(long = "bool", value_name = "COLUMN", requires = "csv")]
    pub bools: Vec<String>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// At most so many events per second, in messages of a tenth of a second's at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// How long to wait for a server that is not there
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: Duration,
    /// Files; the standard input where there are none, or for -
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Where ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Id {
    /// The number of the row
    Row,
}

/// Reads a time of the command line.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let micros = parse_micros(text).and_then(|us| u64::try_from(us).ok());
    micros.map(Duration::from_micros).ok_or_else(|| "expected a time such as 500ms, 10s, 1m".into())
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sent {
    /// Events. Whether it takes them, the server says.
    pub events: u64,
    /// What was passed over, since it is no event.
    pub skipped: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
    /// Seconds from the first to the last.
    pub seconds: f64,
}

/// Runs the command.
///
/// # Errors
/// Where nobody listens, a file cannot be read, or some of it could not be sent.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let sent = send(args)?;
    let rate = if sent.seconds > 0.0 { sent.events as f64 / sent.seconds } else { 0.0 };
    let Sent { events, skipped, messages, bytes, seconds } = sent;
    if std::io::stdout().is_terminal() {
        let what = args.unit();
        mention(format!(
            "sent {}{} in {}, {}, in {seconds:.1} s: {rate:.0} {what}s/s",
            counted(events, what),
            passed_over(skipped),
            counted(messages, "message"),
            counted(bytes, "byte")
        ));
    } else {
        let summary = json!({
            "events": events, "skipped": skipped, "messages": messages, "bytes": bytes,
            "seconds": seconds, "events_per_second": rate.round(),
        });
        say(summary)?;
    }
    if skipped > 0 {
        bail!(
            "{} could not be sent and {} passed over; mend and send what is shown above",
            match args.csv {
                true => counted(skipped, "row"),
                false => format!("{} of what should be events", skipped),
            },
            if skipped == 1 { "was" } else { "were" }
        );
    }
    Ok(())
}

impl Args {
    /// What is counted here.
    fn unit(&self) -> &'static str {
        if self.csv { "row" } else { "event" }
    }
}

/// Sends what the arguments say, without a word at the end.
///
/// # Errors
/// As [`run`]. What was read before the error has been handed over.
pub fn send(args: &Args) -> anyhow::Result<Sent> {
    let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files.clone() };
    let mut sender = Sender::new(args)?;
    let mut outcome = Ok(());
    for file in &files {
        let opened = Input::open(file, &sender.bar);
        outcome = opened.and_then(|input| match (&input.other, args.csv) {
            (Some(why), _) => {
                sender.skip(&format!("{}:1", input.name), why, None);
                Ok(())
            }
            (None, true) => sender.send_csv(input, &args.bools),
            (None, false) => sender.send_events(input),
        });
        if outcome.is_err() || sender.is_done() {
            break;
        }
    }
    // What came before an error is sent all the same, and its place says where to go on.
    let (sent, finished) = sender.finish();
    let events = counted(sent.events, args.unit());
    outcome.map_err(|error| match &finished {
        Ok(()) => error.context(format!("stopped after {events}")),
        // What failed may be the way out itself.
        Err(_) => error.context(format!(
            "stopped after {events}, of which up to {SEND_HIGH_WATER_MARK} messages have not \
             arrived; what did, the server's counters say"
        )),
    })?;
    finished.with_context(|| format!("handed over {events}"))?;
    Ok(sent)
}

/// Events on their way out.
struct Sender {
    pusher: Pusher,
    batch: Batch,
    message: Vec<u8>,
    with_id: Vec<u8>,
    id: Option<Id>,
    limit: u64,
    rate: Option<u64>,
    /// Those taken, also if they wait in the batch.
    taken: u64,
    /// `event` or `row`.
    unit: &'static str,
    sent: Sent,
    since: Stopwatch,
    bar: ProgressBar,
}

impl Sender {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let pusher = Pusher::connect(&args.to, args.timeout)?;
        // A slow rate is ten small messages a second rather than a large one now and then.
        let even = args.rate.map_or(usize::MAX, |rate| (rate / 10).max(1) as usize);
        Ok(Self {
            pusher,
            batch: Batch::new(args.format, even.min(args.batch as usize)),
            message: Vec::new(),
            with_id: Vec::new(),
            id: args.id,
            limit: args.limit.unwrap_or(u64::MAX),
            rate: args.rate,
            taken: 0,
            unit: args.unit(),
            sent: Sent::default(),
            since: Stopwatch::start(),
            bar: progress(input::total_size(&args.files)),
        })
    }

    fn is_done(&self) -> bool {
        self.taken >= self.limit
    }

    fn send_events(&mut self, mut input: Input) -> anyhow::Result<()> {
        let name = input.name.clone();
        let (mut events, mut row) = (Events::new(input.reader(), &name), 0);
        while !self.is_done() {
            let outcome = events.next_event()?;
            // What is none has a number too: the others keep their ids when it is mended.
            row += 1;
            match outcome {
                Outcome::Record => self.take(events.taken(), &name, row, || events.place())?,
                Outcome::Bad(why) => {
                    self.skip(&events.place(), &why, Some(&csv_rows::shown(events.taken())));
                }
                Outcome::End => break,
            }
        }
        Ok(())
    }

    fn send_csv(&mut self, mut input: Input, bools: &[String]) -> anyhow::Result<()> {
        let name = input.name.clone();
        let mut rows = CsvRows::new(input.reader(), &name, bools)?;
        let (mut line, mut row) = (Vec::new(), 0);
        while !self.is_done() {
            let outcome = rows.next_row(&mut line)?;
            // A bad row has a number too: the others keep their ids when it is mended.
            row += 1;
            match outcome {
                Outcome::Record => self.take(&line, &name, row, || rows.place())?,
                Outcome::Bad(why) => self.skip(&rows.place(), &why, Some(&rows.shown())),
                Outcome::End => break,
            }
        }
        Ok(())
    }

    /// Passes over what cannot be sent; the first few are shown.
    fn skip(&mut self, place: &str, why: &str, what: Option<&str>) {
        self.sent.skipped += 1;
        if self.sent.skipped <= SHOWN {
            let what = what.filter(|what| !what.is_empty());
            let what = what.map_or(String::new(), |what| format!(": {what}"));
            self.bar.suspend(|| mention(format!("{place}: {why}{what}")));
        } else if self.sent.skipped == SHOWN + 1 {
            let unit = self.unit;
            self.bar
                .suspend(|| mention(format!("more bad {unit}s follow, which are only counted")));
        }
    }

    /// Takes one event, and sends the message before it if that is full.
    fn take(
        &mut self,
        line: &[u8],
        file: &str,
        row: u64,
        place: impl Fn() -> String,
    ) -> anyhow::Result<()> {
        let mut with_id = std::mem::take(&mut self.with_id);
        let line = match self.id {
            Some(Id::Row) if add_id(line, file, row, &mut with_id) => &with_id,
            _ => line,
        };
        if self.batch.is_full_for(line.len()) {
            self.flush()?;
        }
        match self.batch.add(line) {
            Ok(()) => self.taken += 1,
            Err(why) => self.skip(&place(), &why, Some(&csv_rows::shown(line))),
        }
        self.with_id = with_id;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let events = self.batch.len() as u64;
        self.batch.take(&mut self.message);
        self.pusher.push(&self.message)?;
        self.sent.events += events;
        self.sent.messages += 1;
        self.sent.bytes += self.message.len() as u64;
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.sent.events as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(self.since.elapsed()));
        }
        // Once in a while: the clock is not free.
        if self.sent.messages.is_multiple_of(64) || self.rate.is_some() {
            let rate = self.sent.events as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
            let count = counted(self.sent.events, self.unit);
            let passed_over = passed_over(self.sent.skipped);
            self.bar.set_message(format!("{count}{passed_over}, {rate:.0}/s"));
        }
        Ok(())
    }

    /// Sends the rest and waits until all of it was handed over.
    fn finish(mut self) -> (Sent, anyhow::Result<()>) {
        let finished = self.flush().and_then(|()| self.pusher.finish());
        self.sent.seconds = self.since.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        (self.sent, finished)
    }
}

/// Behind how many were sent: how many were not.
fn passed_over(skipped: u64) -> String {
    match skipped {
        0 => String::new(),
        skipped => format!(" ({skipped} more could not be)"),
    }
}

/// Writes an object with an id before its members; false where `line` is no object.
fn add_id(line: &[u8], file: &str, row: u64, out: &mut Vec<u8>) -> bool {
    let Some(members) = line.trim_ascii_start().strip_prefix(b"{") else { return false };
    out.clear();
    out.extend_from_slice(b"{\"id\":");
    csv_rows::write_string(format!("{file}:{row}").as_bytes(), out);
    if !members.trim_ascii_start().starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(members);
    true
}

/// A bar on stderr, where that is a terminal; of bytes read.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, style) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {msg}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}, {msg}"),
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests;
