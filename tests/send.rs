//! `send` through the real program, into a real server: CSV as a spreadsheet writes it, with a
//! byte-order mark, booleans and rows that are broken; JSON in every form, and what is none.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::process::{Command, Output};

use serde_json::json;
use summarizer::clock::Clock;
use support::process::PROGRAM;
use support::{NOON_US, TestServer, free_port};

const CONFIG: &str = r#"
field = [{ name = "page" }, { name = "note" }, { name = "ok", type = "bool" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "pages"
dimensions = ["page", "note", "ok"]
aggregates = [{ name = "events", count = true }]
"#;

/// Sends a file; gives the exit code, the line of JSON, and what it says beside it.
fn send(server: &TestServer, text: &[u8]) -> (Option<i32>, serde_json::Value, String) {
    send_with(server, "sales.csv", text, &["--csv", "--bool", "ok"])
}

fn send_with(
    server: &TestServer,
    name: &str,
    text: &[u8],
    more: &[&str],
) -> (Option<i32>, serde_json::Value, String) {
    let path = server.folder.join(name);
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["send", "--to", &server.ingest()]).args(more).arg(&path);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let summary = serde_json::from_slice(&stdout).unwrap_or_default();
    (status.code(), summary, String::from_utf8(stderr).unwrap())
}

#[test]
fn what_a_spreadsheet_writes_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let text =
        format!("\u{feff}ts,page,note,ok\r\n{NOON_US},a,true,TRUE\r\n{NOON_US},b,,false\r\n");
    let (code, summary, said) = send(&server, text.as_bytes());
    assert_eq!((code, said.as_str()), (Some(0), ""), "{summary}");
    assert_eq!((&summary["events"], &summary["skipped"]), (&json!(2), &json!(0)));
    server.wait_for(2);
    let answer = server.ask(r#"{"summary":"pages","by":["page","note","ok"],"order":"page"}"#);
    // A text that reads "true" stays one; a column of booleans has booleans.
    assert_eq!(answer["rows"], json!([["a", "true", true, 1], ["b", null, false, 1]]));
    assert_eq!(server.counter("events_refused"), 0);
}

#[test]
fn a_broken_row_is_shown_and_the_others_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let mut text = "ts,page,note,ok\n".to_owned();
    for row in 0..20 {
        let rest = if row % 2 == 0 { ",n,true" } else { "" };
        text += &format!("{NOON_US},p{row}{rest}\n");
    }
    text += &format!("{NOON_US},p20,\"never closed,true\n{NOON_US},p21,n,true\n");
    let (code, summary, said) = send(&server, text.as_bytes());
    assert_eq!((&summary["events"], &summary["skipped"]), (&json!(10), &json!(11)));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (Some(1), 7), "{said}");
    let row = format!("sales.csv:3, row 2: has 2 cells, the header has 4: {NOON_US},p1");
    assert!(lines[0].ends_with(&row), "{said}");
    assert!(lines[5].contains("are only counted"), "{said}");
    assert!(lines[6].starts_with("summarizer: 11 rows could not be sent"), "{said}");
    server.wait_for(10);

    let (code, _, said) = send(&server, b"ts,page\n1,a\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("no column is named \"ok\"") && said.lines().count() == 1, "{said}");
}

#[test]
fn what_is_no_csv_is_shown_and_nothing_is_sent_altered() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let row = |page: &str| format!("{NOON_US},{page},n,true");
    let rows = [
        row("good"),
        row("\"text\"behind"),
        row("\"two\" words\""),
        row("nul\0"),
        row("cr\rhere"),
        format!("{NOON_US},few"),
        row("many,more"),
        row("\"a \"\"b\"\"\""),
        row("\"never"),
        row("swallowed"),
    ];
    let text = format!("ts,page,note,ok\n{}\n", rows.join("\n"));
    let (code, summary, said) = send(&server, text.as_bytes());
    assert_eq!((code, &summary["events"], &summary["skipped"]), (Some(1), &json!(2), &json!(7)));
    for (line, why) in [(3, "text after"), (4, "text after"), (5, "NUL"), (6, "carriage")] {
        let begin = format!("sales.csv:{line}, row {}: has ", line - 1);
        let found = said.lines().find(|l| l.contains(&begin)).unwrap_or_else(|| panic!("{said}"));
        assert!(found.contains(why), "{found}");
    }
    assert!(!said.contains("\\u0000end"), "{said}");
    server.wait_for(2);
    let answer = server.ask(r#"{"summary":"pages","by":["page"],"order":"page"}"#);
    assert_eq!(answer["rows"], json!([["a \"b\"", 1], ["good", 1]]));
    let (code, _, said) = send(&server, b"ts,page,note,ok\n1,\"never,n,true\n");
    assert!(code == Some(1) && said.contains("sales.csv:2, row 1: has a quote that"), "{said}");
    for (text, why) in [
        (&b"ts,page,note,ok,\n"[..], "column 5 has no name"),
        (b"ts,page,note,ok,ok\n", "two columns are named \"ok\""),
        (b"ts,\"page\"x,note,ok\n", "has text after a closing quote"),
        (b"\xff\xfet\0s\0,\0a\0\n\0", "is UTF-16"),
        (b"t\0s\0,\0a\0\n\0", "looks like UTF-16"),
        (b"PK\x03\x04abcdef", "workbook"),
    ] {
        let (code, _, said) = send(&server, text);
        assert!(code == Some(1) && said.contains(why), "{why}: {said}");
    }
    assert_eq!(server.counter("events_refused"), 0);
}

