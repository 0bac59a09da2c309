//! A disk that is full while the server runs: checkpoints fail and say so, events are taken
//! in and questions answered on, and once there is room again everything is stored.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::memory_bytes;
use support::process::{PROGRAM, Process, config};

/// A small disk of its own, in a mount namespace that lives as long as this.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
    as_root: bool,
}

impl SmallDisk {
    /// Mounts it on `folder/disk`, where the data of a server with this configuration will be;
    /// none, loudly, where the machine lets nobody mount.
    fn new(folder: &Path, size: &str, config: &str) -> Option<Self> {
        let text = config.replace("/data\"", "/disk/data\"");
        std::fs::write(folder.join("s.toml"), text).unwrap();
        let folder = folder.join("disk");
        std::fs::create_dir(&folder).unwrap();
        let as_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let script = format!(
            "mount -t tmpfs -o size={size} none '{}' && echo mounted && exec sleep 600",
            folder.display()
        );
        let mut holder = Command::new("unshare")
            .args(if as_root {
                &["--mount"][..]
            } else {
                &["--user", "--map-root-user", "--mount"]
            })
            .args(["sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let disk = Self { holder, folder, as_root };
        if said != "mounted\n" {
            eprintln!("SKIPPED: this machine lets nobody mount a small disk: nothing was tested");
            return None;
        }
        Some(disk)
    }

    /// Serves `folder/s.toml`.
    fn serve(&self, folder: &Path) -> Process {
        let mut command = self.command(PROGRAM);
        command.arg("serve").arg("-c").arg(folder.join("s.toml"));
        Process::of(&mut command, folder)
    }

    /// A command that sees the disk where others see an empty folder.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount"]);
        if !self.as_root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(program);
        command
    }

    /// The disk as seen from outside.
    fn path(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }

    /// Writes until nothing more fits, also where that was done before.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        let zeros = [0u8; 4096];
        let error = loop {
            if let Err(error) = file.write_all(&zeros) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A stop waits for a silence of the senders, and one who may not receive for want of memory
/// does not hear whether they are silent.
#[test]
fn a_stop_without_memory_receives_what_is_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path())
        .replace("dimensions = [\"page\"]", "dimensions = [\"n\"]")
        .replace("name = \"n\", sum", "name = \"total\", sum");
    let text = format!("memory_limit = \"8MB\"\ncheckpoint.interval = \"100ms\"\n{text}");
    let Some(disk) = SmallDisk::new(folder.path(), "48m", &text) else { return };
    let start = || disk.serve(folder.path());
    const EVENTS: i64 = 200_000;
    let process = start();
    let filler = disk.fill();
    std::thread::scope(|scope| {
        scope.spawn(|| process.send(0, EVENTS));
        process.wait_until("out of memory", |s| {
            memory_bytes(s) > 8_000_000 && s["checkpoints_failed"].as_u64() > Some(1)
        });
        assert!(process.ask(r#"{"get":"stats"}"#)["events_accepted"].as_i64() < Some(EVENTS));
        std::fs::remove_file(filler).unwrap();
        process.signal("-TERM");
    });
    assert_eq!(process.wait().code(), Some(0));
    let events = start().ask(r#"{"summary":"pages","select":["events"]}"#);
    assert_eq!(events["rows"], json!([[EVENTS]]));
}

#[test]
fn a_full_disk_delays_checkpoints_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path())
        + r#"
[[summary]]
name = "numbers"
dimensions = ["n"]
aggregates = [{ name = "events", count = true }, { name = "users", unique = "user" }]
[checkpoint]
interval = "100ms"
"#;
    let Some(disk) = SmallDisk::new(folder.path(), "24m", &text) else { return };
    let start = || disk.serve(folder.path());
    let process = start();
    process.send(0, 5000);
    process.wait_until("stored", |s| s["stored_sequence"] == 5000);

    let filler = disk.fill();
    process.send(5000, 15_000);
    process.wait_until("accepted", |s| s["events_accepted"] == 15_000);
    process.wait_until("failed twice", |s| s["checkpoints_failed"].as_u64() > Some(1));
    // Old rows change while their last change waits for the disk.
    process.send(0, 5000);
    let sum = |to: i64| to * (to - 1) / 2;
    let all = sum(15_000) + sum(5000);
    process.wait_until("accepted", |s| s["events_accepted"] == 20_000);
    let pages = r#"{"summary":"pages"}"#;
    assert_eq!(process.ask(pages)["rows"], json!([[20_000, all]]));
    let numbers = r#"{"summary":"numbers","by":["n"],"select":["events"],"order":"n"}"#;
    let expected: Vec<Value> =
        (0..15_000).map(|n| json!([n, if n < 5000 { 2 } else { 1 }])).collect();
    assert_eq!(process.ask(numbers)["rows"], Value::Array(expected.clone()));

    // Refused events have nowhere to go either: they are counted, as kept or as dropped.
    let refuse = |events: usize| {
        let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
        socket.connect(&process.events).unwrap();
        (0..events).for_each(|_| socket.send("no event", 0).unwrap());
    };
    refuse(1000);
    process.wait_until("refused", |s| s["events_refused"] == 1000);
    let stats = process.ask(r#"{"get":"stats"}"#);
    let kept = stats["dead_letters"].as_u64().unwrap();
    assert!(kept < 1000, "{stats:#}");
    assert_eq!(stats["dead_letters_dropped"].as_u64().unwrap(), 1000 - kept, "{stats:#}");

    std::fs::remove_file(filler).unwrap();
    process.wait_until("stored at last", |s| s["stored_sequence"] == 20_000);
    refuse(10);
    process.wait_until("refused", |s| s["events_refused"] == 1010);
    let letters = std::fs::read_dir(disk.path().join("data/dead-letters")).unwrap();
    let letters = letters.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let lines: Vec<String> =
        letters.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(lines.len() as u64, kept + 10);
    for line in lines {
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["event"], "no event");
    }
    assert_eq!(process.ask(pages)["rows"], json!([[20_000, all]]));
    // Killed, so that only what the store holds comes back.
    process.signal("-KILL");
    process.wait();
    let process = start();
    assert_eq!(process.ask(pages)["rows"], json!([[20_000, all]]));
    assert_eq!(process.ask(numbers)["rows"], Value::Array(expected));
    // A stop that cannot store what it holds does not call itself a success. A store that has just
    // been opened still deletes files that it no longer needs: what they leave is filled as well, until nothing can be stored.
    process.wait_until("failed twice", |s| {
        disk.fill();
        process.send(15_000, 15_010);
        s["checkpoints_failed"].as_u64() > Some(1)
    });
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(1));
}
