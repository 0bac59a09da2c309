//! Faults of the disk that pass: whatever step of a checkpoint fails, with whatever error, the
//! next checkpoints succeed by themselves, a stop loses nothing, and no event counts twice.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::faults::{EDQUOT, EIO, EMFILE, ENFILE, ENOSPC, EROFS, Faults};
use support::process::{Process, config, serve};

/// Events between two faults.
const STEP: i64 = 20;

const TOTAL: &str = r#"{"summary":"pages"}"#;

/// How many events there are of each page, which lie on many days that the store unites from
/// parts, and the sum of their numbers.
fn text(folder: &Path) -> String {
    config(folder) + "[checkpoint]\ninterval = \"20ms\"\n"
}

fn total(events: i64) -> Value {
    json!([[events, events * (events - 1) / 2]])
}

/// Sends further events and waits until the store holds them.
fn send_and_store(process: &Process, from: i64, what: &str) {
    process.send(from, from + STEP);
    process.wait_until(what, |s| s["stored_sequence"] == from + STEP);
}

/// After kill -9, only what the store holds comes back.
fn restart_after_kill(process: Process, folder: &Path) -> Process {
    process.signal("-KILL");
    process.wait();
    Process::of(&mut serve(folder), folder)
}

/// One call after the other fails, once each, until a checkpoint makes no more calls.
fn every_step_fails_once(error: i32) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), text(folder.path())).unwrap();
    let faults = Faults::new(folder.path());
    let process = faults.serve(folder.path());
    send_and_store(&process, 0, "stored");
    let (mut sent, mut operations) = (STEP, Vec::new());
    for skip in 0.. {
        faults.arm("/store", error, skip, 1);
        let what = format!("stored although call {skip} fails with error {error}");
        send_and_store(&process, sent, &what);
        sent += STEP;
        faults.disarm();
        if faults.failed() == 0 {
            break;
        }
        operations.push(faults.operation());
        assert_eq!(process.ask(TOTAL)["rows"], total(sent), "{operations:?}");
    }
    // Files are made, written, synced and taken over, and the manifest is written.
    for needed in ["open", "write", "sync", "link"] {
        assert!(operations.iter().any(|o| o.contains(needed)), "{needed}: {operations:?}");
    }
    let process = restart_after_kill(process, folder.path());
    assert_eq!(process.ask(TOTAL)["rows"], total(sent), "{operations:?}");
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_checkpoint_whose_step_fails_with_an_error_of_the_disk_succeeds_later() {
    every_step_fails_once(EIO);
}

#[test]
fn a_checkpoint_whose_step_fails_for_want_of_space_succeeds_later() {
    every_step_fails_once(ENOSPC);
}

#[test]
fn a_checkpoint_whose_step_fails_for_want_of_quota_succeeds_later() {
    every_step_fails_once(EDQUOT);
}

#[test]
fn a_checkpoint_whose_step_fails_for_want_of_descriptors_succeeds_later() {
    every_step_fails_once(EMFILE);
}

/// While the manifest cannot be written nobody knows whether it names a checkpoint; whoever is
/// killed then, or stops, finds the one before or this one, whole.
#[test]
fn an_end_while_the_manifest_is_out_of_order_leaves_a_whole_checkpoint() {
    for (skip, signal) in [(0, "-KILL"), (1, "-KILL"), (0, "-TERM"), (1, "-TERM"), (2, "-KILL")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.toml"), text(folder.path())).unwrap();
        let faults = Faults::new(folder.path());
        let process = faults.serve(folder.path());
        send_and_store(&process, 0, "stored");
        faults.arm("/store/MANIFEST", EIO, skip, i32::MAX);
        process.send(STEP, 2 * STEP);
        process.wait_until("accepted", |s| s["sequence"] == 2 * STEP);
        // The second one is the attempt to open the store anew.
        while faults.failed() < 2 {
            std::thread::yield_now();
        }
        process.signal(signal);
        assert_eq!(process.wait().code(), (signal == "-TERM").then_some(1));
        faults.disarm();
        let process = Process::of(&mut serve(folder.path()), folder.path());
        let events = process.ask(TOTAL)["rows"][0][0].as_i64().unwrap();
        assert!(events == STEP || events == 2 * STEP, "{events}: neither former nor last");
        assert_eq!(process.ask(TOTAL)["rows"], total(events), "{skip} {signal}");
        send_and_store(&process, events, "stored behind it");
        assert_eq!(process.ask(TOTAL)["rows"], total(events + STEP), "{skip} {signal}");
    }
}

