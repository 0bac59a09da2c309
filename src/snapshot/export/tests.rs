//! Publications from a store of their own: revisions, damage, a full disk.

use super::*;
use crate::key::KeyValue;
use crate::snapshot::fixture::{World, site};

const DAY: i32 = 20_777; // 2026-11-20

fn order(complete: bool, excel: bool) -> Order {
    Order { summary: 0, day: DAY, complete, excel }
}

fn publish(world: &World, order: &Order) -> Result<Option<Published>, Failure> {
    let database = world.store.database().unwrap();
    world.exporter().with_excel_rows(2).publish(&database.reader().unwrap(), order)
}

fn revision(world: &World, order: &Order) -> Option<u32> {
    publish(world, order).unwrap().unwrap().revision
}

fn world() -> World {
    let mut world = World::new(|_| ());
    world.put(DAY, &site("b"), 4, DayRecord::default());
    world
}

#[test]
fn a_revision_is_data_manifest_and_link() {
    let mut world = world();
    world.put(DAY, &KeyValue::Null, 1, DayRecord::default());
    world.put(DAY, &site(""), 2, DayRecord::default());
    world.put(DAY, &site("a,\"\n"), 3, DayRecord::default());
    let published = publish(&world, &order(true, false)).unwrap().unwrap();
    assert_eq!((published.revision, published.rows, published.complete), (Some(1), 4, true));
    assert_eq!(world.names(), ["2026-11-20.csv", "2026-11-20.r1.csv", "2026-11-20.r1.json"]);
    let tail = "0.000010,,,,,,,,\"=cmd, \"\"x\"\"\"";
    let csv = world.text("2026-11-20.csv");
    let expected = format!(
        "day,site,price,views,cost,users,users_error,users_hll,latency_p50,latency_p90,\
         latency_p95,latency_p99,page,cost_per_view\r\n\
         2026-11-20,,1.00,1,{tail},0.00001\r\n\
         2026-11-20,\"\",1.00,2,{tail},0.000005\r\n\
         2026-11-20,\"a,\"\"\n\",1.00,3,{tail},0.0000033333333333333337\r\n\
         2026-11-20,b,1.00,4,{tail},0.0000025\r\n"
    );
    assert_eq!(csv, expected);
    let manifest: serde_json::Value =
        serde_json::from_str(&world.text("2026-11-20.r1.json")).unwrap();
    let sha256: String = Sha256::digest(&csv).iter().map(|b| format!("{b:02x}")).collect();
    for (key, value) in [
        ("summary", serde_json::json!("sites")),
        ("day", "2026-11-20".into()),
        ("zone", "UTC".into()),
        ("revision", 1.into()),
        ("complete", true.into()),
        ("rows", 4.into()),
        ("events", 10.into()),
        ("sha256", sha256.into()),
        ("bytes", csv.len().into()),
        ("journal_position", 40.into()),
        ("checkpoint", 4.into()),
        ("definition", 1.into()),
        ("files", serde_json::json!([{"name": "2026-11-20.r1.csv", "dialect": "exact"}])),
    ] {
        assert_eq!(manifest[key], value, "{key}");
    }
    assert_eq!(manifest["columns"][2], serde_json::json!({"name": "price", "type": "decimal(2)"}));
    assert_eq!(manifest["sketches"][0]["log2m"], 14);
}

#[test]
fn unchanged_content_makes_no_revision() {
    let mut world = world();
    assert_eq!(revision(&world, &order(false, false)), Some(1));
    assert_eq!(revision(&world, &order(false, false)), None);
    // Complete is news, though the rows are the same.
    assert_eq!(revision(&world, &order(true, false)), Some(2));
    assert_eq!(revision(&world, &order(true, false)), None);
    world.put(DAY, &site("b"), 5, DayRecord::default());
    assert_eq!(revision(&world, &order(true, false)), Some(3));
    assert!(world.text("2026-11-20.csv").contains(",b,1.00,5,"));
}

