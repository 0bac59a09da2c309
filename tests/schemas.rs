//! Every configuration in `schemas/` loads and can be started as it is.

use std::path::{Path, PathBuf};

use summarizer::config::Config;

fn schemas() -> Vec<PathBuf> {
    let folder = Path::new("schemas");
    let entries = std::fs::read_dir(folder).expect("schemas/ is there");
    let mut paths: Vec<_> = entries.map(|e| e.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths
}

fn load(path: &Path) -> Config {
    Config::load(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_loads() {
    let paths = schemas();
    for name in ["reference", "retail", "syslog", "wikipedia"] {
        assert!(paths.iter().any(|p| p.ends_with(format!("{name}.toml"))), "{name}.toml is there");
    }
    for path in paths {
        let config = load(&path);
        assert!(!config.schema.summaries.is_empty(), "{}", path.display());
    }
}

/// An example is there to be started as it is, after another one was: only on the loopback,
/// and with a folder of its own. The reference is there to be read, and shows the default.
#[test]
fn each_is_safe_to_start_as_it_is() {
    let mut folders = std::collections::HashMap::new();
    for path in schemas() {
        let config = load(&path);
        for address in config.ingest.bind.iter().chain(&config.query.bind) {
            assert!(address.starts_with("tcp://127.0.0.1:"), "{}: {address}", path.display());
        }
        if path.ends_with("reference.toml") {
            continue;
        }
        if let Some(other) = folders.insert(config.data_dir, path.clone()) {
            panic!("{} and {} share a folder", path.display(), other.display());
        }
    }
}
