//! The real program: signals, restarts, errors at start-up, and what a changed
//! configuration may and may not be.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::TestServer;
use support::process::{PROGRAM, Process, config, serve};

/// Runs a command that must fail; gives its one line of stderr.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

#[test]
fn a_stop_and_a_start_change_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    let mut sent = 0;
    for (round, signal) in ["-TERM", "-INT", "-TERM"].into_iter().enumerate() {
        let shards = format!("shards = {}\n{text}", round + 1);
        let process = Process::start(folder.path(), &shards);
        assert!(process.events.starts_with("tcp://127.0.0.1:"), "{}", process.events);
        // The stop drains what is in flight: nothing was counted before the signal.
        process.send(sent, sent + 5000);
        sent += 5000;
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0));
    }
    let process = Process::start(folder.path(), &text);
    let answer = process.ask(r#"{"summary":"pages"}"#);
    assert_eq!(answer["rows"], json!([[sent, (0..sent).sum::<i64>()]]));
    assert_eq!(answer["events"], sent);
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &config(folder.path()));
    // A sender that never falls silent keeps the drain busy for its five seconds.
    let address = process.events.clone();
    let sending = std::thread::spawn(move || {
        let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_sndtimeo(500).unwrap();
        socket.connect(&address).unwrap();
        while socket.send("{\"ts\":1}", 0).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(200));
    process.signal("-TERM");
    std::thread::sleep(std::time::Duration::from_millis(500));
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(1));
    sending.join().unwrap();
}

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// What takes no byte, as a file on a full disk.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    for log in [full(), closed_pipe()] {
        let folder = tempfile::tempdir().unwrap();
        let events = format!("ipc://{}/in", folder.path().display());
        let text = config(folder.path()).replace("tcp://127.0.0.1:*", &events);
        std::fs::write(folder.path().join("s.toml"), text).unwrap();
        let process = Process::unheard(folder.path(), events, log);
        assert_eq!(process.ask(r#"{"summary":"pages"}"#)["events"], 0);
        process.send(0, 10);
        let answer = process.ask(r#"{"summary":"pages","min_events":10}"#);
        assert_eq!(answer["rows"], json!([[10, 45]]));
        process.signal("-TERM");
        assert_eq!(process.wait().code(), Some(0));
    }
    let mut nowhere = Command::new(PROGRAM);
    nowhere.args(["serve", "-c", "/nowhere/x.toml"]).stderr(full());
    assert_eq!(nowhere.status().unwrap().code(), Some(1));
}

#[test]
fn what_lies_at_the_path_of_an_address_is_not_taken_from_its_owner() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ask, events) = (one.path().join("ask"), one.path().join("in"));
    let with_paths = |folder| {
        config(folder)
            .replace("tcp://127.0.0.1:*", &format!("ipc://{}", events.display()))
            .replace(&format!("{}/ask", folder.display()), ask.to_str().unwrap())
    };
    for path in [&events, &ask] {
        std::fs::write(one.path().join("s.toml"), with_paths(one.path())).unwrap();
        std::fs::write(path, "mine").unwrap();
        let line = refused(&mut serve(one.path()));
        assert!(line.contains(path.to_str().unwrap()) && line.contains("no socket"), "{line}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
        std::fs::remove_file(path).unwrap();
    }

    // What a killed server left is replaced.
    for path in [&events, &ask] {
        let _ = std::fs::remove_file(path);
        drop(UnixListener::bind(path).unwrap());
        assert!(std::fs::metadata(path).unwrap().file_type().is_socket());
    }
    let process = Process::unheard(one.path(), format!("ipc://{}", events.display()), full());
    process.send(0, 10);
    assert_eq!(process.ask(r#"{"summary":"pages","min_events":10}"#)["events"], 10);

    // What a running one has is not, for either of its sockets.
    let both = with_paths(other.path());
    let questions =
        both.replace(&events.display().to_string(), &format!("{}/in", other.path().display()));
    for (text, path) in [(both, &events), (questions, &ask)] {
        std::fs::write(other.path().join("s.toml"), text).unwrap();
        let line = refused(&mut serve(other.path()));
        assert!(line.contains(path.to_str().unwrap()) && line.contains("it is taken"), "{line}");
    }
    process.send(10, 20);
    assert_eq!(process.ask(r#"{"summary":"pages","min_events":20}"#)["events"], 20);
}

/// `| head`, `> /dev/full`: the first has seen enough, the second has lost something.
#[test]
fn an_output_that_cannot_be_written_is_an_end_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &config(folder.path()));
    process.send(0, 10);
    let question = r#"{"summary":"pages","min_events":10}"#;
    process.ask(question);
    let file = folder.path().join("s.toml");
    let at = format!("ipc://{}/ask", folder.path().display());
    let events = folder.path().join("events.ndjson");
    std::fs::write(&events, "{\"ts\":1795000000}\n").unwrap();
    let (file, events) = (file.to_str().unwrap(), events.to_str().unwrap());
    for arguments in [
        vec!["check", "-c", file],
        vec!["query", "--at", &at, question],
        vec!["export", "-c", file, "--day", "2026-11-18"],
        vec!["send", "--to", &process.events, events],
        vec!["demo", "--events", "1000", "--seconds", "0"],
    ] {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder.path()).args(&arguments);
        let Output { status, stderr, .. } = command.stdout(closed_pipe()).output().unwrap();
        assert_eq!((status.code(), stderr.len()), (Some(0), 0), "{arguments:?}");
        let line = refused(command.stdout(full()));
        assert!(line.contains("cannot write to the standard output"), "{line}");
    }
}

/// Whoever sends belongs to another user, and the unit has a strict mask.
#[test]
fn others_can_read_that_they_are_to_hold_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let key = format!("state_file = \"{}\"\n[query.zmq]", state.display());
    let text = config(folder.path()).replace("[query.zmq]", &key);
    std::fs::write(folder.path().join("s.toml"), text).unwrap();
    let mut masked = Command::new("sh");
    masked.args(["-c", "umask 0077; exec \"$0\" serve -c \"$1\"", PROGRAM]);
    let process = Process::of(masked.arg(folder.path().join("s.toml")), folder.path());
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "SUSPENDED");
}

