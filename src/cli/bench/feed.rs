//! `summarizer bench feed`: generates the canonical workload and sends it, as a process of
//! its own so that its cost is not the server's.

use std::time::Duration;

use crate::cli::send::batch::Form;
use crate::cli::send::push::Pusher;
use crate::cli::send::time;
use crate::cli::workload::{Event, Generator, wire};

/// Generate and send the canonical workload
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  summarizer bench feed --to tcp://127.0.0.1:5555 --events 1000000"
)]
pub struct Args {
    /// The server's address for events
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
    /// How many events
    #[arg(long, value_name = "N")]
    pub events: u64,
    /// Another seed makes other events
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The day of the events
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = crate::cli::generate::day, default_value = "2026-11-20")]
    pub day: i32,
    /// Events in one message
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// What to send the events as
    #[arg(long, value_enum, default_value_t = Form::Json)]
    pub format: Form,
    /// How long to wait for a server that is not there
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,
}

/// Runs the command.
///
/// # Errors
/// Where nobody takes the events.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let generator = Generator::new(args.seed, args.events, 1, args.day)?;
    let pusher = Pusher::connect(&args.to, args.timeout)?;
    let most = args.batch as usize;
    match args.format {
        Form::Json => feed_json(generator, most, &pusher)?,
        Form::Protobuf => feed_protobuf(generator, most, &pusher)?,
    }
    pusher.finish()
}

fn feed_json(events: impl Iterator<Item = Event>, most: usize, to: &Pusher) -> anyhow::Result<()> {
    let (mut text, mut waiting) = (Vec::new(), 0);
    for event in events {
        event.write_json(&mut text);
        waiting += 1;
        if waiting == most {
            // Newlines separate; none is needed at the end.
            to.push(text.trim_ascii_end())?;
            text.clear();
            waiting = 0;
        }
    }
    if waiting > 0 { to.push(text.trim_ascii_end()) } else { Ok(()) }
}

fn feed_protobuf(
    events: impl Iterator<Item = Event>,
    most: usize,
    to: &Pusher,
) -> anyhow::Result<()> {
    let (mut batch, mut message) = (wire::Batch::new(), Vec::new());
    let mut push = |batch: &mut wire::Batch| {
        message.clear();
        batch.finish(&mut message);
        to.push(&message)
    };
    for event in events {
        batch.push(&event);
        if batch.len() == most {
            push(&mut batch)?;
        }
    }
    if batch.is_empty() { Ok(()) } else { push(&mut batch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn every_event_arrives_in_messages_of_the_asked_size() {
        let context = zmq::Context::new();
        let pull = context.socket(zmq::PULL).unwrap();
        pull.bind("tcp://127.0.0.1:*").unwrap();
        pull.set_rcvtimeo(500).unwrap();
        let to = pull.get_last_endpoint().unwrap().unwrap();
        for format in [Form::Json, Form::Protobuf] {
            let timeout = Duration::from_secs(5);
            let args =
                Args { to: to.clone(), events: 250, seed: 1, day: 0, batch: 100, format, timeout };
            run(&args).unwrap();
            let sizes: Vec<usize> = std::iter::from_fn(|| pull.recv_bytes(0).ok())
                .map(|bytes| match format {
                    Form::Json => bytes.split(|b| *b == b'\n').count(),
                    Form::Protobuf => {
                        crate::ingest::wire::EventBatch::decode(&bytes[..]).unwrap().rows.len()
                    }
                })
                .collect();
            assert_eq!(sizes, [100, 100, 50], "{format:?}");
        }
    }
}
