//! `summarizer serve`: runs until it is told to stop.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};

use super::Configured;
use crate::clock::Clock;
use crate::config::{Log, Purpose};
use crate::server::Server;

/// Take in events and answer questions until SIGTERM or SIGINT
///
/// At the first signal it receives what senders have in flight (until nothing comes for
/// 200 ms, 5 s at most), writes everything to the store and exits with 0. A second signal
/// exits at once.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  summarizer serve -c schemas/adtech.toml --data-dir /var/lib/summarizer"
)]
pub struct Args {
    #[command(flatten)]
    configured: Configured,
}

/// Runs the command.
///
/// # Errors
/// Where the server does not start or does not end well.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.configured.load(Purpose::Serve)?;
    start_log(&config.log)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag down and raises it, the second one
        // finds it up and ends the process there and then.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .context("cannot watch for signals")?;
    }
    // Without a handler, a limit of the size of files would end the process; with one, what is
    // written beyond it fails as on a full disk.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).context("cannot watch for signals")?;
    let data_dir = config.data_dir.clone();
    let server = Server::start(config, Clock::system())?;
    tracing::info!(
        events = ?server.ingest_addresses(),
        questions = ?server.query_addresses(),
        data = %data_dir.display(),
        "listening"
    );
    while !stop.load(Ordering::SeqCst) {
        if server.is_broken() {
            bail!("a thread failed; see the log, and start again");
        }
        if server.is_half_alive() {
            server.stop()?;
            bail!("a thread ended; see the log, and start again");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    tracing::info!("stopping: receiving what is in flight, then writing everything to the store");
    server.stop()?;
    tracing::info!("stopped");
    Ok(())
}

/// Sends log lines to stderr, as the configuration says; `RUST_LOG` overrides the level.
///
/// # Errors
/// Where the level cannot be read.
pub fn start_log(log: &Log) -> anyhow::Result<()> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = tracing_subscriber::EnvFilter::try_new(&level)
        .with_context(|| format!("the log level \"{level}\" cannot be read; try info"))?;
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost: told on stderr in turn, it would be a panic.
        .log_internal_errors(false);
    let started =
        if log.json { lines.json().try_init() } else { lines.with_target(false).try_init() };
    // Already started: by a test, or by the command that runs this one.
    let _ = started;
    Ok(())
}
