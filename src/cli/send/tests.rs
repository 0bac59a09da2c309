//! `send` against a PULL socket of the test.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// Runs `send` with some arguments and returns its outcome and the messages that arrived.
fn sent(arguments: &[&str]) -> (anyhow::Result<Sent>, Vec<String>) {
    let context = zmq::Context::new();
    let pull = context.socket(zmq::PULL).unwrap();
    pull.bind("tcp://127.0.0.1:*").unwrap();
    let address = pull.get_last_endpoint().unwrap().unwrap();
    let line = ["send", "--to", &address].into_iter().chain(arguments.iter().copied());
    let outcome = send(&Line::try_parse_from(line).unwrap().args);
    pull.set_rcvtimeo(500).unwrap();
    let messages = std::iter::from_fn(|| pull.recv_bytes(0).ok());
    (outcome, messages.map(|m| String::from_utf8_lossy(&m).into_owned()).collect())
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn events_are_grouped_unchanged_over_files() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "one", "{\"a\":1}\nbroken {\n\n{\"a\":3}\n");
    let two = file(&folder, "two", "{\"a\":4}\n{\"a\":5}");
    let (outcome, messages) = sent(&["--batch", "2", &one, &two]);
    let expected = ["{\"a\":1}\n{\"a\":3}", "{\"a\":4}\n{\"a\":5}"];
    assert_eq!(messages, expected);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events, outcome.skipped, outcome.messages), (4, 1, 2));
    assert_eq!(outcome.bytes, expected.iter().map(|m| m.len() as u64).sum::<u64>());
    let (_, messages) = sent(&["--batch", "2", "--limit", "3", &one, &two]);
    assert_eq!(messages, ["{\"a\":1}\n{\"a\":3}", "{\"a\":4}"]);
}

#[test]
fn rows_get_ids_that_differ_between_files() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "one.csv", "a,b\n1,x\n2,\n");
    let two = file(&folder, "two.csv", "a\n\"q\"\"\"\n");
    let (outcome, messages) = sent(&["--csv", "--id", "row", "--batch", "1", &one, &two]);
    outcome.unwrap();
    let expected = [
        format!("{{\"id\":\"{one}:1\",\"a\":1,\"b\":\"x\"}}"),
        format!("{{\"id\":\"{one}:2\",\"a\":2}}"),
        format!("{{\"id\":\"{two}:1\",\"a\":\"q\\\"\"}}"),
    ];
    assert_eq!(messages, expected);
    let lines = file(&folder, "l", "{}\nnone\n {\"a\":1}\n");
    let (_, messages) = sent(&["--id", "row", "--batch", "1", &lines]);
    let expected =
        [format!("{{\"id\":\"{lines}:1\"}}"), format!("{{\"id\":\"{lines}:3\",\"a\":1}}")];
    assert_eq!(messages, expected);
}

#[test]
fn what_cannot_be_sent_is_passed_over_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mixed", "{\"a\":1}\n\nbroken\n{\"a\":2}\n");
    let (outcome, messages) = sent(&["--format", "protobuf", &path]);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events, outcome.skipped, messages.len()), (2, 1, 1));
    let path = file(&folder, "rows", "a,b\n1,2\n3\n4,5\n6,\"open\n7,8\n");
    let (outcome, messages) = sent(&["--csv", "--id", "row", &path]);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events, outcome.skipped), (2, 2));
    // The rows keep their numbers, and so their ids, when the bad one is mended.
    let expected = [1, 3].map(|row| format!("{{\"id\":\"{path}:{row}\","));
    let lines: Vec<&str> = messages[0].lines().collect();
    assert!(lines.iter().zip(&expected).all(|(line, start)| line.starts_with(start)), "{lines:?}");
}

#[test]
fn an_error_keeps_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "rows", "a\n1\n");
    let (outcome, messages) = sent(&["--csv", &path, "/nonexistent"]);
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains("stopped after 1 row: cannot open /nonexistent"), "{error}");
    assert_eq!(messages, ["{\"a\":1}"]);
}

#[test]
fn a_byte_order_mark_belongs_to_no_column() {
    let folder = tempfile::tempdir().unwrap();
    let plain = "\u{feff}ts,ok\r\n1,TRUE\r\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, plain.as_bytes()).unwrap();
    let zipped = folder.path().join("zipped");
    std::fs::write(&zipped, packed.finish().unwrap()).unwrap();
    for path in [file(&folder, "plain", plain), zipped.to_str().unwrap().to_owned()] {
        let (_, messages) = sent(&["--csv", "--bool", "ok", &path]);
        assert_eq!(messages, ["{\"ts\":1,\"ok\":true}"]);
    }
}

#[test]
fn a_rate_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "lines", &"{}\n".repeat(40));
    let (outcome, messages) = sent(&["--rate", "200", &path]);
    assert!(outcome.unwrap().seconds >= 0.19);
    assert_eq!(messages.len(), 2);
}
