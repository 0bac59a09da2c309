//! Files of a checkpoint on their way into the store: `DATA/store.staging/NUMBER/`.
//!
//! RocksDB takes them over as links of its own, and removes these links where it says that it
//! failed. Where it failed to make its manifest durable, that is wrong: the manifest may name
//! them all the same, and a store whose manifest names a file that is not there cannot be opened
//! any more. The files here are still there then, and [`give_back`] links them to the names that
//! are missing.

use std::path::{Path, PathBuf};

use super::StoreError;

/// Where files of checkpoints are made, beside the store in `folder`.
pub(super) fn root(folder: &Path) -> PathBuf {
    folder.with_extension("staging")
}

/// The name of a shard's rows of a generation. The order of names is that in which the files are
/// taken over.
pub(super) fn rows_name(generation: u64, shard: usize) -> String {
    format!("{generation:020}-{shard:03}.sst")
}

/// The name of the records; the last one.
pub(super) const RECORDS: &str = "records.sst";

/// Opens the store in `folder` with `open`, where need be after giving back to it the files of a
/// checkpoint that its manifest names and that are only here.
///
/// # Errors
/// Those of `open`.
pub(super) fn open<T>(
    folder: &Path,
    open: impl Fn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let error = match open() {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    let Some(missing) = missing_table(&error) else { return Err(error) };
    for files in checkpoints(folder) {
        if let Some(opened) = give_back(folder, &files, missing, &open) {
            return Ok(opened);
        }
    }
    Err(error)
}

/// Links files to the numbers that they had when the store took them over: consecutive ones, in
/// the order of the files, of which one is `missing`. The store itself says whether the numbers
/// are right: its manifest has the size and the unique id of each.
fn give_back<T>(
    folder: &Path,
    files: &[PathBuf],
    missing: u64,
    open: impl Fn() -> Result<T, StoreError>,
) -> Option<T> {
    for place in 0..files.len() as u64 {
        let Some(first) = missing.checked_sub(place) else { break };
        let names = (first..).map(|number| folder.join(format!("{number:06}.sst")));
        let links: Vec<(&PathBuf, PathBuf)> = files.iter().zip(names).collect();
        if links.iter().any(|(_, name)| name.exists()) {
            continue;
        }
        let linked = links.iter().all(|(file, name)| std::fs::hard_link(file, name).is_ok());
        if linked && let Ok(opened) = open() {
            return Some(opened);
        }
        for (_, name) in links {
            // Those that were not linked are not there.
            let _ = std::fs::remove_file(name);
        }
    }
    None
}

/// The number of the table that an error says is missing.
fn missing_table(error: &StoreError) -> Option<u64> {
    let (before, _) = error.0.split_once(".sst: No such file")?;
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Whether the file that an error says is missing may be here.
pub(super) fn has_missing(folder: &Path, error: &StoreError) -> bool {
    missing_table(error).is_some() && checkpoints(folder).iter().any(|files| !files.is_empty())
}

/// The files of each checkpoint that is here, in the order in which they are taken over.
fn checkpoints(folder: &Path) -> Vec<Vec<PathBuf>> {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    entries(&root(folder)).iter().map(|checkpoint| entries(checkpoint)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_table_is_read_from_the_error() {
        let error = "Corruption: IO error: No such file or directory: While open a file for random \
            read: /d/store/000480.sst: No such file or directory";
        assert_eq!(missing_table(&StoreError(error.to_owned())), Some(480));
        for other in
            ["IO error: While lock file: /d/store/LOCK: No such file", ".sst: No such file"]
        {
            assert_eq!(missing_table(&StoreError(other.to_owned())), None, "{other}");
        }
    }

    #[test]
    fn names_order_as_the_files_are_taken_over() {
        let names = [rows_name(1, 0), rows_name(1, 1), rows_name(1, 10), rows_name(2, 0)];
        assert!(names.is_sorted() && names[3].as_str() < RECORDS);
    }
}
