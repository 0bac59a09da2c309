//! `summarizer query`: one question over the socket.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

/// Ask a running server one question
///
/// The answer is a table on a terminal and JSON otherwise.
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
    let answer = ask(&args.at, &args.question, timeout)?;
    if args.json || !std::io::stdout().is_terminal() {
        println!("{answer}");
    }
    let value: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    if let Some(error) = value.get("error") {
        let text = |key: &str| error[key].as_str().unwrap_or("").to_owned();
        bail!("{} ({}); {}", text("message"), text("code"), text("hint"));
    }
    if !args.json && std::io::stdout().is_terminal() {
        print!("{}", show(&value));
    }
    Ok(())
}

/// Sends a question to a server and waits for the answer.
///
/// # Errors
/// Where nobody answers in time.
pub fn ask(at: &str, question: &str, timeout: Duration) -> anyhow::Result<String> {
    let socket = zmq::Context::new().socket(zmq::REQ)?;
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    socket.set_rcvtimeo(milliseconds)?;
    socket.set_sndtimeo(milliseconds)?;
    socket.set_linger(0)?;
    socket
        .connect(at)
        .with_context(|| format!("--at {at} is not an address such as tcp://127.0.0.1:5556"))?;
    let no_answer = || {
        format!(
            "nobody answered at {at} within {} s; is summarizer serve running there?",
            timeout.as_secs()
        )
    };
    socket.send(question, 0).with_context(no_answer)?;
    let answer = socket.recv_bytes(0).with_context(no_answer)?;
    String::from_utf8(answer).context("the answer is not text")
}

/// An answer as a table.
pub fn show(answer: &Value) -> String {
    let (Some(columns), Some(rows)) = (answer["columns"].as_array(), answer["rows"].as_array())
    else {
        return format!("{}\n", serde_json::to_string_pretty(answer).unwrap_or_default());
    };
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Three decimals are enough to look at; JSON has them all.
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            let value = number.as_f64().unwrap_or(0.0);
            let rounded = format!("{value:.3}");
            if rounded.len() < text.len() { rounded } else { text }
        }
        Value::Array(items) => {
            let line = |item: &Value| {
                let value = item["value"].as_str().unwrap_or("");
                format!("{value} {}", item["count"])
            };
            items.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    };
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(columns.iter().map(text));
    let cells = |row: &Value| {
        row.as_array().map(|r| r.iter().map(text).collect::<Vec<_>>()).unwrap_or_default()
    };
    rows.iter().for_each(|row| {
        table.add_row(cells(row));
    });
    if rows.len() > 1 {
        let mut totals = cells(&answer["totals"]);
        if let Some(first) = totals.first_mut().filter(|first| first.is_empty()) {
            "total".clone_into(first);
        }
        table.add_row(totals);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let is_number = rows.iter().all(|row| row[at].is_number() || row[at].is_null());
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let as_of = answer["as_of"].as_str().unwrap_or("");
    format!("{table}\n{} rows, as of {as_of}, {} events\n", rows.len(), answer["events"])
}
