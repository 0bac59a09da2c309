//! `summarizer export`: publishes a day now.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Configured;
use super::query::ask;
use crate::clock::Clock;
use crate::server::{Server, lock_data_dir};

/// Publish a day as files now
///
/// Asks the server that is running on this data folder, or does it by itself where none is.
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
    let mut config = args.configured.load()?;
    let question = json!({
        "export": args.summary.as_deref().unwrap_or("*"),
        "day": args.day,
        "excel": args.dialect == "excel",
    })
    .to_string();
    let free = lock_data_dir(&config.data_dir).map(drop).is_ok();
    let answer = if free {
        // Nobody else will see this server: its sockets are its own.
        config.ingest.bind = vec!["tcp://127.0.0.1:*".to_owned()];
        config.query.bind = vec!["tcp://127.0.0.1:*".to_owned()];
        let server = Server::start(config, Clock::system())?;
        let answer = server.responder().respond(question.as_bytes());
        server.stop()?;
        String::from_utf8(answer).context("the answer is not text")?
    } else {
        ask(&config.query.bind[0], &question, Duration::from_secs(3600))?
    };
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    if let Some(error) = answer.get("error") {
        bail!(
            "{}; {}",
            error["message"].as_str().unwrap_or(""),
            error["hint"].as_str().unwrap_or("")
        );
    }
    for published in answer["export"].as_array().into_iter().flatten() {
        println!("{published}");
    }
    Ok(())
}
