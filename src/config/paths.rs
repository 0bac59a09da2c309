//! Refuses paths that could not be made. Whether this user may make them shows at the start,
//! which may be another user's.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path};

use toml::Spanned;

use super::Problem;
use super::written::{self, OneOrMany};

/// The data folder where none is named.
pub(super) const DATA_DIR: &str = "data";

/// What lies in a data folder, each a folder itself.
const FOLDERS: [&str; 3] = ["store", "snapshots", "dead-letters"];

/// Refuses the data folder of a file.
pub(super) fn check_data_dir(file: &written::File) -> Result<(), Problem> {
    let written = file.data_dir.as_ref();
    let (folder, span) = written.map_or((DATA_DIR, 0..0), |f| (f.get_ref().as_str(), f.span()));
    check_folder(folder.as_ref()).map_err(|message| Problem::new(span, "data_dir", message))
}

/// Refuses the paths that senders and clients meet at.
pub(super) fn check_sockets(file: &written::File) -> Result<(), Problem> {
    let state = file.ingest.zmq.state_file.as_ref().filter(|path| !path.get_ref().is_empty());
    if let Some(path) = state {
        let problem = |message| Problem::new(path.span(), "ingest.zmq.state_file", message);
        check_file(path.get_ref().as_ref()).map_err(problem)?;
    }
    let sockets = |key: &str, bind: &Option<Spanned<OneOrMany>>| {
        let Some(bind) = bind else { return Ok(()) };
        let mut paths = bind.get_ref().0.iter().filter_map(|address| socket_path(address));
        let problem = |message| Problem::new(bind.span(), key, message);
        paths.try_for_each(check_socket).map_err(problem)
    };
    sockets("ingest.zmq.bind", &file.ingest.zmq.bind)?;
    sockets("query.zmq.bind", &file.query.zmq.bind)
}

/// Refuses a data folder that could not be made or used.
///
/// # Errors
/// Why, and what to do.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    if folder.as_os_str().is_empty() {
        return Err("names no folder".to_owned());
    }
    let there = folder.ancestors().find(|path| look(path) != Seen::Nothing);
    if let Some(there) = there.filter(|there| look(there) == Seen::Other) {
        let (folder, there) = (folder.display(), there.display());
        return Err(format!("{folder} cannot be made: {there} is no folder; name another"));
    }
    match FOLDERS.map(|name| folder.join(name)).iter().find(|path| look(path) == Seen::Other) {
        Some(path) => Err(format!("{} is no folder; move it away", path.display())),
        None => Ok(()),
    }
}

/// What is seen at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Folder,
    /// Something else; also a link that leads nowhere.
    Other,
    Nothing,
    /// This user may not look.
    Unknown,
}

fn look(path: &Path) -> Seen {
    match path.metadata() {
        Ok(found) if found.is_dir() => Seen::Folder,
        Ok(_) => Seen::Other,
        Err(error) => match error.kind() {
            ErrorKind::NotFound if path.is_symlink() => Seen::Other,
            ErrorKind::NotFound | ErrorKind::NotADirectory => Seen::Nothing,
            _ => Seen::Unknown,
        },
    }
}

/// Refuses what lies in the place of a file: to open a pipe, for one, would wait for ever.
///
/// # Errors
/// Where something is there that is no file.
pub fn expect_file(path: &Path) -> std::io::Result<()> {
    match path.metadata() {
        Ok(found) if !found.is_file() => {
            Err(std::io::Error::other(format!("{} is no file; move it away", path.display())))
        }
        _ => Ok(()),
    }
}

/// Refuses a file that could not be made.
fn check_file(file: &Path) -> Result<(), String> {
    if look(file) == Seen::Folder || file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(format!("{} is a folder; name a file in it", file.display()));
    }
    check_parent(file)
}

/// The file of an address; none where there is none: abstract names are no files, and for `*`
/// the system chooses a path.
pub fn socket_path(address: &str) -> Option<&Path> {
    let path = address.strip_prefix("ipc://").filter(|path| !path.starts_with(['@', '*']))?;
    (!path.is_empty()).then_some(Path::new(path))
}

/// Refuses the path of a socket that could not be made, or would take the place of something
/// else.
fn check_socket(socket: &Path) -> Result<(), String> {
    if socket.symlink_metadata().is_ok_and(|found| !found.file_type().is_socket()) {
        let advice = "what lies there is no socket: move it away, or choose another path";
        return Err(format!("{} cannot be made: {advice}", socket.display()));
    }
    check_parent(socket)
}

/// Refuses a file whose folder is not there.
fn check_parent(file: &Path) -> Result<(), String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // What is below /run is empty after a boot; the service manager makes our part of it.
    let is_below_run = ["/run", "/var/run"].iter().any(|run| folder.starts_with(run))
        && !folder.components().any(|step| step == Component::ParentDir);
    let what = match look(folder) {
        Seen::Folder | Seen::Unknown => return Ok(()),
        Seen::Nothing if is_below_run => return Ok(()),
        Seen::Nothing => "does not exist",
        Seen::Other => "is no folder",
    };
    let (file, folder) = (file.display(), folder.display());
    Err(format!("{file} cannot be made: {folder} {what}; make it a folder, or choose another path"))
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_are_refused_that_could_not_be_made() {
        let here = tempfile::tempdir().unwrap();
        let at = |path: &str| here.path().join(path);
        write(at("file"), "").unwrap();
        create_dir_all(at("used")).unwrap();
        write(at("used/store"), "").unwrap();
        symlink(at("nowhere"), at("link")).unwrap();
        let prefix = format!("{}/", here.path().display());
        let said = |result: Result<(), String>| result.map_err(|e| e.replace(&prefix, ""));
        let folder = |path: &str| said(check_folder(&at(path)));
        let file = |path: &str| said(check_file(&at(path)));
        let socket = |path: &str| said(check_socket(&at(path)));

        for made in [folder(""), folder("not/there/yet"), file("state"), socket("ask")] {
            assert_eq!(made, Ok(()));
        }
        let lead = "make it a folder, or choose another path";
        for (refused, expected) in [
            (folder("file"), "file cannot be made: file is no folder; name another".to_owned()),
            (folder("file/a"), "file/a cannot be made: file is no folder; name another".into()),
            (folder("link"), "link cannot be made: link is no folder; name another".into()),
            (folder("used"), "used/store is no folder; move it away".into()),
            (file("used"), "used is a folder; name a file in it".into()),
            (file("new/"), "new/ is a folder; name a file in it".into()),
            (file("no/s"), format!("no/s cannot be made: no does not exist; {lead}")),
            (file("file/s"), format!("file/s cannot be made: file is no folder; {lead}")),
            (socket("no/s"), format!("no/s cannot be made: no does not exist; {lead}")),
        ] {
            assert_eq!(refused, Err(expected));
        }
        for taken in ["file", "used", "link"] {
            assert!(socket(taken).unwrap_err().contains("is no socket"), "{taken}");
        }
        assert_eq!(check_folder(Path::new("")), Err("names no folder".to_owned()));
        assert_eq!(check_file(Path::new("state")), Ok(()));
        // What is made at the start, and what only looks like it.
        assert_eq!(check_file(Path::new("/run/not-there-yet/state")), Ok(()));
        assert!(check_file(Path::new("/run/../not-there/state")).is_err());
        for address in ["ipc://@abstract", "ipc://*", "ipc://", "tcp://127.0.0.1:5555"] {
            assert_eq!(socket_path(address), None, "{address}");
        }
        assert_eq!(socket_path("ipc:///run/ask"), Some(Path::new("/run/ask")));
    }
}
