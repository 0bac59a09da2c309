//! `summarizer demo`: the whole way in a minute, with nothing but this program. Traffic goes
//! through the real socket; what is shown is what the server answers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::query::ask;
use super::say;
use super::table::show;
use super::workload::Generator;
use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, Purpose};
use crate::event::DayZone;
use crate::event::date;
use crate::server::Server;

/// The canonical workload, as the program carries it.
const CONFIG: &str = include_str!("../../schemas/adtech.toml");

/// Where the data goes if nothing else is said.
const FOLDER: &str = "summarizer-demo";

/// Days of traffic.
const DAYS: u32 = 3;

/// Events per message.
const BATCH: usize = 100;

/// Between two lines of live counts where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Show what this is: made-up ad traffic, live counts, a few questions, daily CSV files
///
/// Needs no argument and no other program. Leaves its files in ./summarizer-demo, or in
/// ./summarizer-demo-2 and so on where that is there from before.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  summarizer demo --events 2000000 --seconds 20")]
pub struct Args {
    /// Events of made-up traffic
    #[arg(long, default_value_t = 600_000, value_parser = clap::value_parser!(u64).range(1000..))]
    events: u64,
    /// Seconds to spread them over (0: as fast as it goes)
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// A new or empty folder for the data, instead of ./summarizer-demo
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Where the server does not start or an answer does not come.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = match &args.dir {
        Some(folder) => empty_folder(folder)?,
        None => unused_folder(Path::new(FOLDER)),
    };
    let file = Path::new("schemas/adtech.toml");
    let mut config = Config::parse_for(Purpose::Serve, CONFIG, file, Some(&folder))?;
    config.ingest.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    config.query.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    let summaries = config.schema.summaries.len();
    let clock = Clock::system();
    // Whole days: yesterday and those before it.
    let first_day = DayZone::new(&config.schema.zone).day(clock.now_us()) - DAYS as i32;
    let server = Server::start(config, clock)?;
    let (events_at, asked_at) =
        (server.ingest_addresses()[0].clone(), server.query_addresses()[0].clone());
    say(format!(
        "A summarizer is running: events at {events_at}, questions at {asked_at}.\n\
         {} made-up ad events of {DAYS} days go through the socket now, each into {summaries} summaries.\n",
        grouped(args.events)
    ))?;
    let sender = {
        let (address, events, seconds) = (events_at, args.events, args.seconds);
        std::thread::spawn(move || send(&address, events, first_day, seconds))
    };
    watch(&asked_at, args.events)?;
    sender.join().map_err(|_| anyhow::anyhow!("the sender failed"))??;
    questions(&asked_at, first_day)?;
    files(&asked_at, first_day)?;
    server.stop()?;
    say(
        "\nNext: summarizer serve -c schemas/adtech.toml, and README.md for feeding it from rsyslog.",
    )
}

/// A folder that was asked for, which must not be in use: its data would mix with ours.
fn empty_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let shown = folder.display();
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(folder.to_owned()),
        Ok(false) => bail!("--dir {shown} is not empty; name a new folder, or remove it first"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(folder.to_owned()),
        Err(error) => bail!("--dir {shown} cannot be used: {error}; name a new folder"),
    }
}

/// The folder, or one beside it where it is in use already.
fn unused_folder(folder: &Path) -> PathBuf {
    let beside = (2..).map(|n| PathBuf::from(format!("{}-{n}", folder.display())));
    let mut all = std::iter::once(folder.to_owned()).chain(beside);
    all.find(|f| !f.exists()).unwrap_or_else(|| folder.to_owned())
}

