//! Published files in the hands of PostgreSQL and its extension hll: it loads every column,
//! counts what we counted, unites days as we do, and goes on counting where we stopped.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sketches::ak::Hll;
use sketches::unique::{Coupon, Unique};
use support::postgres::Postgres;
use support::process::{PROGRAM, Process};
use support::{NOON_US, PATIENCE, TestServer, example};

const DAYS: [&str; 3] = ["2025-03-01", "2025-03-02", "2025-03-03"];
const FIRST_DAY_MS: i64 = 1_740_787_200_000;
const EVENTS: usize = 90_000;

/// One standard error of PostgreSQL's estimate from 2¹⁴ registers.
const STD_ERROR: f64 = 1.04 / 128.0;

/// Countries that a file may stumble over; the last is the empty string, and then there
/// are events that have none.
const COUNTRIES: [&str; 4] = ["\"quoted\", with comma", "two\nlines", "\\N", ""];

/// The canonical workload and summaries, and one that counts a number's distinct values.
fn config(folder: &Path) -> String {
    let mut config: toml::Table = example("adtech.toml").parse().unwrap();
    let folder = folder.display();
    let more = format!(
        r#"
data_dir = "{folder}/data"
[ingest.zmq]
bind = "tcp://127.0.0.1:*"
[query.zmq]
bind = "ipc://{folder}/ask"
[snapshots]
quiet = "24h"
"#
    );
    config.extend(more.parse::<toml::Table>().unwrap());
    let mut push = |list: &str, item: &str| {
        let list = config.get_mut(list).and_then(toml::Value::as_array_mut).unwrap();
        list.push(toml::Value::Table(item.parse().unwrap()));
    };
    push("field", "name = \"number\"\ntype = \"int\"");
    push(
        "summary",
        "name = \"numbers\"\ndimensions = [\"country\"]\n\
         aggregates = [{ name = \"events\", count = true }, { name = \"numbers\", unique = \"number\" }]",
    );
    toml::to_string(&config).unwrap()
}

/// The events: those of the generator, and of each day some that are unusual.
fn events(folder: &Path) -> Vec<Value> {
    let path = folder.join("events.ndjson");
    let [count, days] = [EVENTS, DAYS.len()].map(|n| n.to_string());
    let done = Command::new(PROGRAM)
        .args(["generate", "--events", &count, "--days", &days, "--first-day", DAYS[0]])
        .arg("--out")
        .arg(&path)
        .status();
    assert!(done.unwrap().success());
    let text = std::fs::read_to_string(path).unwrap();
    let mut events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for day in 0..DAYS.len() as i64 {
        for (i, country) in COUNTRIES.iter().map(Some).chain([None]).enumerate() {
            for user in [json!("ünï"), json!(""), Value::Null] {
                events.push(json!({
                    "id": format!("{day} {i} {user}"), "ts": FIRST_DAY_MS + day * 86_400_000,
                    "user": user, "country": country, "region": "r0", "browser": "lynx",
                    "number": -5 - i as i64, "cost": 0.25, "latency_ms": -2.5,
                }));
            }
        }
    }
    events
}

