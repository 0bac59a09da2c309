//! `DATA/origin.json`: which store the published days came from, and how many of its events they
//! hold. A store that is lost, foreign or older than what was published from it would replace
//! whole days by parts of them; so it is told from the right one before anything is published.
//!
//! In: the data folder and its store. Out: the file, or a sentence that says what does not fit.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable::{self, FileError};
use super::files;
use crate::config::expect_file;
use crate::store::{Database, Store};

/// What the data folder says of its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The store's identity.
    store: String,
    /// All events before this sequence number may be in published days.
    published_sequence: u64,
}

/// The origin of what is published in a data folder.
pub struct Origin {
    data_dir: PathBuf,
    told: Told,
}

/// The way on, whatever does not fit.
fn way_on(data_dir: &Path) -> String {
    format!(
        "put the store back that belongs there (from a copy of the whole data folder), or, to begin \
         anew, move all of {} away",
        data_dir.display()
    )
}

impl Origin {
    /// Refuses a data folder whose store is gone. To be called before a store is made.
    ///
    /// # Errors
    /// One sentence.
    pub fn expect_store(data_dir: &Path, store: &Path) -> Result<(), String> {
        if Store::is_in(store) {
            return Ok(());
        }
        let lost = match read(data_dir)? {
            Some(_) => true,
            // Of a time when nobody kept it.
            None => has_published(data_dir)?,
        };
        let (store, way_on) = (store.display(), way_on(data_dir));
        if lost {
            Err(format!("there is no store in {store}, and there was: {way_on}"))
        } else {
            Ok(())
        }
    }

    /// Refuses a store that is not the one that the published days of a data folder came from.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(data_dir: &Path, database: &Database) -> Result<(), String> {
        let identity = database.identity().map_err(|e| e.to_string())?;
        judge(data_dir, database, identity.as_deref()).map(|_| ())
    }

    /// The origin of a data folder whose store was opened; `make_identity` names a store that
    /// has no identity yet.
    ///
    /// # Errors
    /// One sentence, where the store is not the one that the published days came from.
    pub fn of(
        data_dir: &Path,
        database: &Database,
        make_identity: impl FnOnce() -> String,
    ) -> Result<Self, String> {
        let known = database.identity().map_err(|e| e.to_string())?;
        let told = judge(data_dir, database, known.as_deref())?;
        let identity = known.clone().unwrap_or_else(make_identity);
        if known.is_none() {
            database.set_identity(&identity).map_err(|e| e.to_string())?;
        }
        let is_new = told.is_none();
        let told = told.unwrap_or(Told { store: identity, published_sequence: 0 });
        let origin = Self { data_dir: data_dir.to_owned(), told };
        if is_new {
            origin.write().map_err(|e| e.to_string())?;
        }
        Ok(origin)
    }

    /// Notes, before days are published with them, that all events before a sequence number may
    /// be in published days.
    ///
    /// # Errors
    /// Where that does not come to the disk; then nothing may be published.
    pub fn note(&mut self, sequence: u64) -> Result<(), FileError> {
        if sequence <= self.told.published_sequence {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.told.published_sequence, sequence);
        self.write().inspect_err(|_| self.told.published_sequence = before)
    }

    fn write(&self) -> Result<(), FileError> {
        // A plain struct of a text and a number has a JSON form.
        let json = serde_json::to_string_pretty(&self.told).unwrap_or_default() + "\n";
        durable::write(&self.data_dir, files::ORIGIN, json.as_bytes()).map(|_| ())
    }
}