#[test]
fn json_arrives_whole_however_it_is_laid_out() {
    let folder = tempfile::tempdir().unwrap();
    // Over TCP: libzmq may lose what an ipc sender left behind that closed at full speed.
    let clock = Clock::manual(NOON_US);
    let server = TestServer::start_at(folder.path(), CONFIG, clock, Some(free_port()));
    let event = |i: usize| json!({ "ts": NOON_US, "page": format!("p{i}"), "note": "}\n{", "x": { "y": [i] } });
    let events: Vec<_> = (0..1000).map(event).collect();
    let pretty = |event: &serde_json::Value| serde_json::to_string_pretty(event).unwrap();
    let by_line: Vec<String> = events.iter().map(ToString::to_string).collect();
    let over_lines: Vec<String> = events.iter().map(pretty).collect();
    let forms = [
        by_line.join("\n"),
        over_lines.join("\n"),
        by_line.concat(),
        json!(events).to_string(),
        pretty(&json!(events)),
        format!("\u{feff}{}", over_lines.join("\r\n")),
    ];
    for (sent, form) in (1..).zip(&forms) {
        for more in [&["--batch", "7"][..], &["--format", "protobuf"], &["--id", "row"]] {
            let (code, summary, said) = send_with(&server, "events.json", form.as_bytes(), more);
            assert_eq!((code, said.as_str()), (Some(0), ""), "{form:.100} {more:?}");
            assert_eq!(summary["events"], 1000);
        }
        server.wait_for(sent * 3000);
    }
    assert_eq!(server.counter("events_refused"), 0);
    let answer = server.ask(r#"{"summary":"pages","by":["page"],"limit":3,"order":"-events"}"#);
    assert_eq!(answer["totals"][1], forms.len() * 3000, "{answer}");
    assert_eq!(answer["rows"][0][1], forms.len() * 3, "{answer}");
}

#[test]
fn what_is_no_json_is_shown_with_its_line_and_the_others_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(folder.path(), CONFIG);
    let good = json!({ "ts": NOON_US, "page": "good" }).to_string();
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut sent = 0;
    for (text, events, skipped, place, why) in [
        (format!("{good}\nhello\n{good}").into_bytes(), 2, 1, 2, "no JSON object: hello"),
        (format!("{good}\n{}\n{good}", &good[..20]).into_bytes(), 2, 1, 2, "is no JSON"),
        (format!("{good}\n{}", &good[..20]).into_bytes(), 1, 1, 2, "is cut"),
        (format!("[{good},\n{good}").into_bytes(), 2, 1, 2, "ends within an array"),
        (b"{\n  \"ts\": 1,\n  \"a\": [\n    {\"ts\": 2},\n".to_vec(), 0, 1, 1, "is cut"),
        (format!("7\n[1,2]\nnull\n{good}").into_bytes(), 1, 3, 1, "no JSON object: 7"),
        (Vec::new(), 0, 1, 1, "is empty"),
        (utf16(&good), 0, 1, 1, "looks like UTF-16"),
        (utf16(&format!("\u{feff}{good}")), 0, 1, 1, "is UTF-16"),
        (b"BZh91AY&SY\x0e\x09\xe2\xdf".to_vec(), 0, 1, 1, "bzcat"),
        (b"\x28\xb5\x2f\xfd\x24\x06\x31".to_vec(), 0, 1, 1, "zstdcat"),
        (b"\xfd7zXZ\x00\x00\x04\xe6".to_vec(), 0, 1, 1, "xzcat"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\n\xff\xff".to_vec(), 0, 2, 1, "no JSON object"),
    ] {
        let (code, summary, said) = send_with(&server, "events.json", &text, &[]);
        assert_eq!(code, Some(1), "{why}: {said}");
        let counts = (&summary["events"], &summary["skipped"]);
        assert_eq!(counts, (&json!(events), &json!(skipped)), "{why}: {said}");
        let first = said.lines().next().unwrap();
        assert!(first.contains(&format!("events.json:{place}: ")) && first.contains(why), "{said}");
        sent += events;
    }
    server.wait_for(sent);
    assert_eq!(server.counter("events_accepted"), sent);
    assert_eq!(server.counter("events_refused"), 0);
}
