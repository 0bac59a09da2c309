//! `summarizer export`: publishes a day now.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::query::ask;
use super::{Configured, say};
use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, Purpose};
use crate::event::parse_date;
use crate::server::{Server, question_address};
use crate::snapshot::Origin;
use crate::store::Store;

/// Longest wait for a server that is publishing.
const LONGEST: Duration = Duration::from_secs(3600);

/// Publish a day as files now
///
/// Asks the server that has this data folder, wherever it listens, or does it by itself where
/// none has it.
/// A day that is not over is published as incomplete.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  summarizer export -c schemas/adtech.toml --day 2026-11-20 --dialect excel"
)]
pub struct Args {
    #[command(flatten)]
    configured: Configured,
    /// The day, as YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    day: String,
    /// One summary instead of all
    #[arg(long, value_name = "NAME")]
    summary: Option<String>,
    /// Format of the files (parquet is not built yet)
    #[arg(long, default_value = "csv", value_parser = ["csv"])]
    format: String,
    /// `exact` for programs, `excel` for a spreadsheet as well
    #[arg(long, default_value = "exact", value_parser = ["exact", "excel"])]
    dialect: String,
}

/// Runs the command.
///
/// # Errors
/// Where nothing could be published.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if parse_date(&args.day).is_none() {
        bail!("--day {} is not a day; expected one such as 2026-11-20", args.day);
    }
    let config = args.configured.load(Purpose::Publish)?;
    let folder = &config.data_dir;
    if !folder.is_dir() {
        bail!("{} is not a folder; name that of the server with --data-dir", folder.display());
    }
    let question = json!({
        "export": args.summary.as_deref().unwrap_or("*"),
        "day": args.day,
        "excel": args.dialect == "excel",
    })
    .to_string();
    // Not the address of the configuration: there, a server with another folder may listen.
    let running = question_address(folder)?;
    let store = folder.join("store");
    let answer = match &running {
        Some(address) => {
            let asked = ask(address, &question, LONGEST);
            asked.with_context(|| format!("asking the server that has {}", folder.display()))?
        }
        // To publish nothing must not make anything.
        None if !Store::is_in(&store) => {
            Origin::expect_store(folder, &store).map_err(anyhow::Error::msg)?;
            bail!(
                "there is no store in {}; name the folder of the server with --data-dir",
                folder.display()
            )
        }
        None => publish_here(config, &question)?,
    };
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    if let Some(error) = answer.get("error") {
        let text = |key: &str| error[key].as_str().unwrap_or("");
        // A server of our own has no log: its sentence is all there is.
        match text("hint") {
            hint if !hint.is_empty() && (running.is_some() || text("code") != "export") => {
                bail!("{}; {hint}", text("message"))
            }
            _ => bail!("{}", text("message").to_owned()),
        }
    }
    for published in answer["export"].as_array().into_iter().flatten() {
        say(published)?;
    }
    Ok(())
}

/// Answers with a server that nobody else will see: its sockets are its own.
fn publish_here(mut config: Config, question: &str) -> anyhow::Result<String> {
    config.ingest.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    config.query.bind = vec!["tcp://127.0.0.1:*".to_owned()];
    // Senders that hold back must not go on: nobody is there to receive.
    config.ingest.state_file = None;
    let server = Server::start(config, Clock::system())?;
    let answer = server.responder().respond(question.as_bytes(), Stopwatch::start());
    server.stop()?;
    String::from_utf8(answer).context("the answer is not text")
}
