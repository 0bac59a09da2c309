//! `summarizer bench ingest`: what taking in one event costs, and whether all is right.
//!
//! A server and a sender are started as processes of their own. The server's CPU time is
//! read before and after; then it is stopped, which writes everything to the store; then
//! started again on that store to publish every summary; and every row is judged.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use super::server::{PATIENCE, Server, Usage, free_address};
use crate::cli::model::{Comparison, Model, SUMMARIES};
use crate::cli::say;
use crate::cli::send::batch::Form;
use crate::cli::workload::{self, Generator};
use crate::clock::{Clock, Stopwatch};
use crate::event::date;

/// Measure what taking in the canonical workload costs the server
///
/// Figures are user and system time of the server's process, read from outside; generating
/// and sending happen in another. Every published row is compared with an exact model.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  summarizer bench ingest\n  \
    summarizer bench ingest --events 10000000 --warm-up 10000000 --shards 1 --json")]
pub struct Args {
    /// Events that are measured
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Events that are sent before them: the first millions mostly make new rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    warm_up: u64,
    /// Events in one message
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// What the events are sent as
    #[arg(long, value_enum, default_value_t = Form::Json)]
    format: Form,
    /// Threads that own rows: auto, or a number
    #[arg(long, value_name = "N", default_value = "auto", value_parser = shards)]
    shards: String,
    /// Another seed makes other events
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Print JSON on a terminal too
    #[arg(long)]
    json: bool,
    /// Do everything in this folder, and leave it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn shards(text: &str) -> Result<String, String> {
    match text == "auto" || text.parse::<u8>().is_ok_and(|n| n > 0) {
        true => Ok(text.to_owned()),
        false => Err("expected auto or a number from 1 to 255".to_owned()),
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    warm_up: u64,
    batch: u32,
    format: String,
    shards: String,
    cores: usize,
    wall_seconds: f64,
    events_per_second: f64,
    events_per_batch: f64,
    cpu_us_per_event: f64,
    cpu_us_per_event_with_checkpoint: f64,
    checkpoint_seconds: f64,
    checkpoint_cpu_seconds: f64,
    peak_rss_bytes: u64,
    restart_seconds: f64,
    export_seconds: f64,
    refused: u64,
    rows: u64,
    right: bool,
    comparison: Comparison,
}

/// Runs the command.
///
/// # Errors
/// Where something cannot be measured, or a row is wrong.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = match &args.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("summarizer-bench-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    if folder.join("data").exists() {
        bail!("{} holds the data of another run; choose another --keep", folder.display());
    }
    let report = Bench::new(args, &folder).and_then(|bench| bench.run());
    if args.keep.is_none() {
        // Left over it would only take space.
        let _ = std::fs::remove_dir_all(&folder);
    }
    let report = report?;
    if args.json || !std::io::stdout().is_terminal() {
        say(serde_json::to_string(&report)?)?;
    } else {
        print_table(&report)?;
    }
    if !report.right {
        let Comparison { mismatches, rows, compared, .. } = report.comparison;
        bail!("{mismatches} mistakes in {compared} of {rows} rows; the report has examples");
    }
    Ok(())
}

/// One run.
struct Bench<'a> {
    args: &'a Args,
    folder: &'a Path,
    day: i32,
    events_at: String,
    questions_at: String,
}

