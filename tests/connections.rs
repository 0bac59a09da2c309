//! More connections than there are descriptors for: the store keeps its share, those who were
//! there are served, and new ones are once the others go.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use support::process::{PROGRAM, Process, config};
use support::{PATIENCE, ask, wait_until};

/// A process that may open so many files lets in so many connections of each kind.
const FILES: &str = "2400";
const MOST: usize = 62;

/// Idle connections to each socket: both together are more than there are descriptors for.
const IDLE: usize = 1300;

/// Lets this process open as many connections.
fn raise_own_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = 4 * IDLE as u64;
    if current.is_some_and(|current| current < needed) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum });
        raised.expect("this test needs more open files than ulimit -Hn allows");
    }
}

/// The command that serves `folder/s.toml` with a limit of open files.
fn limited(folder: &Path, files: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={files}:{files}")).args([PROGRAM, "serve", "-c"]);
    command.arg(folder.join("s.toml")).env_remove("RUST_LOG");
    command
}

/// Sends events over a connection that stays.
fn push(socket: &zmq::Socket, from: i64, to: i64) {
    for i in from..to {
        let event = json!({ "ts": 1_795_000_000 + i, "page": format!("p{}", i % 10), "n": i });
        socket.send(event.to_string().as_str(), 0).unwrap();
    }
}

#[test]
fn idle_connections_take_no_descriptor_from_the_store() {
    raise_own_limit();
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path()) + "[checkpoint]\ninterval = \"100ms\"\n";
    std::fs::write(folder.path().join("s.toml"), &text).unwrap();
    let process = Process::of(&mut limited(folder.path(), FILES), folder.path());
    let context = zmq::Context::new();
    let sender = context.socket(zmq::PUSH).unwrap();
    sender.connect(&process.events).unwrap();
    push(&sender, 0, 1000);
    // Who asks over a connection that was there before is answered all the time.
    let place = folder.path().join("ask");
    let asker = context.socket(zmq::REQ).unwrap();
    asker.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
    asker.connect(&format!("ipc://{}", place.display())).unwrap();
    let stats = |question: &str| -> Value {
        asker.send(question, 0).unwrap();
        serde_json::from_slice(&asker.recv_bytes(0).expect("an answer")).unwrap()
    };
    wait_until(stats, "accepted", |s| s["events_accepted"] == 1000);

    let port = process.events.strip_prefix("tcp://").unwrap();
    let senders: Vec<_> = (0..IDLE).map(|_| TcpStream::connect(port).unwrap()).collect();
    let askers: Vec<_> = (0..IDLE).filter_map(|_| UnixStream::connect(&place).ok()).collect();
    // Some may have made room meanwhile: what says nothing for long is ended.
    let expected = (senders.len() + askers.len() - 8 * MOST) as u64;
    wait_until(stats, "refused", |s| s["connections_refused"].as_u64() >= Some(expected));
    for round in 1..=5 {
        push(&sender, round * 1000, (round + 1) * 1000);
        let stored = (round + 1) * 1000;
        wait_until(stats, "stored", |s| s["stored_sequence"] == stored);
    }
    let now = stats(r#"{"get":"stats"}"#);
    assert_eq!(now["checkpoints_failed"], 0, "{now:#}");
    wait_until(stats, "ended", |s| {
        ["event_connections", "question_connections"]
            .iter()
            .all(|g| s[g].as_u64() <= Some(MOST as u64))
    });
    // While some are left, libzmq does not turn in circles over connections that it cannot take.
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap().count();
    assert!(open < 2400, "{open} of {FILES}");

    drop((senders, askers));
    wait_until(stats, "free", |s| s["event_connections"] == 1 && s["question_connections"] == 1);
    let answer = process.ask(r#"{"summary":"pages"}"#);
    assert_eq!(answer["rows"][0][0], 6000);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
    let process = Process::start(folder.path(), &text);
    let answer = ask(&context, &format!("ipc://{}", place.display()), r#"{"summary":"pages"}"#);
    assert_eq!(answer["rows"], json!([[6000, 5999 * 3000]]));
    drop(process);
}

/// What only connects makes room after a while. Senders beyond the limit take turns; none sends
/// before it is let in.
#[test]
fn senders_beyond_the_limit_lose_nothing() {
    const SENDERS: i64 = 40;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), config(folder.path())).unwrap();
    let process = Process::of(&mut limited(folder.path(), FILES), folder.path());
    let port = process.events.strip_prefix("tcp://").unwrap();
    let idle: Vec<_> = (0..MOST).map(|_| TcpStream::connect(port).unwrap()).collect();
    process.wait_until("connected", |s| s["event_connections"] == MOST);
    let context = zmq::Context::new();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (context, process) = (&context, &process);
            scope.spawn(move || {
                let socket = context.socket(zmq::PUSH).unwrap();
                socket.connect(&process.events).unwrap();
                push(&socket, 100 * sender, 100 * (sender + 1));
            });
        }
    });
    process.wait_until("accepted", |s| s["events_accepted"] == 100 * SENDERS);
    let stats = process.ask(r#"{"get":"stats"}"#);
    assert!(stats["connections_refused"].as_u64() > Some(0), "{stats:#}");
    drop(idle);
    let answer = process.ask(r#"{"summary":"pages"}"#);
    let sum: i64 = (0..100 * SENDERS).sum();
    assert_eq!(answer["rows"], json!([[100 * SENDERS, sum]]));
}

#[test]
fn too_few_addresses_are_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), config(folder.path())).unwrap();
    for bytes in ["300000000", "500000000", "800000000"] {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={bytes}")).args([PROGRAM, "serve", "-c"]);
        let output = command.arg(folder.path().join("s.toml")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{bytes}: {said}");
        assert!(said.contains("ulimit -v"), "{said}");
    }
}

#[test]
fn too_few_descriptors_are_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), config(folder.path())).unwrap();
    for files in ["16", "24", "64", "1024", "2321"] {
        let mut command = limited(folder.path(), files);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let begun = std::time::Instant::now();
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if begun.elapsed() > PATIENCE / 4 {
                child.kill().unwrap();
                panic!("it runs with {files} descriptors");
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        assert_eq!((code, said.lines().count()), (Some(1), 1), "{files}: {said}");
        assert!(said.contains(&format!("may open {files} files")), "{said}");
    }
}
