//! Through the real rsyslog: imfile → omczmq PUSH → our PULL, real Wikipedia edits, the
//! published numbers; then our downtime, with rsyslog queueing for us.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::json;
use summarizer::clock::Clock;
use support::{PATIENCE, TestServer, example, free_port, real_data};

/// A running rsyslogd with the project's own sender configuration.
struct Rsyslog(Child);

impl Rsyslog {
    fn start(folder: &Path, port: u16) -> Self {
        let read = |name: &str| {
            let ops = Path::new("ops/rsyslog");
            std::fs::read_to_string(ops.join(name)).unwrap()
        };
        for name in ["in", "spool"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        // The configuration as it is shipped; only its folders and its port are ours.
        let shown = folder.display().to_string();
        let conf = read("summarizer.conf")
            .replace("/var/spool/rsyslog/summarizer", &format!("{shown}/spool"))
            .replace("/var/log/events/*.json", &format!("{shown}/in/*.json"))
            .replace("/run/summarizer/receiver.state", &format!("{shown}/receiver.state"))
            .replace("/var/log/rsyslog-summarizer.log", &format!("{shown}/rsyslogd.log"))
            .replace("tcp://127.0.0.1:5555", &format!("tcp://127.0.0.1:{port}"));
        let path = folder.join("rsyslog.conf");
        std::fs::write(&path, conf).unwrap();
        let child = Command::new("rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(&path)
            .arg("-i")
            .arg(folder.join("rsyslogd.pid"))
            .envs([("ZSYS_SNDHWM", "1"), ("ZSYS_LINGER", "30000")])
            .spawn()
            .expect("rsyslogd: apt-get install rsyslog rsyslog-czmq");
        Self(child)
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn edits(folder: &Path) -> String {
    let file = std::fs::File::open(folder.join("wikiticker-2015-09-12-sampled.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn append(folder: &Path, text: &str) {
    use std::io::Write;
    let path: PathBuf = folder.join("in/edits.json");
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Waits until the server has counted so many edits, in this run.
fn wait_for(server: &TestServer, events: u64) {
    let begun = Instant::now();
    while server.counter("events_accepted") < events {
        assert!(begun.elapsed() < PATIENCE, "{} of {events}", server.counter("events_accepted"));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Not one more than that.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.counter("events_accepted"), events);
    assert_eq!(server.counter("events_refused"), 0);
}

/// The numbers that Druid's tutorial publishes for this file.
fn check_published_numbers(server: &TestServer) {
    let answer = server.ask(r#"{"summary":"edits","select":["count","added","deleted","delta"]}"#);
    assert_eq!(answer["rows"], json!([[39_244, 9_385_573, 394_298, 8_991_275]]));
    let answer = server.ask(r##"{"get":"channels","day":"2015-09-12","key":{"channel":"#zh.wikipedia"},"select":["added"]}"##);
    assert_eq!(answer["rows"], json!([[191_033]]));
    let answer = server.ask(r#"{"summary":"channels","by":["channel"],"select":["count"]}"#);
    assert_eq!(answer["rows"].as_array().unwrap().len(), 51);
    let answer = server
        .ask(r#"{"summary":"pages","by":["page"],"select":["count"],"order":"-count","limit":10}"#);
    let counts: Vec<u64> =
        answer["rows"].as_array().unwrap().iter().map(|r| r[1].as_u64().unwrap()).collect();
    assert_eq!(counts, [33, 28, 27, 21, 20, 18, 18, 18, 17, 17]);
    for (country, edits, average) in
        [("Austria", 12, 1_017.416_666_666_666_6), ("Guatemala", 3, 58.0)]
    {
        let question = json!({ "get": "countries", "day": "2015-09-12", "key": { "country": country }, "select": ["count", "avg_added"] });
        let answer = server.ask(&question.to_string());
        assert_eq!(answer["rows"][0][0], edits);
        assert_eq!(answer["rows"][0][1].as_f64(), Some(average));
    }
    let answer = server.ask(r#"{"summary":"edits","select":["users"]}"#);
    let users = answer["rows"][0][0].as_f64().unwrap();
    assert!((users - 10_531.0).abs() < 3.0 * 0.0081 * 10_531.0, "{users}");
    let bounds = &answer["bounds"]["users"][0];
    assert!(bounds[0].as_u64() < Some(10_531) && bounds[1].as_u64() > Some(10_531), "{bounds}");
}

#[test]
fn real_edits_through_the_real_rsyslog_and_through_our_downtime() {
    let Some(data) = real_data("wikiticker") else { return };
    let text = edits(&data);
    let half = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let first = text[..half].lines().count() as u64;

    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = example("wikipedia.toml");
    let mut server = TestServer::start_at(folder.path(), &config, Clock::system(), Some(port));
    let _rsyslog = Rsyslog::start(folder.path(), port);
    append(folder.path(), &text[..half]);
    wait_for(&server, first);
    server.stop();
    append(folder.path(), &text[half..]);
    // Long enough for rsyslog to read it, to try, and to queue it.
    std::thread::sleep(Duration::from_secs(4));
    server.restart_with(&config).unwrap();
    wait_for(&server, 39_244 - first);
    check_published_numbers(&server);
    server.restart_with(&config).unwrap();
    check_published_numbers(&server);
    check_published_files(&server);
}

/// The same numbers in the files, read by another library than the one that wrote them.
fn check_published_files(server: &TestServer) {
    let published = server.ask(r#"{"export":"*","day":"2015-09-12"}"#);
    assert_eq!(published["export"].as_array().map(Vec::len), Some(8), "{published}");
    let read = |summary: &str| -> Vec<std::collections::HashMap<String, String>> {
        let path = server.folder.join(format!("data/snapshots/{summary}/2015-09-12.csv"));
        csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
    };
    let edits = &read("edits")[0];
    assert_eq!(
        (&*edits["day"], &*edits["count"], &*edits["added"]),
        ("2015-09-12", "39244", "9385573")
    );
    assert_eq!((&*edits["deleted"], &*edits["delta"]), ("394298", "8991275"));
    let users: f64 = edits["users"].parse().unwrap();
    let error: f64 = edits["users_error"].parse().unwrap();
    assert!((users - 10_531.0).abs() < 3.0 * error && error < 100.0, "{users} ± {error}");
    assert!(edits["users_hll"].starts_with("\\x148e7f"), "{}", &edits["users_hll"][..20]);
    let pages = read("pages");
    assert_eq!(pages.len(), 35_143);
    let mut counts: Vec<u64> = pages.iter().map(|p| p["count"].parse().unwrap()).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(counts[..10], [33, 28, 27, 21, 20, 18, 18, 18, 17, 17]);
    assert_eq!(counts.iter().sum::<u64>(), 39_244);
    let channels = read("channels");
    assert_eq!(channels.len(), 51);
    let chinese = channels.iter().find(|c| c["channel"] == "#zh.wikipedia").unwrap();
    assert_eq!(chinese["added"], "191033");
    let countries = read("countries");
    let average =
        |name: &str| countries.iter().find(|c| c["country"] == name).unwrap()["avg_added"].clone();
    assert_eq!(
        (average("Austria").as_str(), average("Guatemala").as_str()),
        ("1017.4166666666666", "58")
    );
    assert_eq!(read("users").len(), 10_531);
}

#[test]
fn a_stop_in_mid_stream_loses_nothing_where_rsyslog_is_asked_to_hold_back() {
    let Some(data) = real_data("wikiticker") else { return };
    let text = edits(&data);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port() + 1;
    let state = folder.path().join("receiver.state");
    let config = format!(
        "{}\n[ingest.zmq]\nstate_file = \"{}\"\n",
        example("wikipedia.toml"),
        state.display()
    );
    let mut server = TestServer::start_at(folder.path(), &config, Clock::system(), Some(port));
    let _rsyslog = Rsyslog::start(folder.path(), port);
    let mut counted = 0;
    for part in 0..4 {
        append(folder.path(), &text);
        let begun = Instant::now();
        while server.counter("events_accepted") < 5_000 {
            assert!(begun.elapsed() < PATIENCE, "part {part}: nothing comes");
            std::thread::sleep(Duration::from_millis(2));
        }
        // In the middle of what rsyslog is sending.
        let engine = server.server().responder().engine.clone();
        server.stop();
        assert_eq!(std::fs::read_to_string(&state).unwrap(), "SUSPENDED");
        counted += engine.metrics.events_accepted.get();
        drop(engine);
        server.restart_with(&config).unwrap();
        assert!(!state.exists());
    }
    wait_for(&server, 4 * 39_244 - counted);
    let answer = server.ask(r#"{"summary":"edits","select":["count","added"]}"#);
    assert_eq!(answer["rows"], json!([[4 * 39_244, 4 * 9_385_573]]));
}
