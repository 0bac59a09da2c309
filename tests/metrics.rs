//! Keeps `ops/METRICS.md` true: it lists every counter of the program and no other, and marks
//! every loss.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use summarizer::ingest::Reason;
use summarizer::metrics::Metrics;

/// The names of the tables, and their lines.
fn listed() -> BTreeMap<String, String> {
    let path = Path::new("ops/METRICS.md");
    let text = std::fs::read_to_string(path).expect("ops/METRICS.md is there");
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let Some(name) = line.strip_prefix("| `").and_then(|l| l.split('`').next()) else {
            continue;
        };
        let before = listed.insert(name.to_owned(), line.to_owned());
        assert!(before.is_none(), "{name} is listed twice");
    }
    listed
}

/// The names that the program has, as `{"get":"stats"}` shows them.
fn counted() -> Vec<String> {
    let reasons: Vec<_> = Reason::ALL.iter().map(|r| r.name()).collect();
    let metrics = Metrics::new(&reasons, 1, &["name".to_owned()]);
    let mut names: Vec<String> = reasons.iter().map(|r| format!("refused.{r}")).collect();
    let Value::Object(shown) = metrics.to_json() else { panic!("an object") };
    for (name, value) in shown {
        let inner = match (name.as_str(), value) {
            ("refused", _) => continue,
            ("shards", Value::Array(shards)) => shards[0].clone(),
            ("summaries", Value::Object(summaries)) => summaries["name"].clone(),
            (_, _) => {
                names.push(name);
                continue;
            }
        };
        let inner = inner.as_object().expect("an object");
        names.extend(inner.keys().map(|key| format!("{name}.{key}")));
    }
    names.sort();
    names
}

#[test]
fn the_document_lists_every_counter_and_no_other() {
    let listed: Vec<String> = listed().into_keys().collect();
    assert_eq!(listed, counted());
}

#[test]
fn the_document_marks_every_loss() {
    let listed = listed();
    for (name, meaning) in Metrics::NAMES {
        let line = &listed[*name];
        assert_eq!(meaning.contains("LOSS"), line.contains("**LOSS**"), "{line}");
        // The program's own sentence, up to what follows the first stop or semicolon.
        let sentence = meaning.split([';', '.']).next().unwrap_or_default();
        assert!(line.contains(sentence), "{name}: \"{sentence}\" is not in {line}");
    }
}
