//! The benchmarks, run small so that they cannot rot. For `ingest` the program itself starts
//! a server and a sender, and every row that comes of it is compared with the exact model.

use std::process::Command;

#[test]
fn every_row_of_the_canonical_workload_is_right() {
    for arguments in
        [["--format", "json", "--shards", "1"], ["--format", "protobuf", "--shards", "3"]]
    {
        let run = Command::new(env!("CARGO_BIN_EXE_summarizer"))
            .args(["bench", "ingest", "--events", "20000", "--warm-up", "5000", "--json"])
            .args(arguments)
            .output()
            .unwrap();
        let (told, error) =
            (String::from_utf8(run.stdout).unwrap(), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "{arguments:?}: {error}{told}");
        let report: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(report["right"], true, "{report}");
        assert_eq!(report["refused"], 0);
        assert_eq!(report["comparison"]["rows"], report["rows"]);
        assert!(report["rows"].as_u64().unwrap() > 50_000);
        assert!(report["cpu_us_per_event"].as_f64().is_some_and(|us| us >= 0.0));
        assert!(report["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[test]
fn every_figure_of_the_sketches_is_told() {
    let run = Command::new(env!("CARGO_BIN_EXE_summarizer"))
        .args(["bench", "sketches", "--keys", "2000", "--json"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["keys"], 2000);
    let rows = report["rows"].as_array().unwrap();
    // So few sketches may fit into memory that the process has already.
    let told = |row: &serde_json::Value, column: &str| {
        row[column].as_f64().is_some_and(|figure| figure > 0.0 || row["unit"] == "bytes")
    };
    for row in rows {
        assert!(told(row, "ours"), "{row}");
    }
    assert_eq!(rows.iter().filter(|row| row["wanted_at_most"].is_f64()).count(), 8);
    for peer in ["datasketches", "hyperloglogplus", "sketches-ddsketch"] {
        assert_eq!(rows.iter().filter(|row| told(row, peer)).count(), 4, "{peer}");
    }
}
