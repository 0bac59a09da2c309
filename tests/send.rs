//! `send --csv` as a spreadsheet's user meets it: through the real program, into a real
//! server, with a byte-order mark, booleans and rows that are broken.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::process::{Command, Output};

use serde_json::json;
use support::process::PROGRAM;
use support::{NOON_US, TestServer};

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
    let path = server.folder.join("sales.csv");
    std::fs::write(&path, text).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["send", "--to", &server.ingest(), "--csv", "--bool", "ok"]).arg(&path);
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
    let row = format!("sales.csv, row 2: has 2 cells, the header has 4: {NOON_US},p1");
    assert!(lines[0].ends_with(&row), "{said}");
    assert!(lines[5].contains("are only counted"), "{said}");
    assert!(lines[6].starts_with("summarizer: 11 rows could not be sent"), "{said}");
    server.wait_for(10);

    let (code, _, said) = send(&server, b"ts,page\n1,a\n");
    assert_eq!(code, Some(1));
    assert!(said.contains("no column is named \"ok\"") && said.lines().count() == 1, "{said}");
}