/// The figures of taking in.
struct Ingest {
    events: u64,
    wall: Duration,
    cpu: Duration,
    end: Usage,
    refused: u64,
    batches: u64,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, folder: &'a Path) -> anyhow::Result<Self> {
        // The canonical day, but never one that has not ended: the server refuses the future.
        let today = Clock::system().now_us().div_euclid(86_400_000_000) as i32;
        Ok(Self {
            args,
            folder,
            day: workload::LAST_DAY.min(today - 1),
            events_at: free_address()?,
            questions_at: free_address()?,
        })
    }

    fn run(&self) -> anyhow::Result<Report> {
        let config = self.folder.join("bench.toml");
        let text = configuration(&self.args.shards, &self.events_at, &self.questions_at)?;
        std::fs::write(&config, text).context("cannot write the configuration")?;
        let mut server = self.start(&config)?;
        let ingest = self.ingest(&mut server)?;
        let since = Stopwatch::start();
        let stopped = server.stop()?;
        let checkpoint = (since.elapsed(), stopped.cpu.saturating_sub(ingest.end.cpu));
        let since = Stopwatch::start();
        let server = self.start(&config)?;
        let restart = since.elapsed();
        let since = Stopwatch::start();
        for (summary, _) in SUMMARIES {
            server.ask(&json!({"export": summary, "day": date(self.day).to_string()}))?;
        }
        let export = since.elapsed();
        server.stop()?;
        let comparison = self.compare()?;
        let all = (self.args.warm_up + self.args.events) as f64;
        let per_event = ingest.cpu.as_secs_f64() * 1e6 / ingest.events as f64;
        Ok(Report {
            events: ingest.events,
            warm_up: self.args.warm_up + self.args.events - ingest.events,
            batch: self.args.batch,
            format: format!("{:?}", self.args.format).to_lowercase(),
            shards: self.args.shards.clone(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            wall_seconds: ingest.wall.as_secs_f64(),
            events_per_second: (ingest.events as f64 / ingest.wall.as_secs_f64()).round(),
            events_per_batch: (all / ingest.batches.max(1) as f64).round(),
            cpu_us_per_event: per_event,
            // The checkpoint holds the rows of all events, also of those before.
            cpu_us_per_event_with_checkpoint: per_event + checkpoint.1.as_secs_f64() * 1e6 / all,
            checkpoint_seconds: checkpoint.0.as_secs_f64(),
            checkpoint_cpu_seconds: checkpoint.1.as_secs_f64(),
            peak_rss_bytes: stopped.peak_rss,
            restart_seconds: restart.as_secs_f64(),
            export_seconds: export.as_secs_f64(),
            refused: ingest.refused,
            rows: comparison.compared,
            right: comparison.is_right() && ingest.refused == 0,
            comparison,
        })
    }

    fn start(&self, config: &Path) -> anyhow::Result<Server> {
        let log = self.folder.join("server.log");
        Server::start(config, &self.folder.join("data"), &self.questions_at, &log)
    }

    /// Sends all events and measures the server from the end of the warm-up on.
    fn ingest(&self, server: &mut Server) -> anyhow::Result<Ingest> {
        let (warm_up, all) = (self.args.warm_up, self.args.warm_up + self.args.events);
        let bar = progress(all);
        let mut since = Stopwatch::start();
        let mut start = (0, server.usage()?);
        let mut warm = warm_up == 0;
        let mut feed = Feed(self.feed(all)?);
        let mut quiet = (Stopwatch::start(), 0);
        let (refused, batches) = loop {
            let stats = server.ask(&json!({"get": "stats"}))?;
            let count = |name: &str| stats.get(name).and_then(Value::as_u64).unwrap_or(0);
            let (accepted, refused) = (count("events_accepted"), count("events_refused"));
            bar.set_position(accepted);
            if !warm && accepted >= warm_up {
                (start, since, warm) = ((accepted, server.usage()?), Stopwatch::start(), true);
            }
            if accepted + refused >= all {
                break (refused, count("batches"));
            }
            if quiet.1 != accepted + refused {
                quiet = (Stopwatch::start(), accepted + refused);
            }
            let failed = feed.0.try_wait()?.is_some_and(|status| !status.success());
            if failed || quiet.0.elapsed() > PATIENCE {
                bail!("only {accepted} of {all} events were accepted, {refused} refused");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        // A fresh question travels behind every event: once answered, all are applied.
        let day = date(self.day).to_string();
        server
            .ask(&json!({"summary": "browser", "from": &day, "to": &day, "select": ["events"]}))?;
        let (wall, end) = (since.elapsed(), server.usage()?);
        bar.finish_and_clear();
        let status = feed.0.wait()?;
        if !status.success() {
            bail!("the sender ended with {status}");
        }
        let cpu = end.cpu.saturating_sub(start.1.cpu);
        Ok(Ingest { events: (all - start.0).max(1), wall, cpu, end, refused, batches })
    }

    fn feed(&self, events: u64) -> anyhow::Result<Child> {
        let format = format!("{:?}", self.args.format).to_lowercase();
        let arguments = [
            ("--to", self.events_at.clone()),
            ("--events", events.to_string()),
            ("--seed", self.args.seed.to_string()),
            ("--day", date(self.day).to_string()),
            ("--batch", self.args.batch.to_string()),
            ("--format", format),
        ];
        Command::new(std::env::current_exe()?)
            .args(["bench", "feed"])
            .args(arguments.iter().flat_map(|(name, value)| [*name, value.as_str()]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the sender")
    }

    fn compare(&self) -> anyhow::Result<Comparison> {
        let all = self.args.warm_up + self.args.events;
        let mut model = Model::new();
        for event in Generator::new(self.args.seed, all, 1, self.day)? {
            model.add(&event);
        }
        model.compare(&self.folder.join("data/snapshots"))
    }
}

/// The sender, which must not outlive the run.
struct Feed(Child);

impl Drop for Feed {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The canonical configuration, with nothing that happens by the clock.
fn configuration(shards: &str, events_at: &str, questions_at: &str) -> anyhow::Result<String> {
    let mut config: toml::Table = include_str!("../../../schemas/adtech.toml").parse()?;
    let shards = shards.parse::<i64>().map_or_else(|_| shards.into(), toml::Value::Integer);
    config.insert("shards".to_owned(), shards);
    let still = format!(
        "[ingest.zmq]\nbind = \"{events_at}\"\n[query.zmq]\nbind = \"{questions_at}\"\n\
         [checkpoint]\ninterval = \"24h\"\n[snapshots]\ngrace = \"3650d\"\nquiet = \"24h\"\n"
    );
    config.extend(still.parse::<toml::Table>()?);
    Ok(toml::to_string(&config)?)
}

fn print_table(report: &Report) -> anyhow::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    let Value::Object(figures) = serde_json::to_value(report)? else { return Ok(()) };
    for (name, value) in &figures {
        match value {
            Value::Object(_) => {}
            Value::Number(number) if number.is_f64() => {
                table.add_row([name.clone(), format!("{:.3}", number.as_f64().unwrap_or(0.0))]);
            }
            other => {
                table.add_row([name.clone(), other.to_string().trim_matches('"').to_owned()]);
            }
        }
    }
    say(table)?;
    for example in &report.comparison.examples {
        say(format!("wrong: {example}"))?;
    }
    Ok(())
}

/// A bar on stderr, where that is a terminal.
fn progress(events: u64) -> ProgressBar {
    let bar = ProgressBar::new(events);
    match ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} events, {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_configuration_is_canonical_and_still() {
        let text = configuration("3", "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002").unwrap();
        let config = Config::parse(&text, Path::new("bench.toml")).unwrap();
        assert_eq!(config.shards, 3);
        assert_eq!(config.schema.summaries.len(), 12);
        assert_eq!(config.ingest.bind, ["tcp://127.0.0.1:7001"]);
        assert_eq!(config.query.bind, ["tcp://127.0.0.1:7002"]);
        assert_eq!(config.checkpoint_interval_us, 86_400_000_000);
        assert!(configuration("auto", "a", "b").is_ok());
        assert!(shards("0").is_err() && shards("many").is_err() && shards("16").is_ok());
    }
}
