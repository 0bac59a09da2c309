//! The benchmark, run small so that it cannot rot: the program itself starts a server and a
//! sender, and every row that comes of it is compared with the exact model.

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