/// A fault that lasts: events are taken in and questions answered, and afterwards everything is
/// stored; a stop during it says that it lost something.
#[test]
fn what_a_lasting_fault_holds_up_is_stored_after_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), text(folder.path())).unwrap();
    let faults = Faults::new(folder.path());
    let process = faults.serve(folder.path());
    send_and_store(&process, 0, "stored");
    let mut sent = STEP;
    let failed = |process: &Process| {
        process.ask(r#"{"get":"stats"}"#)["checkpoints_failed"].as_i64().unwrap()
    };
    for error in [EIO, EMFILE, ENFILE, EROFS, EDQUOT] {
        // From the first step on, and from the middle of the taking over on.
        for text in ["/store", "/store/"] {
            let before = failed(&process);
            faults.arm(text, error, 0, i32::MAX);
            process.send(sent, sent + STEP);
            sent += STEP;
            process.wait_until("accepted", |s| s["sequence"] == sent);
            while failed(&process) == before && faults.failed() < 20 {
                std::thread::yield_now();
            }
            // Right, or an error where the store cannot be read.
            let answer = process.ask(TOTAL);
            let is_right = answer["rows"] == total(sent) || answer["error"]["code"] == "store";
            assert!(is_right, "{text} {error}: {answer}");
            faults.disarm();
            let what = format!("stored after error {error} at {text}");
            process.wait_until(&what, |s| s["stored_sequence"] == sent);
        }
    }
    let process = restart_after_kill(process, folder.path());
    assert_eq!(process.ask(TOTAL)["rows"], total(sent));
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));

    let process = faults.serve(folder.path());
    faults.arm("/store", EIO, 0, i32::MAX);
    process.send(sent, sent + STEP);
    process.wait_until("accepted", |s| s["sequence"] == sent + STEP);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(1));
    faults.disarm();
    let process = Process::of(&mut serve(folder.path()), folder.path());
    let events = process.ask(TOTAL)["rows"][0][0].as_i64().unwrap();
    assert!(events == sent || events == sent + STEP, "{events}: neither former nor last");
    assert_eq!(process.ask(TOTAL)["rows"], total(events));
}

/// While a stop still tries to write its last checkpoint, nothing is taken from senders any more.
#[test]
fn what_is_sent_during_the_last_checkpoint_stays_with_its_sender() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.toml"), text(folder.path())).unwrap();
    let faults = Faults::new(folder.path());
    let mut process = faults.serve(folder.path());
    let (context, port) = (zmq::Context::new(), process.events.clone());
    let sender = context.socket(zmq::PUSH).unwrap();
    sender.monitor("inproc://ends", i32::from(zmq::SocketEvent::DISCONNECTED.to_raw())).unwrap();
    let ends = context.socket(zmq::PAIR).unwrap();
    ends.connect("inproc://ends").unwrap();
    sender.connect(&port).unwrap();
    let send = |i: i64| {
        let event = serde_json::json!({ "ts": 1_795_000_000i64, "page": "p", "n": i });
        sender.send(event.to_string().as_str(), 0).unwrap();
    };
    send(0);
    process.wait_until("stored", |s| s["stored_sequence"] == 1);
    faults.arm("/store", EIO, 0, i32::MAX);
    send(1);
    process.wait_until("accepted", |s| s["sequence"] == 2);
    process.signal("-TERM");
    // What is sent before the sender knows that its connection has ended is on its way.
    ends.set_rcvtimeo(60_000).unwrap();
    ends.recv_multipart(0).unwrap();
    assert_eq!(process.child.try_wait().unwrap(), None, "it is still writing");
    (2..=11).for_each(send);
    faults.disarm();
    process.wait();
    let text = text(folder.path()).replace("tcp://127.0.0.1:*", &port);
    let process = Process::start(folder.path(), &text);
    // The second one is lost where no try of the last checkpoint came after the fault.
    process.wait_until("the rest", |s| s["sequence"].as_i64() >= Some(11));
}
