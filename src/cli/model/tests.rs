//! The judge must accept what is right and notice every kind of mistake.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::*;
use crate::cli::workload::{Generator, LAST_DAY};
use crate::config::{AggregateKind, Config};

/// Right files, computed the slow way from the JSON of the events.
fn publish(events: &[Event], folder: &Path) {
    for (summary, dimensions) in SUMMARIES {
        type Row = (u64, u64, HashSet<String>, Vec<f64>);
        let mut days: BTreeMap<String, BTreeMap<String, Row>> = BTreeMap::new();
        for event in events {
            let mut line = Vec::new();
            event.write_json(&mut line);
            let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
            let key: Vec<&str> = dimensions.iter().map(|d| json[d].as_str().unwrap()).collect();
            let day = crate::event::timestamp(event.ts_ms * 1000)[..10].to_owned();
            let row = days.entry(day).or_default().entry(key.join(",")).or_default();
            row.0 += 1;
            row.1 += u64::from(event.cost_micros);
            row.2.insert(json["user"].to_string());
            row.3.push(json["latency_ms"].as_f64().unwrap());
        }
        std::fs::create_dir_all(folder.join(summary)).unwrap();
        for (day, rows) in days {
            let mut text = format!("day,{},{}\n", dimensions.join(","), COLUMNS.join(","));
            for (key, (count, cost, users, mut latencies)) in rows {
                latencies.sort_by(f64::total_cmp);
                let at = |q: f64| latencies[(q * (latencies.len() - 1) as f64) as usize];
                let quantiles = [0.5, 0.9, 0.95, 0.99].map(|q| at(q).to_string()).join(",");
                let (cost, users) = (format!("0.{cost:06}"), users.len());
                text += &format!("{day},{key},{count},{cost},{users},0,\\x148b7f,{quantiles}\n");
            }
            std::fs::write(folder.join(summary).join(format!("{day}.csv")), text).unwrap();
        }
    }
}

#[test]
fn right_files_pass_and_every_mistake_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<Event> = Generator::new(1, 300, 2, LAST_DAY).unwrap().collect();
    publish(&events, folder.path());
    let mut model = Model::new();
    events.iter().for_each(|event| model.add(event));
    assert_eq!(model.len(), 300);
    let right = model.compare(folder.path()).unwrap();
    assert!(right.is_right(), "{right:?}");
    assert_eq!((right.rows, right.collisions), (right.compared, 0));

    let path = folder.path().join("browser/2026-11-20.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let cells: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    let changed = |column: usize, cell: &str| {
        let mut changed = cells.clone();
        changed[column] = cell;
        text.replacen(&cells.join(","), &changed.join(","), 1)
    };
    let users: u64 = cells[4].parse().unwrap();
    let slow = (cells[8].parse::<f64>().unwrap() * 1.02).to_string();
    let first = format!("{}\n", cells.join(","));
    let mistakes = [
        ("events is 1,", changed(2, "1")),
        ("cost is 0.000001,", changed(3, "0.000001")),
        ("users is", changed(4, &(users + 2).to_string())),
        ("users_hll", changed(6, "\\x14ZZ")),
        ("latency_p90", changed(8, &slow)),
        ("missing", text.replacen(&first, "", 1)),
        ("twice", format!("{text}{first}")),
        ("no events", format!("{text}{}", first.replace("chrome", "lynx"))),
        ("no events", changed(0, "2026-11-19")),
    ];
    for (what, wrong) in mistakes {
        std::fs::write(&path, wrong).unwrap();
        let comparison = model.compare(folder.path()).unwrap();
        assert!(!comparison.is_right(), "{what}");
        assert!(comparison.examples.iter().any(|e| e.contains(what)), "{what}: {comparison:?}");
    }
    std::fs::write(&path, &text).unwrap();
    std::fs::write(folder.path().join("browser/2026-11-25.csv"), "").unwrap();
    assert_eq!(model.compare(folder.path()).unwrap().mismatches, 1);
    std::fs::remove_file(&path).unwrap();
    assert!(model.compare(folder.path()).is_err());
}

#[test]
fn a_key_tells_every_dimension() {
    for event in Generator::new(2, 1000, 1, LAST_DAY).unwrap() {
        let parts = [
            ("placement", format!("p{}", event.placement)),
            ("campaign", format!("c{}", event.campaign)),
            ("region", format!("r{}", event.region)),
            ("country", COUNTRIES[usize::from(event.country)].to_owned()),
            ("ad_size", AD_SIZES[usize::from(event.ad_size)].to_owned()),
            ("browser", BROWSERS[usize::from(event.browser)].to_owned()),
            ("event", KINDS[usize::from(event.kind)].to_owned()),
        ];
        let bits = parts.iter().map(|(name, text)| bits_of(name, text).unwrap()).sum::<u64>();
        assert_eq!(key(&event), bits | (LAST_DAY as u64) << DAY_PLACE);
    }
    assert_eq!(mask(&PLACES.map(|p| p.0)), u64::MAX);
    assert_eq!(bits_of("browser", "lynx"), None);
    assert_eq!(bits_of("region", "r64"), None);
}

#[test]
fn the_configuration_has_these_summaries() {
    let path = Path::new("schemas/adtech.toml");
    let config = Config::load(path).unwrap();
    let schema = &config.schema;
    assert_eq!(schema.summaries.len(), SUMMARIES.len());
    for (summary, (name, dimensions)) in schema.summaries.iter().zip(SUMMARIES) {
        assert_eq!(summary.name, name);
        let names = summary.dimensions.iter().map(|d| schema.fields[*d].name.as_str());
        assert!(names.eq(dimensions.iter().copied()));
        let aggregates: Vec<&str> = summary.aggregates.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(aggregates, ["events", "cost", "users", "latency"]);
        let error = summary.aggregates.iter().find_map(|a| match a.kind {
            AggregateKind::Quantile { error, .. } => Some(error),
            _ => None,
        });
        assert_eq!(error, Some(0.01));
    }
}