#[test]
fn what_stands_in_the_way_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = config(path);
    let line = refused(Command::new(PROGRAM).args(["serve", "-c", "/nowhere/x.toml"]));
    assert!(line.contains("/nowhere/x.toml") && line.contains("cannot be read"), "{line}");

    std::fs::write(path.join("s.toml"), text.replace("sum = \"n\"", "sum = \"m\"")).unwrap();
    let line = refused(&mut serve(path));
    assert!(
        line.contains("s.toml:13: summary.pages.aggregates.n")
            && line.contains("\"m\" is not a field"),
        "{line}"
    );

    let running = Process::start(path, &text);
    let line = refused(&mut serve(path));
    assert!(line.contains("another summarizer is using"), "{line}");

    let other = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::fs::write(
        other.path().join("s.toml"),
        config(other.path()).replace("127.0.0.1:*", &format!("127.0.0.1:{port}")),
    )
    .unwrap();
    let line = refused(&mut serve(other.path()));
    assert!(
        line.contains(&format!("cannot bind tcp://127.0.0.1:{port}")) && line.contains("taken"),
        "{line}"
    );

    std::fs::write(other.path().join("file"), "").unwrap();
    let blocked = other.path().join("file/data");
    let line = refused(serve(other.path()).arg("--data-dir").arg(&blocked));
    assert!(line.contains("--data-dir") && line.contains("cannot be made"), "{line}");
    let line = refused(serve(other.path()).arg("--data-dir").arg(other.path().join("file")));
    assert!(line.contains("is no folder"), "{line}");
    let state = "state_file = \"/nowhere/state\"\n[query.zmq]";
    std::fs::write(other.path().join("s.toml"), config(other.path()).replace("[query.zmq]", state))
        .unwrap();
    let line = refused(&mut serve(other.path()));
    assert!(line.contains("state_file") && line.contains("/nowhere/state"), "{line}");
    drop(running);
}

