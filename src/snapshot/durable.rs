//! How a file comes to bear its published name: written under another name in the same
//! folder, synced, renamed, and the folder synced. A reader sees the old file or the new
//! one, whole; so does a machine that lost its power.
//!
//! In: bytes and a name. Out: a file of that name. A file that is not finished leaves
//! nothing behind, or, where the program died, what [`clean`] removes at the next start.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::files::{self, Kind, Name};
use crate::store::advice;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What went wrong with which file.
#[derive(Debug)]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub error: io::Error,
}

impl FileError {
    /// An error of a file, to be used with `map_err`.
    pub fn of(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |error| Self { path: path.to_owned(), error }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use io::ErrorKind as E;
        let advice = match self.error.kind() {
            E::NotADirectory | E::IsADirectory | E::AlreadyExists => {
                "move away what is in its place"
            }
            _ => advice(&self.error.to_string()).unwrap_or("check its disk"),
        };
        write!(out, "{}: {}; {advice}", self.path.display(), self.error)
    }
}

impl std::error::Error for FileError {}

/// A file that is being written.
pub struct TempFile {
    path: PathBuf,
    file: BufWriter<File>,
    renamed: bool,
}

impl TempFile {
    /// Begins a file in a folder; `name` only tells it from others that are being written.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(folder: &Path, name: &str) -> Result<Self, FileError> {
        let path = folder.join(files::temporary(name));
        let file = File::create(&path).map_err(FileError::of(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file), renamed: false })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(FileError::of(&self.path))
    }

    /// Gives the file its name, replacing what bore it.
    ///
    /// # Errors
    /// Where it does not come to the disk.
    pub fn publish(mut self, name: &str) -> Result<PathBuf, FileError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(FileError::of(&self.path))?;
        rename(&self.path, name).inspect(|_| self.renamed = true)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays behind here is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes a whole file.
///
/// # Errors
/// Where it does not come to the disk.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, FileError> {
    let mut file = TempFile::create(folder, name)?;
    file.write(bytes)?;
    file.publish(name)
}

/// Makes `name` a link to `target` in the same folder, unless it is one.
///
/// # Errors
/// Where it does not come to the disk.
pub fn link(folder: &Path, name: &str, target: &str) -> Result<(), FileError> {
    let path = folder.join(name);
    if std::fs::read_link(&path).is_ok_and(|now| now == Path::new(target)) {
        return Ok(());
    }
    let temporary = folder.join(files::temporary(name));
    let _ = std::fs::remove_file(&temporary);
    std::os::unix::fs::symlink(target, &temporary).map_err(FileError::of(&path))?;
    rename(&temporary, name).map(|_| ())
}

/// Makes a folder with those above it.
///
/// # Errors
/// Where it cannot be made.
pub fn make_folder(folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(FileError::of(folder))?;
    let above = folder.parent().unwrap_or(folder);
    sync_folder(above).and_then(|()| sync_folder(above.parent().unwrap_or(above)))
}

fn rename(from: &Path, name: &str) -> Result<PathBuf, FileError> {
    let folder = from.parent().unwrap_or(Path::new(""));
    let to = folder.join(name);
    std::fs::rename(from, &to).map_err(FileError::of(&to))?;
    sync_folder(folder)?;
    Ok(to)
}

fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(FileError::of(folder))
}

/// Removes what a run that died in the middle of a publication left in the folders below
/// `root`: files that were being written, and files whose manifest did not come to be.
///
/// # Errors
/// Where a folder cannot be read, or a file not removed.
pub fn clean(root: &Path) -> Result<(), FileError> {
    for summary in files::names(root).map_err(FileError::of(root))? {
        let folder = root.join(summary);
        if !folder.is_dir() {
            continue;
        }
        let names = files::names(&folder).map_err(FileError::of(&folder))?;
        let described = |name: &Name| {
            let manifest = Name { kind: Kind::Manifest, ..*name }.text();
            folder.join(manifest).exists()
        };
        for name in names {
            let abandoned = files::is_temporary(&name)
                || Name::parse(&name).is_some_and(|n| !described(&n) && !was_linked(&folder, &n));
            if abandoned {
                let path = folder.join(name);
                std::fs::remove_file(&path).map_err(FileError::of(&path))?;
            }
        }
    }
    Ok(())
}

/// Whether the link of a file's day names its revision or a later one: then it was
/// published, and it was not us who took its manifest away.
fn was_linked(folder: &Path, name: &Name) -> bool {
    let target = std::fs::read_link(folder.join(files::link(name.day)));
    let linked = target.ok().and_then(|t| Name::parse(t.to_str()?));
    linked.is_some_and(|linked| linked.revision >= name.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = TempFile::create(folder.path(), "a").unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert!(files::names(folder.path()).unwrap().is_empty());
        write(folder.path(), "a", b"one").unwrap();
        write(folder.path(), "a", b"two").unwrap();
        link(folder.path(), "link", "a").unwrap();
        link(folder.path(), "link", "b").unwrap();
        link(folder.path(), "link", "a").unwrap();
        assert_eq!(std::fs::read(folder.path().join("link")).unwrap(), b"two");
        assert_eq!(files::names(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn what_a_dead_run_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("placements");
        make_folder(&folder).unwrap();
        let keep = [
            "2026-11-20.r1.csv", // its manifest was taken away by someone else
            "2026-11-20.r2.csv",
            "2026-11-20.r2.json",
            "notes.txt",
        ];
        let remove = [
            ".2026-11-20.r4.csv.tmp",
            "2026-11-20.r3.csv",
            "2026-11-20.r3.excel.csv",
            "2026-11-21.r1.csv",
        ];
        for name in keep.iter().chain(&remove) {
            std::fs::write(folder.join(name), "").unwrap();
        }
        link(&folder, "2026-11-20.csv", "2026-11-20.r2.csv").unwrap();
        clean(root.path()).unwrap();
        let mut left = files::names(&folder).unwrap();
        left.sort();
        assert_eq!(
            left,
            [
                "2026-11-20.csv",
                "2026-11-20.r1.csv",
                "2026-11-20.r2.csv",
                "2026-11-20.r2.json",
                "notes.txt"
            ]
        );
        clean(&root.path().join("none")).unwrap();
    }

    #[test]
    fn errors_name_the_path_and_what_to_do() {
        let full = rustix::io::Errno::NOSPC;
        let error = FileError::of(Path::new("/data/a.csv"))(full.into());
        let text = error.to_string();
        assert!(text.starts_with("/data/a.csv: "), "{text}");
        assert!(text.ends_with("; make room on its disk"), "{text}");
    }
}
