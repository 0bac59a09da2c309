//! The rules of ARCHITECTURE.md that can be read off the sources: which room may use which,
//! what a room must not do, and how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use summarizer::config::Config;

/// Reading order and direction of dependency: a room uses the rooms before it. The first
/// line are helpers, which know nothing of events.
const ROOMS: [&str; 20] = [
    "clock",
    "limits",
    "metrics",
    "config",
    "connections",
    "event",
    "ingest",
    "key",
    "partition",
    "row",
    "shard",
    "store",
    "sequencer",
    "output",
    "query",
    "snapshot",
    "serve",
    "server",
    "cli",
    "main",
];

/// Lines that a file may have, and the files that have more. The list may only shrink.
const MAX_LINES: usize = 500;
const LONGER: [(&str, usize); 0] = [];

/// What is absent: a text that no line of code has, but in these rooms or files.
const ABSENCES: [(&str, &[&str]); 15] = [
    // Reproducible: time and chance are handed in.
    ("SystemTime::now", &["clock"]),
    ("Instant::now", &["clock"]),
    ("Timestamp::now", &["clock"]),
    ("Zoned::now", &["clock"]),
    ("rand::rng()", &[]),
    ("rand::random", &[]),
    // No lock on the path of a row: rows, keys and batches have none. A shard's thread takes one for
    // a batch, so that whoever looks up a key may do it in between.
    (
        "Mutex",
        &["metrics", "connections", "shard/run", "query", "snapshot", "serve", "server", "cli"],
    ),
    ("RwLock", &["sequencer/days", "store/mod", "query", "snapshot", "serve", "server", "cli"]),
    // Only the rooms at the edges know files, sockets and the store's library.
    (
        "std::fs",
        &[
            "config/mod",
            "config/paths",
            "ingest/dead_letters",
            "ingest/suspend",
            "store",
            "snapshot",
            "serve",
            "server",
            "cli",
            "main",
        ],
    ),
    ("zmq::", &["ingest/socket", "connections", "sequencer", "serve", "server", "cli"]),
    ("rocksdb", &["store"]),
    // No queue without a bound.
    ("unbounded(", &[]),
    // They panic where a pipe is closed or a disk is full: cli::say and cli::mention do not.
    ("print!(", &[]),
    ("println!", &[]),
    // Threads and channels; nothing here is async.
    ("async fn", &[]),
];

/// A source file: its room, its path below `src/` without `.rs`, its text.
struct Source {
    room: String,
    name: String,
    path: PathBuf,
    text: String,
}

fn root() -> &'static Path {
    // Cargo runs tests in the folder of their package.
    Path::new(".")
}