#[test]
fn only_the_newest_revisions_are_kept() {
    let mut world = World::new(|config| config.snapshots.keep_revisions = 2);
    for views in 1..=4 {
        world.put(DAY, &site("b"), views, DayRecord::default());
        world.put(DAY + 1, &site("b"), views, DayRecord::default());
        publish(&world, &Order { day: DAY + 1, ..order(true, false) }).unwrap();
        assert_eq!(revision(&world, &order(true, views < 4)), Some(views as u32));
    }
    let mut names = world.names();
    names.retain(|name| name.starts_with("2026-11-20"));
    assert_eq!(
        names,
        [
            "2026-11-20.csv",
            "2026-11-20.r3.csv",
            "2026-11-20.r3.excel.csv",
            "2026-11-20.r3.json",
            "2026-11-20.r4.csv",
            "2026-11-20.r4.json",
        ]
    );
}

#[test]
fn the_dialect_for_spreadsheets_is_split_and_added_later_too() {
    let mut world = world();
    assert_eq!(revision(&world, &order(true, false)), Some(1));
    world.put(DAY, &site("=1"), 1, DayRecord::default());
    world.put(DAY, &site("a"), 1, DayRecord::default());
    assert_eq!(revision(&world, &order(true, false)), Some(2));
    let published = publish(&world, &order(true, true)).unwrap().unwrap();
    assert_eq!((published.revision, published.excel.len()), (None, 2));
    let second = world.text("2026-11-20.r2.excel.2.csv");
    assert!(second.starts_with("\u{feff}\"day\",\"site\",\"price\",\"views\",\"cost\",\"users\""));
    let first = world.text("2026-11-20.r2.excel.csv");
    assert!(first.contains("2026-11-20,\"'=1\",1.00,1,"), "{first}");
    assert!(first.contains("\"'=cmd, \"\"x\"\"\""), "{first}");
    let manifest = Manifest::from_json(world.text("2026-11-20.r2.json").as_bytes()).unwrap();
    assert_eq!(
        manifest.excel_files().collect::<Vec<_>>(),
        ["2026-11-20.r2.excel.csv", "2026-11-20.r2.excel.2.csv"]
    );
    let before = world.names();
    assert_eq!(revision(&world, &order(true, true)), None);
    assert_eq!(world.names(), before);
}

#[test]
fn what_is_missing_or_damaged_is_published_again() {
    let world = world();
    assert_eq!(revision(&world, &order(true, false)), Some(1));
    let folder = world.folder.path().join("snapshots/sites");
    // A link that a dead run did not make.
    std::fs::remove_file(folder.join("2026-11-20.csv")).unwrap();
    assert_eq!(revision(&world, &order(true, false)), None);
    assert!(world.text("2026-11-20.csv").contains(",b,"));
    std::fs::write(folder.join("2026-11-20.r1.csv"), "cut").unwrap();
    assert_eq!(revision(&world, &order(true, false)), Some(2));
    std::fs::write(folder.join("2026-11-20.r2.json"), "{").unwrap();
    assert_eq!(revision(&world, &order(true, false)), Some(3));
    assert!(world.text("2026-11-20.csv").contains(",b,"));
}

#[test]
fn no_name_of_a_file_ends_a_publication() {
    let mut world = world();
    assert_eq!(revision(&world, &order(true, false)), Some(1));
    let folder = world.folder.path().join("snapshots/sites");
    let copy = |from: &str, to: &str| {
        for kind in ["csv", "json"] {
            let name = |revision: &str| folder.join(format!("2026-11-20.{revision}.{kind}"));
            std::fs::copy(name(from), name(to)).unwrap();
        }
    };
    for strange in ["r4294967295", "r4294967294", "r1000000000", "r18446744073709551615", "r0"] {
        copy("r1", strange);
    }
    world.put(DAY, &site("b"), 5, DayRecord::default());
    assert_eq!(revision(&world, &order(true, false)), Some(2));
    assert!(world.text("2026-11-20.csv").contains(",b,1.00,5,"));
    // Where no number is left there is a way on, and nothing is lost.
    copy("r2", "r999999999");
    world.put(DAY, &site("b"), 6, DayRecord::default());
    let Err(Failure::Failed(error)) = publish(&world, &order(true, false)) else { panic!() };
    assert!(error.ends_with("r999999999.csv; move it away"), "{error}");
    for kind in ["csv", "json"] {
        std::fs::remove_file(folder.join(format!("2026-11-20.r999999999.{kind}"))).unwrap();
    }
    assert_eq!(revision(&world, &order(true, false)), Some(3));
}

