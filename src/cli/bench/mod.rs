//! `summarizer bench`: the measured figures of this machine.
//!
//! Taking in is seen from outside: the server is a process of its own (`server`), so is
//! the sender (`feed`), and `ingest` asks, waits, reads /proc and judges what was left.
//! `sketches` compares the sketches with libraries.

mod feed;
mod ingest;
mod server;
mod sketches;

/// Measure this machine
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  summarizer bench ingest --events 2000000 --json\n  summarizer bench sketches"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Ingest(ingest::Args),
    Sketches(sketches::Args),
    #[command(hide = true)]
    Feed(feed::Args),
}

/// Runs the command.
///
/// # Errors
/// Where something cannot be measured, or what was measured is wrong.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Ingest(args) => ingest::run(args),
        Command::Sketches(args) => sketches::run(args),
        Command::Feed(args) => feed::run(args),
    }
}
