//! Real sales lines, sent as CSV by the program itself: 305 days, exact counts, customers
//! merged over months, and what a spreadsheet's CSV holds that is awkward.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::json;
use summarizer::clock::Clock;
use support::{TestServer, example, free_port, real_data};

#[derive(Default)]
struct Expected {
    lines: u64,
    negative: u64,
    quantity: i64,
    customers: BTreeSet<String>,
}

#[test]
fn a_year_of_sales() {
    let Some(data) = real_data("online-retail") else { return };
    let file = data.join("online-retail.csv.gz");
    let mut days: BTreeMap<String, Expected> = BTreeMap::new();
    let mut countries: BTreeMap<String, u64> = BTreeMap::new();
    let mut descriptions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut rows =
        csv::Reader::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(&file).unwrap()));
    for row in rows.records() {
        let row = row.unwrap();
        let day = days.entry(row[4][..10].to_owned()).or_default();
        let quantity: i64 = row[3].parse().unwrap();
        day.lines += 1;
        day.negative += u64::from(quantity < 0);
        day.quantity += quantity;
        if !row[6].is_empty() {
            day.customers.insert(row[6].to_owned());
        }
        *countries.entry(row[7].to_owned()).or_default() += 1;
        descriptions.entry(row[1].to_owned()).or_default().insert(row[2].to_owned());
    }
    assert_eq!((days.len(), days.values().map(|d| d.lines).sum::<u64>()), (305, 541_909));

    let folder = tempfile::tempdir().unwrap();
    let config = example("retail.toml");
    let server = TestServer::start_at(folder.path(), &config, Clock::system(), Some(free_port()));
    let sent = Command::new(env!("CARGO_BIN_EXE_summarizer"))
        .args(["send", "--to", &server.ingest(), "--csv", "--id", "row"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    server.wait_for(541_909);
    assert_eq!(server.counter("events_refused"), 0);

    // Every day: counts exact, customers (all days have few) exact.
    let answer = server.ask(r#"{"summary":"days","by":["day"],"select":["lines","returned_lines","quantity","customers"]}"#);
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 305);
    for (row, (day, expected)) in rows.iter().zip(&days) {
        let Expected { lines, negative, quantity, customers } = expected;
        assert_eq!(*row, json!([day, lines, negative, quantity, customers.len()]));
    }
    assert_eq!(answer["totals"][1], 541_909);
    assert_eq!(answer["totals"][2], 10_624);
    let all = answer["totals"][4].as_f64().unwrap();
    assert!((all - 4372.0).abs() < 3.0 * 0.0081 * 4372.0, "{all}");

    let answer = server.ask(r#"{"summary":"countries","by":["country"],"select":["lines"]}"#);
    let found: BTreeMap<String, u64> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r[0].as_str().unwrap().to_owned(), r[1].as_u64().unwrap()))
        .collect();
    assert_eq!(found, countries);
    assert_eq!((found.len(), found["United Kingdom"]), (38, 495_478));

    // Customers of a month are merged from its days, not added up.
    for month in ["2010-12", "2011-03", "2011-11"] {
        let question = json!({ "summary": "days", "from": format!("{month}-01"), "to": format!("{month}-30"), "select": ["customers"] });
        let merged = server.ask(&question.to_string())["rows"][0][0].as_u64().unwrap();
        let of_month = || {
            days.iter()
                .filter(|(day, _)| day.starts_with(month) && !day.ends_with("31"))
                .map(|(_, d)| &d.customers)
        };
        let exact = of_month().flatten().collect::<BTreeSet<_>>().len() as u64;
        let added: usize = of_month().map(BTreeSet::len).sum();
        assert_eq!(merged, exact, "up to some thousands the count is exact");
        assert!(merged < added as u64);
    }

    // Quoted commas and quotes come through.
    let answer = server.ask(r#"{"summary":"stock","by":["stock_code"],"select":["description"]}"#);
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4070);
    let mut awkward = 0;
    for row in rows {
        let (code, description) = (row[0].as_str().unwrap(), row[1].as_str().unwrap_or(""));
        assert!(descriptions[code].contains(description), "{code}: {description:?}");
        awkward += usize::from(description.contains(',') || description.contains('"'));
    }
    assert!(awkward > 20, "{awkward}");
}
