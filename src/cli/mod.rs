//! The command line: one file per command.

pub mod bench;
pub mod check;
pub mod demo;
pub mod export;
pub mod generate;
pub mod model;
pub mod query;
pub mod send;
pub mod serve;
pub mod table;
pub mod workload;

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use crate::config::{Config, Purpose, check_folder};

/// Which configuration, of the commands that need one.
#[derive(clap::Args)]
pub struct Configured {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Where data lives, instead of `data_dir` of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Configured {
    /// Loads it, for a purpose.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(&self, purpose: Purpose) -> anyhow::Result<Config> {
        if let Some(folder) = &self.data_dir {
            check_folder(folder).map_err(|message| anyhow!("--data-dir: {message}"))?;
        }
        Ok(Config::load_for(purpose, &self.config, self.data_dir.as_deref())?)
    }
}

/// Says a line on the standard output.
///
/// # Errors
/// Where it cannot be written. A reader that has seen enough (`| head`) is no error: what the
/// command does besides is done all the same.
pub fn say(line: impl Display) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to the standard output"),
    }
}

/// Notes a line on stderr. Where that cannot be written, nobody is there to be told.
pub fn mention(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Shown at the end of `summarizer --help`.
pub const EXAMPLES: &str = "Examples:
  summarizer demo
  summarizer check -c schemas/adtech.toml
  summarizer serve -c schemas/adtech.toml --data-dir data
  summarizer generate --events 1000000 | summarizer send --to tcp://127.0.0.1:5555
  summarizer query '{\"summary\":\"campaign\",\"by\":[\"campaign\"],\"order\":\"-users\",\"limit\":10}'";

/// Refuses a processor that lacks what the program was compiled for, in a sentence.
///
/// # Errors
/// Where the processor is too old.
pub fn check_processor() -> anyhow::Result<()> {
    // Linux says what the processor has; elsewhere the build is for any processor.
    if !cfg!(all(target_arch = "x86_64", target_feature = "avx2")) {
        return Ok(());
    }
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return Ok(()) };
    let Some(flags) = text.lines().find(|l| l.starts_with("flags")) else { return Ok(()) };
    let lacks = ["avx2", "bmi2", "fma", "movbe", "pclmulqdq"]
        .into_iter()
        .find(|flag| !flags.split_whitespace().any(|f| f == *flag));
    if let Some(flag) = lacks {
        anyhow::bail!(
            "this processor has no {flag}: build with RUSTFLAGS=\"-C target-cpu=native\" on it"
        );
    }
    Ok(())
}