/// Sends the workload at an even pace.
fn send(address: &str, events: u64, first_day: i32, seconds: u64) -> anyhow::Result<()> {
    let context = zmq::Context::new();
    let socket = context.socket(zmq::PUSH)?;
    socket.set_linger(60_000)?;
    socket.connect(address).context("cannot connect to the server")?;
    let begun = Stopwatch::start();
    let mut message = Vec::new();
    for (at, event) in Generator::new(1, events, DAYS, first_day)?.enumerate() {
        event.write_json(&mut message);
        let sent = at as u64 + 1;
        if sent.is_multiple_of(BATCH as u64) || sent == events {
            socket.send(message.as_slice(), 0)?;
            message.clear();
            let due = Duration::from_secs(seconds).mul_f64(sent as f64 / events as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    Ok(())
}

fn answer(at: &str, question: &Value) -> anyhow::Result<Value> {
    let text = ask(at, &question.to_string(), PATIENCE)?;
    parsed(question, &text)
}

fn parsed(question: &Value, answer: &str) -> anyhow::Result<Value> {
    let answer: Value = serde_json::from_str(answer)?;
    if let Some(error) = answer.get("error") {
        bail!("{question} was answered with {error}");
    }
    Ok(answer)
}

/// Shows counts while events keep arriving: one line that moves on a terminal, one line
/// every second elsewhere.
fn watch(at: &str, events: u64) -> anyhow::Result<()> {
    let bar = ProgressBar::new(events);
    let style = ProgressStyle::with_template("{bar:30.cyan/blue} {human_pos} events  {msg}")?;
    bar.set_style(style);
    let begun = Stopwatch::start();
    let mut next_line = LINE_EVERY;
    loop {
        let live = answer(
            at,
            &json!({ "summary": "browser", "select": ["events", "users", "cost", "latency.p95"] }),
        )?;
        let row = &live["totals"];
        let count = row[0].as_u64().unwrap_or(0);
        let counts = format!(
            "{} users (±{}), cost {}, p95 {:.0} ms",
            grouped(row[1].as_u64().unwrap_or(0)),
            grouped(half_width(&live)),
            row[2],
            row[3].as_f64().unwrap_or(0.0)
        );
        if bar.is_hidden() && (count >= events || begun.elapsed() >= next_line) {
            say(format!("{} events  {counts}", grouped(count)))?;
            next_line = begun.elapsed() + LINE_EVERY;
        }
        bar.set_position(count);
        bar.set_message(counts);
        if count >= events {
            bar.abandon();
            return say("");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Half the distance of the bounds of a unique count.
fn half_width(answer: &Value) -> u64 {
    let bounds = &answer["bounds"]["users"][0];
    let (lower, upper) = (bounds[0].as_u64().unwrap_or(0), bounds[1].as_u64().unwrap_or(0));
    upper.saturating_sub(lower) / 2
}

/// Asks a few questions, each going deeper than the one before.
fn questions(at: &str, first_day: i32) -> anyhow::Result<()> {
    let (from, to) = (date(first_day).to_string(), date(first_day + DAYS as i32 - 1).to_string());
    let columns = json!(["events", "users", "cost", "latency.p50", "latency.p95"]);
    let asked = |title: &str, question: Value| -> anyhow::Result<Value> {
        say(format!("\n{title}\n  {question}"))?;
        let watch = Stopwatch::start();
        let text = ask(at, &question.to_string(), PATIENCE)?;
        let took = watch.elapsed();
        let found = parsed(&question, &text)?;
        say(format!("{}answered in {:.1} ms", show(&text), took.as_secs_f64() * 1e3))?;
        Ok(found)
    };
    asked(
        "How did the days compare? (Users of all days are merged, not added up.)",
        json!({ "summary": "browser", "by": ["day"], "select": columns }),
    )?;
    let top = asked(
        "Which campaigns reached most people?",
        json!({ "summary": "campaign", "from": from, "to": to, "by": ["campaign"], "select": columns, "order": "-users", "limit": 5 }),
    )?;
    let campaign = &top["rows"][0][0];
    asked(
        "Where does the first of them reach them?",
        json!({ "summary": "campaign_country", "from": from, "to": to, "where": { "campaign": campaign },
            "by": ["country"], "select": columns, "order": "-users", "limit": 5 }),
    )?;
    asked(
        "And one row by itself, as an application asks thousands of times a second:",
        json!({ "get": "campaign", "day": to, "key": { "campaign": campaign } }),
    )?;
    Ok(())
}

/// Publishes the days and names the files.
fn files(at: &str, first_day: i32) -> anyhow::Result<()> {
    say("\nThe days as CSV files, for a spreadsheet, pandas or PostgreSQL:")?;
    for day in first_day..first_day + DAYS as i32 {
        let question = json!({ "export": "*", "day": date(day).to_string() });
        let published = answer(at, &question)?;
        let list = published["export"].as_array().cloned().unwrap_or_default();
        let rows: u64 = list.iter().filter_map(|p| p["rows"].as_u64()).sum();
        if let Some(path) = list.first().and_then(|p| p["path"].as_str()) {
            say(format!("  {path}  and {} more, {} rows", list.len() - 1, grouped(rows)))?;
        }
    }
    Ok(())
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