/// All sources below a folder, without `lib.rs`, which only lists the rooms.
fn sources(folder: &str) -> Vec<Source> {
    let (base, mut found) = (root().join(folder), Vec::new());
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(&base).expect("it was found there");
                let name = below.with_extension("").to_string_lossy().replace('\\', "/");
                let room = name.split('/').next().unwrap_or_default().to_owned();
                let text = std::fs::read_to_string(&path).expect("it can be read");
                found.push(Source { room, name, path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Whether a file is compiled for tests only.
fn is_test(source: &Source) -> bool {
    source.name.ends_with("/tests") || source.name.ends_with("/fixture")
}

/// The lines without comments. (A `//` in a string cuts its line short, which does no harm.)
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

/// The rooms that a text names: `crate::room`, `crate::{room, room::x}`, `summarizer::room`.
fn rooms_used(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    let whole: String = code(text).flat_map(|(_, line)| [line, "\n"]).collect();
    for root in ["crate::", "summarizer::"] {
        for (at, _) in whole.match_indices(root) {
            let rest = &whole[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(list) => used.extend(top_level_names(list)),
                None => used.push(first_name(rest)),
            }
        }
    }
    used.retain(|name| ROOMS.contains(&name.as_str()));
    used.sort();
    used.dedup();
    used
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of `a, b::c, d::{e, f}}…`, up to the brace that ends it.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(first_name(std::mem::take(&mut item).trim())),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    names.push(first_name(item.trim()));
    names
}

fn place(room: &str) -> usize {
    let place = ROOMS.iter().position(|r| *r == room);
    place.unwrap_or_else(|| panic!("room \"{room}\" is not in the list of rooms"))
}

#[test]
fn a_room_uses_only_rooms_before_it() {
    let mut violations = Vec::new();
    for source in sources("src").iter().filter(|s| s.name != "lib") {
        let own = place(&source.room);
        for used in rooms_used(&source.text) {
            if place(&used) > own {
                violations.push(format!("{} uses {used}", source.name));
            }
        }
    }
    assert!(violations.is_empty(), "rooms that use later ones:\n{}", violations.join("\n"));
}

#[test]
fn every_room_is_in_the_order_that_the_document_tells() {
    let document = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let mut last = 0;
    for room in ROOMS {
        let row = format!("| `{room}` |");
        let at = document.find(&row).unwrap_or_else(|| panic!("ARCHITECTURE.md lacks {row}"));
        assert!(at > last, "ARCHITECTURE.md tells {room} in another order");
        last = at;
    }
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("it is there");
    let modules = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in modules {
        assert!(ROOMS.contains(&room), "room {room} is not in the list");
        // Who wants to hear more of one may name it.
        let text = std::fs::read_to_string(root().join("schemas/wikipedia.toml")).unwrap();
        let text = format!("{text}\n[log]\nlevel = \"info,summarizer::{room}=debug\"");
        Config::parse(&text, Path::new("log.toml")).unwrap();
    }
}

#[test]
fn what_is_absent_stays_absent() {
    let mut violations = Vec::new();
    let all = sources("src");
    for (text, allowed) in ABSENCES {
        for source in &all {
            if is_test(source) || allowed.iter().any(|a| source.name == *a || source.room == *a) {
                continue;
            }
            for (line, _) in code(&source.text).filter(|(_, line)| line.contains(text)) {
                violations.push(format!("src/{}.rs:{line}: {text}", source.name));
            }
        }
    }
    assert!(violations.is_empty(), "must not be there:\n{}", violations.join("\n"));
}

#[test]
fn unsafe_code_is_in_three_files() {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for source in sources("src").iter().chain(&sources("sketches/src")) {
        let mut code = code(&source.text);
        let found = code.find(|(_, line)| line.split(|c| !is_word(c)).any(|w| w == "unsafe"));
        if let Some((line, _)) = found {
            let allowed =
                ["prefetch", "connections/limit", "shard/rows"].contains(&source.name.as_str());
            assert!(allowed, "{}:{line}", source.path.display());
        }
    }
}

/// The crate of sketches is pure: values in, values out.
#[test]
fn sketches_know_no_world() {
    for source in sources("sketches/src") {
        for word in
            ["std::fs", "std::net", "std::env", "std::thread", "std::time", "Mutex", "rand::"]
        {
            let found = code(&source.text).find(|(_, line)| line.contains(word));
            if let Some((line, _)) = found {
                panic!("{}:{line}: {word}", source.path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let longer: BTreeMap<_, _> = LONGER.into();
    for source in sources("src").iter().chain(&sources("sketches/src")) {
        let path = source.path.display();
        assert!(source.text.starts_with("//! "), "{path} does not open with what it is");
        let lines = source.text.lines().count();
        let most = longer.get(source.name.as_str()).copied().unwrap_or(MAX_LINES);
        assert!(lines <= most, "{path} has {lines} lines, more than {most}");
        if let Some(most) = longer.get(source.name.as_str()) {
            assert!(*most > MAX_LINES && lines > MAX_LINES, "{path} need not be listed any more");
        }
    }
}

#[test]
fn names_are_found_in_lists() {
    let text = "use crate::{clock, row::{Row, Key}, shard::x};\nlet a = crate::store::open(); // crate::cli";
    assert_eq!(rooms_used(text), ["clock", "row", "shard", "store"]);
}

/// The documents, and what they are read for.
const DOCUMENTS: [&str; 5] =
    ["ARCHITECTURE.md", "README.md", "ops/METRICS.md", "ops/RUNBOOK.md", "ops/rsyslog/README.md"];

/// The links of a document: their text and the file that they lead to.
fn links(text: &str) -> Vec<(String, String)> {
    let mut links = Vec::new();
    for (at, _) in text.match_indices("](") {
        let before = text[..at].rfind('[').map_or("", |from| &text[from + 1..at]);
        let target = text[at + 2..].split(')').next().unwrap_or_default();
        let target = target.split('#').next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") {
            links.push((before.trim_matches('`').to_owned(), target.to_owned()));
        }
    }
    links
}

#[test]
fn links_lead_somewhere() {
    for document in DOCUMENTS {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{document}: {e}"));
        let folder = path.parent().expect("it is in a folder");
        for (shown, target) in links(&text) {
            let file = folder.join(&target);
            assert!(file.exists(), "{document} links to {target}, which is not there");
            // A link that shows a name leads to the file that has it.
            let name = shown.rsplit("::").next().unwrap_or_default();
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if target.ends_with(".rs") && is_name {
                let source = std::fs::read_to_string(&file).expect("it is a file");
                assert!(source.contains(name), "{document}: {target} has no {shown}");
            }
        }
    }
}

#[test]
fn tests_that_are_named_are_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    let (_, table) = text.split_once("## Invariants").expect("it has invariants");
    let mut all = String::new();
    for folder in ["src", "sketches/tests", "tests"] {
        sources(folder).iter().for_each(|s| all.push_str(&s.text));
    }
    let names = table.split('`').skip(1).step_by(2);
    let tests: Vec<_> =
        names.filter(|n| n.matches('_').count() >= 2 && *n == n.to_lowercase()).collect();
    assert!(tests.len() > 10, "{tests:?}");
    for test in tests {
        assert!(all.contains(&format!("fn {test}(")), "no test is called {test}");
    }
}
