//! `export` publishes the data of the folder it is told, and says at once why it cannot.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use support::process::{PROGRAM, Process, config};

/// The day of the events that a [`Process`] sends.
const DAY: &str = "2026-11-18";

/// Runs the command with the configuration of a folder; gives what it says, and whether it
/// succeeded.
fn export(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("export").arg("-c").arg(folder.join("s.toml")).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    (status.success(), text)
}

#[test]
fn the_server_of_the_folder_is_asked_not_that_of_the_configuration() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Process::start(one.path(), &config(one.path()));
    let second = Process::start(other.path(), &config(other.path()));
    for (process, events) in [(&first, 10), (&second, 30)] {
        process.send(0, events);
        let answer = process.ask(&format!(r#"{{"summary":"pages","min_events":{events}}}"#));
        assert_eq!(answer["events"], events);
    }
    // The second one listens where the configuration says; the folder is the first one's.
    let folder = one.path().join("data");
    let data = ["--day", DAY, "--data-dir", folder.to_str().unwrap()];
    let (ended_well, text) = export(other.path(), &data);
    assert!(ended_well && text.contains(folder.to_str().unwrap()), "{text}");
    let manifest = std::fs::read_to_string(folder.join(format!("snapshots/pages/{DAY}.r1.json")));
    let manifest: serde_json::Value = serde_json::from_str(&manifest.unwrap()).unwrap();
    assert_eq!(manifest["events"], 10);
    assert!(!other.path().join("data/snapshots/pages").join(format!("{DAY}.csv")).exists());

    // Without a server, it is published all the same; what its server left is no address.
    first.signal("-KILL");
    first.wait();
    let (ended_well, text) = export(other.path(), &["--day", DAY, "--data-dir", data[3]]);
    assert!(ended_well && text.contains("\"rows\":10"), "{text}");
}

#[test]
fn an_export_without_a_server_lets_senders_hold_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("run/state");
    std::fs::create_dir(folder.path().join("run")).unwrap();
    let key = format!("state_file = \"{}\"\n[query.zmq]", state.display());
    let process =
        Process::start(folder.path(), &config(folder.path()).replace("[query.zmq]", &key));
    process.send(0, 10);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
    let written = || std::fs::metadata(&state).map(|m| (m.ino(), m.mtime_nsec())).ok();
    let left = written();
    assert!(left.is_some(), "the stop left none");
    assert!(export(folder.path(), &["--day", DAY]).0);
    let (_, text) = export(folder.path(), &["--day", "2020-01-01"]);
    assert_eq!(text.trim_end(), "summarizer: there are no rows of 2020-01-01");
    assert_eq!(written(), left, "it is not the one that the server left");
    // Nor does it make one where there is none, or mind that it cannot.
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    assert!(export(folder.path(), &["--day", DAY]).0);
}

#[test]
fn what_cannot_be_published_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("s.toml"), config(path)).unwrap();
    for day in ["2026-13-01", "yesterday", ""] {
        let (_, text) = export(path, &[&format!("--day={day}")]);
        assert!(text.contains(&format!("--day {day} is not a day")), "{text}");
    }
    let data = path.join("data");
    let (_, text) = export(path, &["--day", DAY]);
    assert!(text.contains(&format!("{} is not a folder", data.display())), "{text}");
    assert!(!data.exists(), "it was made");

    std::fs::create_dir(&data).unwrap();
    let (_, text) = export(path, &["--day", DAY]);
    assert!(text.contains(&format!("there is no store in {}", data.display())), "{text}");
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "something was made");

    // A folder that is held by somebody who does not answer.
    let lock = std::fs::File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    let (_, text) = export(path, &["--day", DAY]);
    assert!(text.contains("it is starting or stopping"), "{text}");
    std::fs::write(data.join("lock"), "tcp://127.0.0.1:1\n").unwrap();
    let (_, text) = export(path, &["--day", DAY]);
    assert!(text.contains("nobody takes questions at tcp://127.0.0.1:1"), "{text}");
    drop(lock);

    // A lock that cannot be read is not a server.
    std::fs::remove_file(data.join("lock")).unwrap();
    std::os::unix::fs::symlink("lock", data.join("lock")).unwrap();
    let (_, text) = export(path, &["--day", DAY]);
    assert!(text.contains("cannot tell whether a server"), "{text}");
}

#[test]
fn nobody_there_is_one_sentence() {
    let mut query = Command::new(PROGRAM);
    query.args(["query", "--timeout", "1", "--at", "tcp://127.0.0.1:1", "{}"]);
    let text = String::from_utf8(query.output().unwrap().stderr).unwrap();
    assert!(text.contains("nobody takes questions at tcp://127.0.0.1:1 (waited 1 s)"), "{text}");
    assert!(!text.contains("temporarily"), "{text}");
}