/// Has the real program take the events in and publish all days.
fn publish(folder: &Path, events: &[Value]) -> Process {
    let process = Process::start(folder, &config(folder));
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    std::fs::write(folder.join("all.ndjson"), lines).unwrap();
    let sent = Command::new(PROGRAM)
        .args(["send", "--to", &process.events])
        .arg(folder.join("all.ndjson"))
        .output();
    assert!(sent.unwrap().status.success());
    let begun = Instant::now();
    let stats = || process.ask(r#"{"get":"stats"}"#);
    while stats()["events_accepted"] != events.len() {
        assert_eq!(stats()["events_refused"], 0);
        assert!(begun.elapsed() < PATIENCE, "{} events: {}", events.len(), stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    for day in DAYS {
        let answer = process.ask(&json!({ "export": "*", "day": day }).to_string());
        assert_eq!(answer["export"].as_array().map(Vec::len), Some(13), "{answer}");
    }
    process
}

/// What PostgreSQL calls a type of ours.
fn sql_type(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "int" => "bigint",
        "float" => "double precision",
        "bool" => "boolean",
        "hll" => "hll(14)",
        decimal if decimal.starts_with("decimal") => "numeric",
        other => other,
    }
}

/// Loads every file of every summary as it is, all columns of it.
fn load(postgres: &Postgres, snapshots: &Path) -> Vec<String> {
    let names = std::fs::read_dir(snapshots).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let summaries: Vec<String> = names.collect();
    for summary in &summaries {
        let file = |day: &str, end: &str| snapshots.join(summary).join(format!("{day}{end}"));
        for day in DAYS {
            let manifest = std::fs::read(file(day, ".r1.json")).unwrap();
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            if day == DAYS[0] {
                let columns = manifest["columns"].as_array().unwrap().iter();
                let columns = columns.map(|column| {
                    format!(
                        "{} {}",
                        column["name"].as_str().unwrap(),
                        sql_type(column["type"].as_str().unwrap())
                    )
                });
                let columns: Vec<_> = columns.collect();
                postgres.run(&format!("CREATE TABLE {summary} ({})", columns.join(", ")));
            }
            postgres.copy(summary, "FORMAT csv, HEADER", &file(day, ".csv"));
            let rows = format!("SELECT count(*) FROM {summary} WHERE day = '{day}'");
            assert_eq!(postgres.run(&rows), [manifest["rows"].to_string()], "{summary} {day}");
        }
    }
    summaries
}

/// Loads the events, so that PostgreSQL itself can count them exactly.
fn load_events(postgres: &Postgres, events: &[Value], path: &Path) {
    let columns = ["country", "region", "browser", "placement", "user", "number"];
    let mut lines = String::new();
    for event in events {
        let day = (event["ts"].as_i64().unwrap() - FIRST_DAY_MS) / 86_400_000;
        write!(lines, "{}", DAYS[day as usize]).unwrap();
        for column in columns {
            match &event[column] {
                Value::Null => lines.push(','),
                Value::String(text) => {
                    write!(lines, ",\"{}\"", text.replace('"', "\"\"")).unwrap();
                }
                other => write!(lines, ",{other}").unwrap(),
            }
        }
        lines.push('\n');
    }
    std::fs::write(path, lines).unwrap();
    postgres.run(
        "CREATE TABLE event (day date, country text, region text, browser text,
         placement text, \"user\" text, number bigint)",
    );
    postgres.copy("event", "FORMAT csv", path);
}

#[test]
fn postgresql_reads_unites_and_continues_what_we_publish() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    std::fs::create_dir(&ours).unwrap();
    std::fs::create_dir(&theirs).unwrap();
    let Some(postgres) = Postgres::start(&theirs) else { return };
    let events = events(&ours);
    let process = publish(&ours, &events);
    postgres.run("CREATE EXTENSION hll");
    let summaries = load(&postgres, &ours.join("data/snapshots"));
    assert_eq!(summaries.len(), 13);
    for summary in summaries {
        let all = postgres.run(&format!("SELECT sum(events) FROM {summary}"));
        assert_eq!(all, [events.len().to_string()], "{summary}");
    }
    load_events(&postgres, &events, &ours.join("events.csv"));
    check_keys(&postgres);
    check_counts(&postgres);
    check_unions(&postgres, &process, &events);
    check_continued(&postgres);
}

/// Texts that some reader of a file may stumble over, each a key, a value and a frequent value.
const TEXTS: [&str; 12] = [
    "zap\u{0}x",
    "zap\u{fffd}x",
    "\u{0}",
    "a\rb",
    "a\r\nb\n",
    "\u{1}\u{8}\u{1b}\u{7f}\u{85}\u{a0}",
    "\u{fffe}\u{ffff}\u{10ffff}",
    "\u{2028}\u{feff}\u{202e}",
    "\\.",
    "\\N\\000",
    "\"",
    "",
];

#[test]
fn a_day_with_any_text_loads() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let Some(postgres) = Postgres::start(&theirs) else { return };
    let config = r#"
field = [{ name = "page" }]
[event]
time = { field = "ts", format = "unix_us" }
[[summary]]
name = "pages"
dimensions = ["page"]
aggregates = [
  { name = "events", count = true }, { name = "newest", last = "page" },
  { name = "pages", top = "page" },
]
"#;
    postgres
        .run("CREATE TABLE pages (day date, page text, events bigint, newest text, pages json)");
    for (keeps, name) in [(false, "ours"), (true, "kept")] {
        let more = if keeps { "[snapshots]\nnul = \"keep\"\n" } else { "" };
        let ours = folder.path().join(name);
        std::fs::create_dir(&ours).unwrap();
        let server = TestServer::start(&ours, &format!("{config}{more}"));
        let push = server.push();
        for (count, text) in (1..).zip(TEXTS) {
            for _ in 0..count {
                let event = json!({ "ts": NOON_US, "page": text });
                push.send(event.to_string().as_str(), 0).unwrap();
            }
        }
        server.wait_for((1..=TEXTS.len() as u64).sum());
        let answer = server.ask(r#"{"export":"pages","day":"2026-11-20"}"#);
        assert_eq!(answer["export"][0]["rows"], TEXTS.len(), "{answer}");
        let file = ours.join("data/snapshots/pages/2026-11-20.csv");
        // Two keys have one, each in three cells.
        let replaced = if keeps { 0 } else { 6 };
        assert_eq!(server.counter("nul_cells_replaced"), replaced);
        let manifest = std::fs::read(file.with_extension("r1.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["nul_cells_replaced"], replaced);
        if keeps {
            assert!(std::fs::read(&file).unwrap().contains(&0));
            continue;
        }
        postgres.copy("pages", "FORMAT csv, HEADER", &file);
        for (count, text) in (1..).zip(TEXTS) {
            let text = text.replace('\0', "\u{fffd}").replace('\'', "''");
            let found = postgres.run(&format!(
                "SELECT count(*) FROM pages WHERE page = '{text}' AND newest = page
                 AND events = {count} AND pages->0->>0 = page"
            ));
            assert_eq!(found, ["1"], "{text:?}");
        }
    }
}

/// The condition that a column of `s` and of `e` is the same or null in both, in a form that
/// PostgreSQL can look up; IS NOT DISTINCT FROM has it compare each row with each.
fn same(column: &str) -> String {
    format!(
        " AND (s.{column} IS NULL) = (e.{column} IS NULL)
         AND coalesce(s.{column}, '') = coalesce(e.{column}, '')"
    )
}

/// Null, the empty string and every other one are what they were.
fn check_keys(postgres: &Postgres) {
    let differences = postgres.run(&format!(
        "SELECT count(*) FROM (SELECT DISTINCT day, country, region FROM event) e
         FULL JOIN country_region s ON s.day = e.day{}{}
         WHERE e.day IS NULL OR s.day IS NULL",
        same("country"),
        same("region"),
    ));
    assert_eq!(differences, ["0"]);
    let few = postgres.run(
        "SELECT country IS NULL, events, cost, users, latency_p50 FROM country_region
         WHERE country = '' OR country IS NULL ORDER BY day, country NULLS FIRST",
    );
    // Two users: the one that is null is none.
    let each = ["t|3|0.750000|2|-2.5", "f|3|0.750000|2|-2.5"];
    assert_eq!(few, [each, each, each].concat());
}

/// Rows' cardinalities are within three standard errors of what an exact count says, but for
/// as many as chance puts beyond; a value whose register another one has already is missing
/// as a whole, so that small counts are off by whole values.
fn check_counts(postgres: &Postgres) {
    for (summary, key, least_rows) in [
        ("browser", "browser", 18.0),
        ("country_region", "country, region", 5000.0),
        ("placement", "placement", 20_000.0),
    ] {
        let joined = key.split(", ").map(same).collect::<String>();
        let found = postgres.run(&format!(
            "SELECT count(*), count(*) FILTER (WHERE abs(hll_cardinality(s.users_hll) - e.users)
                     > greatest(3 * {STD_ERROR} * e.users, 1.01)),
                 count(*) FILTER (WHERE abs(hll_cardinality(s.users_hll) - e.users)
                     > greatest(5 * {STD_ERROR} * e.users, 3.01)),
                 max(abs(hll_cardinality(s.users_hll) - e.users) / e.users)
             FROM {summary} s JOIN (SELECT day, {key}, count(DISTINCT \"user\") users FROM event
                 GROUP BY day, {key}) e ON s.day = e.day{joined}"
        ));
        let numbers: Vec<f64> = found[0].split('|').map(|n| n.parse().unwrap()).collect();
        let [rows, beyond, far_beyond, worst] = numbers[..] else { panic!("{found:?}") };
        println!("{summary}: {rows} rows, {beyond} beyond three errors, the worst {worst} off");
        assert!(rows >= least_rows, "{summary}: {rows} rows");
        assert!(beyond <= 0.0027 * rows, "{summary}: {beyond} of {rows} rows are too far off");
        assert_eq!(far_beyond, 0.0, "{summary}");
    }
}

/// The union over days by PostgreSQL is, byte for byte, that of the files by us, and has
/// the registers of all users; the roll-up that the socket gives is counted from the same.
fn check_unions(postgres: &Postgres, process: &Process, events: &[Value]) {
    let question = json!({ "summary": "browser", "from": DAYS[0], "to": DAYS[2],
        "by": ["browser"], "select": ["users"], "order": "browser" });
    let answer = process.ask(&question.to_string());
    let rows = answer["rows"].as_array().unwrap();
    let unions =
        postgres.run("SELECT browser, hll_union_agg(users_hll) FROM browser GROUP BY 1 ORDER BY 1");
    assert_eq!((rows.len(), unions.len()), (6, 6), "{answer}");
    let mut dense = 0;
    for (row, union) in rows.iter().zip(unions) {
        let (browser, union) = union.split_once('|').unwrap();
        assert_eq!(row[0], browser);
        let mut merged: Option<Hll> = None;
        let days = format!("SELECT users_hll FROM browser WHERE browser = '{browser}'");
        for day in postgres.run(&days) {
            let day = Hll::decode(&from_hex(&day)).unwrap();
            match &mut merged {
                Some(merged) => merged.merge(&day).unwrap(),
                None => merged = Some(day),
            }
        }
        let mut bytes = Vec::new();
        merged.unwrap().encode(&mut bytes);
        assert_eq!(to_hex(&bytes), union, "{browser}: the union of the files");

        let mut users = Unique::new(14);
        let of_browser = events.iter().filter(|event| event["browser"] == browser);
        for user in of_browser.filter_map(|event| event["user"].as_str()) {
            users.insert(Coupon::of_bytes(user.as_bytes()));
        }
        bytes.clear();
        sketches::ak::write_row(&users, &mut bytes);
        assert_eq!(to_hex(&bytes), union, "{browser}: the sketch of all users");
        assert_eq!(row[1], json!(users.estimate().value.round() as u64), "{browser}: the roll-up");
        dense += usize::from(users.coupons().is_none());
    }
    assert_eq!(dense, 5, "all but one browser have users enough for registers");
}

/// A value that we have counted changes no byte of a sketch, whatever its kind; one that
/// we have not does.
fn check_continued(postgres: &Postgres) {
    // Every row of few users with each of them, every other with a part of them.
    for (summary, key, part) in [
        ("browser", "browser", 50),
        ("country_region", "country, region", 20),
        ("placement", "placement", 10),
    ] {
        let joined = key.split(", ").map(same).collect::<String>();
        let found = postgres.run(&format!(
            "SELECT count(*) > 1000, bool_and(hll_add(s.users_hll, hll_hash_text(e.\"user\"))::text
                 = s.users_hll::text)
             FROM {summary} s JOIN event e ON s.day = e.day{joined}
             WHERE e.\"user\" IS NOT NULL AND abs(hashtext(e.\"user\")) % {part} = 0"
        ));
        assert_eq!(found, ["t|t"], "{summary}");
    }
    let joined = same("country");
    let numbers = postgres.run(&format!(
        "SELECT count(*), bool_and(hll_add(s.numbers_hll, hll_hash_bigint(e.number))::text
             = s.numbers_hll::text)
         FROM numbers s JOIN event e ON s.day = e.day{joined}
         WHERE e.number IS NOT NULL",
    ));
    assert_eq!(numbers, ["45|t"]);
    // Unless by chance another value has raised its register.
    let unseen = postgres.run(
        "SELECT avg((hll_add(users_hll, hll_hash_text('nobody ' || placement))::text
             = users_hll::text)::int) < 0.01 FROM placement WHERE users < 10",
    );
    assert_eq!(unseen, ["t"]);
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("\\x").unwrap().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
