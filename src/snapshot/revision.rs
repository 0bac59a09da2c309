//! One day's revisions: how a draft becomes the next one, what confirms the newest, which
//! old ones go.
//!
//! The order is data, manifest, link, each durable before the next. So a manifest never
//! describes data that is not there, and the link never names a revision without its
//! manifest.
//!
//! In: a [`Draft`], files without names. Out: files with names, and [`Published`]. Knows no
//! rows and no store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::durable::{self, FileError, TempFile};
use super::excel::ExcelFiles;
use super::files::{self, Kind, Name};
use super::manifest::{Manifest, ManifestFile};
use crate::config::expect_file;

/// A publication whose files have no names yet.
pub struct Draft {
    /// The rows in the exact dialect.
    pub exact: TempFile,
    /// The rows for a spreadsheet, where that is wanted.
    pub excel: Option<ExcelFiles>,
    /// What it is, without the names of its files.
    pub manifest: Manifest,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Name of the summary.
    pub summary: String,
    /// Days since 1970.
    pub day: i32,
    /// The new revision; none: the newest one says the same.
    pub revision: Option<u32>,
    /// The newest revision's file in the exact dialect.
    pub path: PathBuf,
    /// The newest revision's files in the dialect `excel`, where there are any.
    pub excel: Vec<PathBuf>,
    /// Rows of the exact file.
    pub rows: u64,
    /// Cells in which U+FFFD stands for U+0000.
    pub nul_cells_replaced: u64,
    /// Whether the day has ended, and its grace.
    pub complete: bool,
}

/// A summary's day among the published files.
pub struct Target<'a> {
    /// Days since 1970.
    pub day: i32,
    /// The summary's folder.
    pub folder: &'a Path,
}

impl Target<'_> {
    fn name(&self, revision: u32, kind: Kind) -> String {
        Name { day: self.day, revision, kind }.text()
    }

    fn path(&self, revision: u32, kind: Kind) -> PathBuf {
        self.folder.join(self.name(revision, kind))
    }

    fn link(&self, revision: u32) -> Result<(), FileError> {
        let newest = self.name(revision, Kind::Exact);
        durable::link(self.folder, &files::link(self.day), &newest)
    }

    /// The revisions that are there, with their files.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn revisions(&self) -> Result<BTreeMap<u32, Vec<Name>>, FileError> {
        files::revisions(self.folder, self.day).map_err(FileError::of(self.folder))
    }

    /// The manifest of a revision whose data is there; none: it cannot stand for anything.
    pub fn read_manifest(&self, revision: u32) -> Option<Manifest> {
        let path = self.path(revision, Kind::Manifest);
        let json = expect_file(&path).and_then(|()| std::fs::read(&path)).ok()?;
        let manifest = Manifest::from_json(&json).filter(|m| m.revision == revision)?;
        let data = std::fs::metadata(self.path(revision, Kind::Exact)).ok()?;
        (data.len() == manifest.bytes).then_some(manifest)
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), FileError> {
        let name = self.name(manifest.revision, Kind::Manifest);
        durable::write(self.folder, &name, manifest.to_json().as_bytes()).map(|_| ())
    }

    /// Removes all but the newest revisions.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn prune(&self, keep: u32) -> Result<(), FileError> {
        let old = self.revisions()?.into_values().rev().skip(keep as usize);
        old.into_iter().try_for_each(|names| self.remove(names))
    }

    /// Removes the files of a revision, the manifest first: while it is there, so is what it
    /// describes.
    fn remove(&self, mut names: Vec<Name>) -> Result<(), FileError> {
        names.sort_unstable_by_key(|name| std::cmp::Reverse(name.kind));
        names.into_iter().try_for_each(|name| {
            let path = self.folder.join(name.text());
            std::fs::remove_file(&path).map_err(FileError::of(&path))
        })
    }

    fn published(&self, manifest: &Manifest) -> Published {
        Published {
            summary: manifest.summary.clone(),
            day: self.day,
            revision: Some(manifest.revision),
            path: self.path(manifest.revision, Kind::Exact),
            excel: manifest.excel_files().map(|name| self.folder.join(name)).collect(),
            rows: manifest.rows,
            nul_cells_replaced: manifest.nul_cells_replaced,
            complete: manifest.complete,
        }
    }
}

impl Draft {
    /// Gives the files their names, as the revision that the manifest names.
    ///
    /// # Errors
    /// Where that fails; then the former revision is the newest, as before.
    pub fn commit(self, target: &Target<'_>) -> Result<Published, FileError> {
        let revision = self.manifest.revision;
        let manifest = self.name_files(target).inspect_err(|_| {
            // What has a name already would pass for a revision.
            let half = target.revisions().ok().and_then(|mut all| all.remove(&revision));
            let _ = half.map(|names| target.remove(names));
        })?;
        // It is a whole revision from here on: where the link fails, it is confirmed later.
        target.link(revision)?;
        Ok(target.published(&manifest))
    }

    fn name_files(self, target: &Target<'_>) -> Result<Manifest, FileError> {
        let Self { exact, excel, mut manifest } = self;
        let name = target.name(manifest.revision, Kind::Exact);
        exact.publish(&name)?;
        manifest.files = vec![ManifestFile::new(name, "exact")];
        if let Some(excel) = excel {
            add_excel(&mut manifest, excel)?;
        }
        target.write_manifest(&manifest)?;
        Ok(manifest)
    }

    /// The newest revision says the same: only what it lacks is added. That is the link,
    /// where a run died before it, and the dialect `excel`, where it was not wanted then:
    /// as the exact rows are the same, so are those of the spreadsheet.
    ///
    /// # Errors
    /// Where that fails; the revision remains as it was.
    pub fn confirm(
        self,
        target: &Target<'_>,
        mut newest: Manifest,
    ) -> Result<Published, FileError> {
        let is_there = |name: &str| target.folder.join(name).is_file();
        let has_excel = newest.excel_files().next().is_some() && newest.excel_files().all(is_there);
        if let Some(excel) = self.excel.filter(|_| !has_excel) {
            newest.files.retain(|file| file.dialect != "excel");
            add_excel(&mut newest, excel)?;
            target.write_manifest(&newest)?;
        }
        target.link(newest.revision)?;
        Ok(Published { revision: None, ..target.published(&newest) })
    }
}

fn add_excel(manifest: &mut Manifest, excel: ExcelFiles) -> Result<(), FileError> {
    manifest.excel_cells_cut = excel.cut;
    let names = excel.publish(manifest.revision)?;
    manifest.files.extend(names.into_iter().map(|name| ManifestFile::new(name, "excel")));
    Ok(())
}