#[test]
fn a_manifest_of_any_content_ends_no_publication() {
    let mut world = world();
    assert_eq!(revision(&world, &order(true, true)), Some(1));
    let path = world.folder.path().join("snapshots/sites/2026-11-20.r1.json");
    let whole: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let most = u64::MAX;
    for (at, (key, value)) in [
        ("revision", serde_json::json!(u32::MAX)),
        ("revision", serde_json::json!(most)),
        ("bytes", serde_json::json!(most)),
        ("rows", serde_json::json!(most)),
        ("events", serde_json::json!(-1)),
        ("day", serde_json::json!("9999-99-99")),
        ("checkpoint", serde_json::json!(1e300)),
        ("files", serde_json::json!([{"name": "../../../x", "dialect": "excel"}])),
        ("files", serde_json::json!([])),
    ]
    .into_iter()
    .enumerate()
    {
        let mut manifest = whole.clone();
        manifest[key] = value;
        let name = format!("2026-11-20.r{}.json", at + 1);
        manifest["revision"] = match key {
            "revision" => manifest[key].clone(),
            _ => (at + 1).into(),
        };
        std::fs::write(path.with_file_name(name), manifest.to_string()).unwrap();
        world.put(DAY, &site("b"), 100 + at as i64, DayRecord::default());
        assert_eq!(revision(&world, &order(true, true)), Some(at as u32 + 2), "{key}");
    }
}

#[test]
fn days_without_rows_are_not_published() {
    let world = world();
    assert!(publish(&world, &Order { day: DAY - 1, ..order(true, false) }).unwrap().is_none());
    assert!(publish(&world, &Order { summary: 1, ..order(true, false) }).unwrap().is_none());
    assert!(world.names().is_empty());
}

#[test]
fn a_full_disk_or_a_stop_leaves_the_former_revision() {
    let mut world = world();
    assert_eq!(revision(&world, &order(true, false)), Some(1));
    world.put(DAY, &site("c"), 9, DayRecord::default());
    let (before, text) = (world.names(), world.text("2026-11-20.csv"));
    let folder = world.folder.path().join("snapshots/sites");
    // The temporary file of the data, then that of the manifest, on a device that is full.
    for name in ["2026-11-20.r0.csv", "2026-11-20.r2.json"] {
        let full = folder.join(files::temporary(name));
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        match publish(&world, &order(true, false)) {
            Err(Failure::Failed(error)) => {
                assert!(error.contains(&full.display().to_string()), "{error}");
                assert!(error.ends_with("; make room on its disk"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((world.names(), world.text("2026-11-20.csv")), (before.clone(), text.clone()));
    }
    world.stop.store(true, Ordering::Relaxed);
    assert!(matches!(publish(&world, &order(true, true)), Err(Failure::Stopped)));
    assert_eq!((world.names(), world.text("2026-11-20.csv")), (before, text));
    world.stop.store(false, Ordering::Relaxed);
    assert_eq!(revision(&world, &order(true, false)), Some(2));
}

#[test]
fn a_folder_that_cannot_be_is_one_clear_error() {
    let world = world();
    let place = world.folder.path().join("snapshots");
    std::fs::write(&place, "in the way").unwrap();
    let Err(Failure::Failed(error)) = publish(&world, &order(true, false)) else { panic!() };
    assert!(error.starts_with(&place.display().to_string()), "{error}");
    assert!(error.ends_with("; move away what is in its place"), "{error}");
}