/// What a data folder says of its store; none: nothing yet. An error where the store, which has
/// this identity, contradicts it.
fn judge(
    data_dir: &Path,
    database: &Database,
    identity: Option<&str>,
) -> Result<Option<Told>, String> {
    let position = database.position().map_err(|e| e.to_string())?;
    let (folder, way_on) = (database.folder().display(), way_on(data_dir));
    let Some(told) = read(data_dir)? else {
        if position.sequence == 0 && has_published(data_dir)? {
            return Err(format!(
                "the store in {folder} is empty, but there are published days: {way_on}"
            ));
        }
        return Ok(None);
    };
    if identity != Some(&told.store) {
        return Err(format!("the store in {folder} is not that of this data folder: {way_on}"));
    }
    if told.published_sequence > position.sequence {
        return Err(format!(
            "the store in {folder} is older than the published days: it holds {} events, they {}: \
             {way_on}",
            position.sequence, told.published_sequence
        ));
    }
    Ok(Some(told))
}

/// What a data folder says of its store; none: nothing yet.
fn read(data_dir: &Path) -> Result<Option<Told>, String> {
    let path = data_dir.join(files::ORIGIN);
    expect_file(&path).map_err(|e| e.to_string())?;
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::of(&path)(error).to_string()),
        Ok(json) => match serde_json::from_slice(&json) {
            Ok(told) => Ok(Some(told)),
            // Another store or none would then be taken for the right one.
            Err(error) => {
                let (path, way_on) = (path.display(), way_on(data_dir));
                Err(format!("{path} is damaged ({error}): {way_on}"))
            }
        },
    }
}

/// Whether any day was ever published in a data folder.
fn has_published(data_dir: &Path) -> Result<bool, String> {
    let root = files::root(data_dir);
    let said = |e| FileError::of(&root)(e).to_string();
    for summary in files::names(&root).map_err(said)? {
        let folder = root.join(summary);
        // What is no folder is none of ours.
        let names = if folder.is_dir() { files::names(&folder).map_err(said)? } else { continue };
        if names.iter().any(|name| files::Name::parse(name).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(data: &Path, name: &str) -> Result<Origin, String> {
        let store = data.join("store");
        Origin::expect_store(data, &store)?;
        let store = Store::open(&store, 100).unwrap();
        let database = store.database().unwrap();
        Origin::of(data, &database, || name.to_owned())
    }

    fn publish(data: &Path) {
        std::fs::create_dir_all(data.join("snapshots/pages")).unwrap();
        std::fs::write(data.join("snapshots/pages/2026-11-20.r1.csv"), "").unwrap();
    }

    #[test]
    fn a_store_that_is_not_the_one_that_was_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (here, other) = (folder.path().join("here"), folder.path().join("other"));
        for (data, name) in [(&here, "a"), (&other, "b"), (&here, "c")] {
            assert_eq!(open(data, name).map(|o| o.told.published_sequence), Ok(0));
        }
        publish(&here);
        open(&here, "d").unwrap().note(7).unwrap();
        let error = open(&here, "d").err().unwrap();
        assert!(error.contains("holds 0 events, they 7"), "{error}");

        std::fs::rename(here.join("store"), here.join("lost")).unwrap();
        let error = open(&here, "d").err().unwrap();
        assert!(error.contains("there is no store in") && error.contains("move all of"), "{error}");
        assert!(!here.join("store").exists(), "nothing is made in its place");

        std::fs::rename(other.join("store"), here.join("store")).unwrap();
        let error = open(&here, "d").err().unwrap();
        assert!(error.contains("not that of this data folder"), "{error}");

        std::fs::write(here.join(files::ORIGIN), "{}").unwrap();
        let error = open(&here, "d").err().unwrap();
        assert!(error.contains("is damaged"), "{error}");
    }

    #[test]
    fn days_published_before_anybody_kept_their_origin_count_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        publish(data);
        let error = open(data, "a").err().unwrap();
        assert!(error.contains("there is no store in"), "{error}");
        // An empty one that was made since.
        Store::open(&data.join("store"), 100).unwrap();
        let error = open(data, "a").err().unwrap();
        assert!(error.contains("is empty, but there are published days"), "{error}");
        assert!(!data.join(files::ORIGIN).exists());
    }
}
