//! The program: reads the command line and runs one command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use summarizer::cli;

/// Rows are many small blocks of memory that live long: measured against the system's
/// allocator in benches/runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A streaming key-value service of probabilistic summaries.
///
/// Events come in over ZeroMQ (rsyslog, or any PUSH socket); counts, sums, unique counts
/// and quantiles per dimension tuple and day go out over a socket and as daily CSV files.
#[derive(Parser)]
#[command(version, about, long_about, after_help = cli::EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(cli::demo::Args),
    Serve(cli::serve::Args),
    Check(cli::check::Args),
    Generate(cli::generate::Args),
    Send(cli::send::Args),
    Query(cli::query::Args),
    Export(cli::export::Args),
    Bench(cli::bench::Args),
}

fn main() -> ExitCode {
    let outcome = cli::check_processor().and_then(|()| match Arguments::parse().command {
        Command::Demo(args) => cli::demo::run(&args),
        Command::Serve(args) => cli::serve::run(&args),
        Command::Check(args) => cli::check::run(&args),
        Command::Generate(args) => cli::generate::run(&args),
        Command::Send(args) => cli::send::run(&args),
        Command::Query(args) => cli::query::run(&args),
        Command::Export(args) => cli::export::run(&args),
        Command::Bench(args) => cli::bench::run(&args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line that says what, where and what to do.
            cli::mention(format!("summarizer: {}", format!("{error:#}").replace('\n', " ")));
            ExitCode::FAILURE
        }
    }
}