#[test]
fn rows_of_an_earlier_form_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    TestServer::start(folder.path(), &text).stop();
    // The record of the format, as a program before this one left it.
    let store = folder.path().join("data/store");
    let database = rocksdb::DB::open(&rocksdb::Options::default(), &store).unwrap();
    let key = [0, 0, 0, 0, 1];
    assert!(database.get(key).unwrap().is_some());
    database.put(key, r#"{"store":1,"rows":1}"#).unwrap();
    drop(database);
    std::fs::write(folder.path().join("s.toml"), &text).unwrap();
    let mut check = Command::new(PROGRAM);
    check.arg("check").arg("-c").arg(folder.path().join("s.toml"));
    for command in [&mut serve(folder.path()), &mut check] {
        let line = refused(command);
        assert!(line.contains(store.to_str().unwrap()) && line.contains("rows 1"), "{line}");
        assert!(line.contains("move its data folder away and send the events again"), "{line}");
    }
}

#[test]
fn a_changed_configuration_is_accepted_or_refused_by_its_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    let mut server = TestServer::start(folder.path(), &text);
    let send = |server: &TestServer, n: i64| {
        let push = server.push();
        push.send(format!(r#"{{"ts":1795000000,"page":"a","n":{n},"user":"u{n}"}}"#).as_str(), 0)
            .unwrap();
    };
    send(&server, 1);
    server.wait_for(1);

    // Another order, another summary before it, another aggregate: rows stay what they are.
    let more = text
        .replace("[[summary]]", "[[summary]]\nname = \"all\"\ndimensions = []\naggregates = [{ name = \"c\", count = true }]\n[[summary]]")
        .replace("[{ name = \"events\"", "[{ name = \"users\", unique = \"user\" }, { name = \"set\", theta = \"user\" }, { name = \"top\", top = \"user\" }, { name = \"events\"");
    server.restart_with(&more).unwrap();
    let answer = server.ask(r#"{"summary":"pages","by":["page"]}"#);
    assert_eq!(
        answer["rows"],
        json!([["a", null, null, null, 1, 1]]),
        "an added aggregate is null in older rows"
    );
    assert!(answer["since"]["users"].is_string(), "{answer}");
    send(&server, 2);
    server.wait_for(1);
    let answer = server.ask(r#"{"summary":"pages","by":["page"]}"#);
    let top = json!([{ "value": "u2", "count": 1, "lower": 1, "upper": 1 }]);
    assert_eq!(answer["rows"], json!([["a", 1, 1, top, 2, 3]]));
    assert_eq!(server.ask(r#"{"summary":"all"}"#)["rows"], json!([[1]]));

    for (from, to, what) in [
        ("dimensions = [\"page\"]", "dimensions = [\"user\"]", "dimensions changed"),
        ("sum = \"n\"", "max = \"n\"", "aggregate n changed"),
        (
            "name = \"n\", type = \"int\"",
            "name = \"n\", type = \"decimal(2)\"",
            "aggregate n changed",
        ),
        ("[event]", "[event]\nzone = \"Asia/Tokyo\"", "zone changed"),
        ("field = \"ts\"", "field = \"at.ts\"", "time changed from \"ts\" to \"at.ts\""),
        ("name = \"pages\"", "name = \"pages\"\nwhere = \"n > 0\"", "filter changed"),
        ("unique = \"user\"", "unique = \"user\", log2m = 12", "aggregate users changed"),
        ("top = \"user\"", "top = \"user\", k = 99", "aggregate top changed"),
        ("theta = \"user\"", "theta = \"user\", log2k = 11", "aggregate set changed"),
        (
            "unique = \"user\"",
            "unique = \"user\", family = \"datasketches\"",
            "aggregate users changed from \"unique of user string, family ak, log2m 14\" to",
        ),
    ] {
        let error = server.restart_with(&more.replace(from, to)).unwrap_err();
        assert!(error.contains(what), "{to}: {error}");
        assert!(error.contains("another name") && error.contains("rebuild"), "{error}");
    }
    server.restart_with(&more.replace("shards", "# shards")).unwrap();
    assert_eq!(server.ask(r#"{"summary":"pages"}"#)["rows"], json!([[1, 1, top, 2, 3]]));
}

#[test]
fn what_a_field_is_read_from_is_part_of_its_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
field = [
  { name = "url" },
  { name = "host", derive = "lower(url)" },
  { name = "site", derive = "prefix(host, 3)" },
  { name = "code", type = "int" },
  { name = "n", type = "int" },
]
[event]
time = { field = "ts", format = "unix_s" }
[[summary]]
name = "sites"
dimensions = ["site"]
where = "code is not null"
aggregates = [{ name = "sum", sum = "n" }, { name = "some", count = true, where = "n > 1" }]
"#;
    let mut server = TestServer::start(folder.path(), text);
    server.push().send(r#"{"ts":1795000000,"url":"A","n":2,"code":200}"#, 0).unwrap();
    server.wait_for(1);

    let (sum, some) = ("{ name = \"sum\", sum = \"n\" }", "{ name = \"some\", ");
    for (from, to, said) in [
        ("name = \"url\"", "name = \"url\", from = \"to.url\"", "lower(url string from to.url)"),
        ("name = \"url\"", r"name = 'url', from = 'to\.url'", r"lower(url string from to\.url)"),
        ("lower(url)", "prefix(url, 9)", "site prefix(prefix(url string, 9), 3)"),
        (
            "\"code\", type = \"int\"",
            "\"code\"",
            "its filter changed from \"code IS NOT NULL, with code int\" to \"code IS NOT NULL, with \
             code string\"",
        ),
        ("\"code\",", "\"code\", from = \"c\",", "its filter changed"),
        ("\"n\", type", "\"n\", from = \"m\", type", "\"sum of n int\" to \"sum of n int from m\""),
        // The same of an aggregate's filter alone.
        ("n > 1", "n > 1 and url = 'a'", "with n int, url string"),
        ("n > 1", "n > 1 and site = 'a'", "with n int, site prefix(lower(url string), 3)"),
    ] {
        let error = server.restart_with(&text.replace(from, to)).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
        assert!(error.contains("another name") && error.contains("rebuild"), "{error}");
    }
    // Another order of fields and aggregates, and a default written out.
    let same = text
        .replace("  { name = \"code\", type = \"int\" },\n", "")
        .replace("field = [", "field = [{ name = \"code\", from = \"code\", type = \"int\" },")
        .replace(sum, "SUM")
        .replace(&format!("SUM, {some}"), some)
        .replace(" }]", &format!(" }}, {sum}]"));
    assert_ne!(same, text);
    server.restart_with(&same).unwrap();
}

#[test]
fn the_demo_keeps_out_of_folders_in_use_and_shows_counts_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder.path()).args(["demo", "--events", "2000"]).args(arguments);
        command
    };
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let output = run(&["--seconds", "2", "--dir", "mine"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let counts = text.lines().filter(|line| line.contains(" users (±")).count();
    assert!((2..6).contains(&counts), "{text}");
    assert!(text.contains("1 row, "), "{text}");

    let line = refused(&mut run(&["--dir", "mine"]));
    assert!(line.contains("--dir mine is not empty"), "{line}");
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "nothing was made beside it");
    for _ in 0..2 {
        assert!(run(&["--seconds", "0"]).output().unwrap().status.success());
    }
    assert!(folder.path().join("summarizer-demo-2").exists());
}

/// Whether a day is in memory or only in the store, whether the program was restarted in
/// between: an aggregate that is younger than a row counts in it from the row's next event.
#[test]
fn an_added_aggregate_counts_from_the_next_event_of_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    let mut server = TestServer::start(folder.path(), &text);
    let (cold, warm) = (1_790_000_000, 1_795_000_000);
    let send = |server: &TestServer, events: &[(&str, i64)]| {
        let push = server.push();
        for (page, n) in events {
            for ts in [cold, warm] {
                let event = format!(r#"{{"ts":{ts},"page":"{page}","n":{n},"user":"u"}}"#);
                push.send(event.as_str(), 0).unwrap();
            }
        }
        server.wait_for(2 * events.len() as u64);
    };
    send(&server, &[("counted", 1), ("none", 1), ("old", 1)]);
    let more = text.replace(
        "[{ name = \"events\"",
        "[{ name = \"large\", count = true, where = \"n > 10\" }, \
         { name = \"users\", unique = \"user\", where = \"n > 10\" }, { name = \"events\"",
    );
    server.restart_with(&more).unwrap();
    send(&server, &[("counted", 1), ("none", 1), ("new", 1)]);
    let question = r#"{"summary":"pages","by":["day","page"],"select":["large","users","events"]}"#;
    let expect = |server: &TestServer, counted: i64| {
        let rows = |day: &str| {
            vec![
                json!([day, "counted", counted, counted.min(1), 2 + counted]),
                json!([day, "new", 0, 0, 1]),
                json!([day, "none", 0, 0, 2]),
                json!([day, "old", null, null, 1]),
            ]
        };
        let expected = [rows("2026-09-21"), rows("2026-11-18")].concat();
        assert_eq!(server.ask(question)["rows"], json!(expected));
    };
    expect(&server, 0);
    server.restart_with(&more).unwrap();
    expect(&server, 0);
    send(&server, &[("counted", 11), ("counted", 12)]);
    expect(&server, 2);
    server.restart_with(&more).unwrap();
    expect(&server, 2);
}

#[test]
fn a_damaged_store_is_refused_with_a_way_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    let data = folder.path().join("data");
    let make = || {
        let _ = std::fs::remove_dir_all(&data);
        let process = Process::start(folder.path(), &text);
        process.send(0, 100);
        process.wait_until("accepted", |s| s["sequence"] == 100);
        process.signal("-TERM");
        assert_eq!(process.wait().code(), Some(0));
    };
    let find = |ending: &str| {
        let names = std::fs::read_dir(data.join("store")).unwrap().map(|e| e.unwrap().path());
        names.filter(|path| path.to_str().unwrap().contains(ending)).max().unwrap()
    };
    for (name, left) in [
        ("CURRENT", None),
        ("CURRENT", Some("what is this\n")),
        ("MANIFEST", None),
        ("MANIFEST", Some("")),
        (".sst", None),
        (".sst", Some("short")),
    ] {
        make();
        match left {
            None => std::fs::remove_file(find(name)).unwrap(),
            Some(text) => std::fs::write(find(name), text).unwrap(),
        }
        let line = refused(&mut serve(folder.path()));
        assert!(line.contains("data folder"), "{name}: {line}");
        assert!(line.contains("from a copy") && line.contains("away"), "{name}: {line}");
    }
}

/// A limit of the size of files is a full disk, not an end.
#[test]
fn files_that_may_not_grow_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path()) + "[checkpoint]\ninterval = \"50ms\"\n";
    let process = Process::start(folder.path(), &text);
    let limit = |bytes: &str| {
        let limit = [format!("--pid={}", process.child.id()), format!("--fsize={bytes}:")];
        assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    };
    limit("100");
    process.send(0, 100);
    process.wait_until("failed", |s| s["checkpoints_failed"].as_u64() > Some(1));
    limit("unlimited");
    process.wait_until("stored", |s| s["stored_sequence"] == 100);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
}

/// The day of arrivals.
fn today() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// To open a pipe, or to read one, waits for somebody at its other end.
#[test]
fn pipes_in_the_place_of_files_hold_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path()) + "[checkpoint]\ninterval = \"50ms\"\n";
    let data = folder.path().join("data");
    let make_pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let process = Process::start(folder.path(), &text);
    process.send(0, 100);
    process.wait_until("stored", |s| s["stored_sequence"] == 100);
    let export = |process: &Process| {
        let answer = process.ask(r#"{"export":"pages","day":"2026-11-18"}"#);
        answer["export"][0]["path"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let first = export(&process);
    assert!(first.ends_with(".r1.csv"), "{first}");
    make_pipe(Path::new(&first.replace(".csv", ".json")));
    assert!(export(&process).ends_with(".r2.csv"));
    let letters = data.join("dead-letters").join(format!("{}.ndjson", today()));
    std::fs::create_dir_all(letters.parent().unwrap()).unwrap();
    make_pipe(&letters);
    let socket = zmq::Context::new().socket(zmq::PUSH).unwrap();
    socket.connect(&process.events).unwrap();
    socket.send("{}", 0).unwrap();
    process.wait_until("dropped", |s| s["dead_letters_dropped"] == 1);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
    for name in ["origin.json", "store/CURRENT", "lock"] {
        let (path, kept) = (data.join(name), folder.path().join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        make_pipe(&path);
        let line = refused(&mut serve(folder.path()));
        assert!(line.contains("is no file; move it away"), "{name}: {line}");
        std::fs::rename(&kept, &path).unwrap();
    }
}

/// What systemd runs before the server must let it mend what it can, and keep it from what it refuses.
#[test]
fn check_and_serve_are_of_one_mind_about_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path());
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
    let store = data.join("store");
    let check = || {
        let mut command = Command::new(PROGRAM);
        command.arg("check").arg("-c").arg(folder.path().join("s.toml"));
        command
    };
    let process = Process::start(folder.path(), &text);
    process.send(0, 100);
    process.wait_until("accepted", |s| s["sequence"] == 100);
    process.signal("-TERM");
    process.wait();
    assert!(Command::new("cp").arg("-r").args([&store, &kept]).status().unwrap().success());
    let process = Process::start(folder.path(), &text);
    process.send(100, 200);
    process.wait_until("accepted", |s| s["sequence"] == 200);
    process.ask(r#"{"export":"pages","day":"2026-11-18"}"#);
    assert_eq!(check().status().unwrap().code(), Some(0), "beside a server");
    process.signal("-TERM");
    process.wait();
    assert_eq!(check().status().unwrap().code(), Some(0));

    // A file that only staging has.
    let tables = std::fs::read_dir(&store).unwrap().map(|e| e.unwrap().path());
    let newest = tables.filter(|path| path.extension().is_some_and(|e| e == "sst")).max().unwrap();
    let staging = data.join("store.staging/9");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::rename(&newest, staging.join("records.sst")).unwrap();
    let output = check().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("gives back"));
    let process = Process::of(&mut serve(folder.path()), folder.path());
    assert_eq!(process.ask(r#"{"summary":"pages"}"#)["rows"][0][0], 200);
    process.signal("-TERM");
    process.wait();

    // None, and that of an earlier time.
    std::fs::remove_dir_all(&store).unwrap();
    for why in ["there is no store in", "is older than the published days"] {
        for mut command in [check(), serve(folder.path())] {
            let line = refused(&mut command);
            assert!(line.contains(why), "{why}: {line}");
        }
        if !store.exists() {
            std::fs::rename(&kept, &store).unwrap();
        }
    }
}

#[test]
fn a_store_that_goes_while_it_is_open_is_told_and_can_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = config(folder.path()) + "[checkpoint]\ninterval = \"50ms\"\n";
    let process = Process::start(folder.path(), &text);
    process.send(0, 100);
    process.wait_until("stored", |s| s["stored_sequence"] == 100);
    let (store, away) = (folder.path().join("data/store"), folder.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    process.send(100, 200);
    process.wait_until("failed", |s| s["checkpoints_failed"].as_u64() > Some(1));
    assert_eq!(process.ask(r#"{"summary":"pages","select":["events"]}"#)["rows"], json!([[200]]));
    assert!(!store.exists(), "nothing is made in its place");
    std::fs::rename(&away, &store).unwrap();
    process.wait_until("stored", |s| s["stored_sequence"] == 200);
    process.signal("-TERM");
    assert_eq!(process.wait().code(), Some(0));
    let process = Process::start(folder.path(), &text);
    assert_eq!(process.ask(r#"{"summary":"pages","select":["events"]}"#)["rows"], json!([[200]]));
}
