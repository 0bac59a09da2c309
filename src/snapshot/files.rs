//! Every name in the folder of published files, made and read back here only.
//!
//! In: a day, a revision, a kind. Out: names, and the revisions that a folder holds. Opens
//! and changes no file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::event::{date, parse_date};

/// The greatest number of a revision; a greater one in a name was not given by us.
const LAST_REVISION: u32 = 999_999_999;

/// What a published file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `DATE.rN.csv`: the rows, in the exact dialect.
    Exact,
    /// `DATE.rN.excel.csv`, `DATE.rN.excel.2.csv`, …: the rows for a spreadsheet, by part
    /// from 1.
    Excel(u32),
    /// `DATE.rN.json`: the manifest.
    Manifest,
}

/// The name of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Days since 1970.
    pub day: i32,
    /// From 1.
    pub revision: u32,
    /// What it is.
    pub kind: Kind,
}

impl Name {
    /// The name as text.
    pub fn text(&self) -> String {
        let (date, revision) = (date(self.day), self.revision);
        match self.kind {
            Kind::Exact => format!("{date}.r{revision}.csv"),
            Kind::Excel(1) => format!("{date}.r{revision}.excel.csv"),
            Kind::Excel(part) => format!("{date}.r{revision}.excel.{part}.csv"),
            Kind::Manifest => format!("{date}.r{revision}.json"),
        }
    }

    /// The name that a text is; none where it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, rest) = text.split_at_checked(10)?;
        let (revision, rest) = rest.strip_prefix(".r")?.split_once('.')?;
        let kind = match rest {
            "csv" => Kind::Exact,
            "json" => Kind::Manifest,
            "excel.csv" => Kind::Excel(1),
            rest => Kind::Excel(rest.strip_prefix("excel.")?.strip_suffix(".csv")?.parse().ok()?),
        };
        let name = Self { day: parse_date(day)?, revision: revision.parse().ok()?, kind };
        // One name, one text: no signs, no leading zeros, no part 1 spelled out.
        (name.text() == text && name.revision <= LAST_REVISION).then_some(name)
    }
}

/// The revision after one; none after the last.
pub fn next_revision(revision: u32) -> Option<u32> {
    revision.checked_add(1).filter(|next| *next <= LAST_REVISION)
}

/// `DATE.csv`, the link that names the newest revision.
pub fn link(day: i32) -> String {
    format!("{}.csv", date(day))
}

/// What a file is called while it is being written.
pub fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Whether a name is that of a file that is being written, or was when the program died.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

/// The file in the data folder that says which store the published days came from.
pub const ORIGIN: &str = "origin.json";

/// The folder of all published files.
pub fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("snapshots")
}

/// The revisions of a day in a folder, with their files. A folder that is not there has none.
///
/// # Errors
/// Where the folder cannot be read.
pub fn revisions(folder: &Path, day: i32) -> io::Result<BTreeMap<u32, Vec<Name>>> {
    let mut revisions: BTreeMap<u32, Vec<Name>> = BTreeMap::new();
    for name in names(folder)? {
        if let Some(name) = Name::parse(&name).filter(|n| n.day == day) {
            revisions.entry(name.revision).or_default().push(name);
        }
    }
    Ok(revisions)
}

/// The names of everything in a folder that have a textual form; ours all do.
///
/// # Errors
/// Where the folder cannot be read; one that is not there is empty.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let day = parse_date("2026-11-20").unwrap();
        for (kind, text) in [
            (Kind::Exact, "2026-11-20.r12.csv"),
            (Kind::Excel(1), "2026-11-20.r12.excel.csv"),
            (Kind::Excel(2), "2026-11-20.r12.excel.2.csv"),
            (Kind::Manifest, "2026-11-20.r12.json"),
        ] {
            let name = Name { day, revision: 12, kind };
            assert_eq!(name.text(), text);
            assert_eq!(Name::parse(text), Some(name));
            assert_eq!(Name::parse(&temporary(text)), None);
            assert!(is_temporary(&temporary(text)) && !is_temporary(text));
        }
        assert_eq!(link(day), "2026-11-20.csv");
    }

    #[test]
    fn other_names_are_none_of_ours() {
        for text in [
            "",
            "2026-11-20.csv",
            "2026-11-20.r1.csv.bak",
            "2026-11-20.r01.csv",
            "2026-11-20.r+1.csv",
            "2026-11-20.r1.excel.1.csv",
            "2026-11-20.r99999999999.csv",
            "2026-11-20.r4294967295.csv",
            "2026-11-20.r4294967294.json",
            "2026-11-20.r1000000000.csv",
            "2026-11-20.r1.excel.4294967296.csv",
            "9999-99-99.r1.csv",
            "-999-01-01.r1.csv",
            "2026-13-20.r1.csv",
            "notes.txt",
            "ääääääääää.r1.csv",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn revisions_are_those_of_the_day() {
        let folder = tempfile::tempdir().unwrap();
        let day = parse_date("2026-11-20").unwrap();
        for name in
            ["2026-11-20.r1.csv", "2026-11-20.r2.csv", "2026-11-20.r2.json", "2026-11-21.r9.csv"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = revisions(folder.path(), day).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found[&2].len(), 2);
        assert!(revisions(&folder.path().join("none"), day).unwrap().is_empty());
    }
}
