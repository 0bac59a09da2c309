//! The lock of a data folder. It belongs to one process at a time; the file says where the
//! server that has it answers questions, so that whoever means a folder finds its server,
//! whatever addresses a configuration names.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use super::ServerError;
use crate::config::{check_folder, expect_file, socket_path};

/// Name of the file in the data folder.
const FILE: &str = "lock";

/// A data folder that is taken for this process, until this is dropped or the process ends.
pub(super) struct DataLock {
    file: File,
}

fn unusable(folder: &Path, error: impl std::fmt::Display) -> ServerError {
    let shown = folder.display();
    ServerError(format!(
        "data_dir: {shown} cannot be used: {error}; make it writable for this user, or name another"
    ))
}

impl DataLock {
    /// Makes the data folder and takes it.
    ///
    /// # Errors
    /// Where it cannot be written, or another process has it.
    pub(super) fn take(folder: &Path) -> Result<Self, ServerError> {
        let unusable = |error| unusable(folder, error);
        check_folder(folder).map_err(|message| ServerError(format!("data_dir: {message}")))?;
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let path = folder.join(FILE);
        expect_file(&path).map_err(no_file)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ServerError(format!(
                    "data_dir: another summarizer is using {}; stop it, or name another folder",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // A server that was killed leaves its addresses; somebody else may answer there now.
        file.set_len(0).map_err(unusable)?;
        Ok(Self { file })
    }

    /// Writes down where questions are answered, one address per line.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn tell(&mut self, addresses: &[String]) -> std::io::Result<()> {
        let lines: String = addresses.iter().map(|a| format!("{}\n", reachable(a))).collect();
        self.file.rewind()?;
        self.file.write_all(lines.as_bytes())
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // Left behind, it would be ignored all the same: nobody holds the lock any more.
        let _ = self.file.set_len(0);
    }
}

/// An address for those on this machine who are in another folder than the server.
fn reachable(address: &str) -> String {
    if let Some(path) = socket_path(address) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        return format!("ipc://{}", path.display());
    }
    address.replacen("tcp://0.0.0.0:", "tcp://127.0.0.1:", 1).replacen(
        "tcp://[::]:",
        "tcp://[::1]:",
        1,
    )
}

fn no_file(error: std::io::Error) -> ServerError {
    ServerError(format!("data_dir: {error}"))
}

/// Where the server answers questions that has a data folder; none where no process has it.
///
/// # Errors
/// Where that cannot be found out, or the one who has it does not answer yet.
pub fn question_address(folder: &Path) -> Result<Option<String>, ServerError> {
    let path = folder.join(FILE);
    expect_file(&path).map_err(no_file)?;
    let cannot = |error: std::io::Error| {
        ServerError(format!(
            "cannot tell whether a server is using {}: {}: {error}; run this as the user that the \
             server runs as",
            folder.display(),
            path.display()
        ))
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    // Shared: two who only look do not take each other for a server.
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    let mut addresses = Vec::new();
    (&file).read_to_end(&mut addresses).map_err(cannot)?;
    let addresses = String::from_utf8_lossy(&addresses);
    match addresses.lines().next() {
        Some(address) if address.starts_with("tcp://") || address.starts_with("ipc://") => {
            Ok(Some(address.to_owned()))
        }
        Some(_) => Err(ServerError(format!(
            "{} does not say where the summarizer that is using it answers questions: somebody else \
             has written to it; stop that summarizer and start it again",
            path.display()
        ))),
        None => Err(ServerError(format!(
            "the summarizer that is using {} does not answer questions: it is starting or \
             stopping; try again",
            folder.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_folder_says_where_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(question_address(&path).unwrap().is_none(), "there is no folder yet");
        let mut lock = DataLock::take(&path).unwrap();
        let error = question_address(&path).unwrap_err().to_string();
        assert!(error.contains("it is starting"), "{error}");
        lock.tell(&["tcp://0.0.0.0:5556".to_owned(), "ipc:///run/ask".to_owned()]).unwrap();
        assert_eq!(question_address(&path).unwrap().unwrap(), "tcp://127.0.0.1:5556");
        assert!(DataLock::take(&path).err().unwrap().to_string().contains("another summarizer"));
        drop(lock);
        assert!(question_address(&path).unwrap().is_none(), "it is free again");

        // What a killed server left is nobody's address.
        std::fs::write(path.join(FILE), "tcp://127.0.0.1:1\n").unwrap();
        assert!(question_address(&path).unwrap().is_none());
        let _lock = DataLock::take(&path).unwrap();
        assert!(question_address(&path).is_err());
    }

    #[test]
    fn addresses_are_those_of_this_machine() {
        assert_eq!(reachable("tcp://[::]:7"), "tcp://[::1]:7");
        assert_eq!(reachable("ipc://@name"), "ipc://@name");
        assert!(reachable("ipc://ask").starts_with("ipc:///"));
    }

    #[test]
    fn what_is_not_our_lock_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let lock = DataLock::take(folder.path()).unwrap();
        for garbage in [&b"what is this\n"[..], b"\xff\xfe\0", b"http://127.0.0.1:80"] {
            std::fs::write(folder.path().join(FILE), garbage).unwrap();
            let error = question_address(folder.path()).unwrap_err().to_string();
            assert!(error.contains("somebody else has written to it"), "{error}");
        }
        drop(lock);
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path().join(FILE)).status();
        assert!(made.unwrap().success());
        let errors = [
            DataLock::take(folder.path()).err().unwrap(),
            question_address(folder.path()).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("is no file; move it away"), "{error}");
        }
    }

    #[test]
    fn a_failure_is_not_taken_for_a_server() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "").unwrap();
        let error = question_address(&folder.path().join("data")).unwrap_err().to_string();
        assert!(error.contains("cannot tell whether a server"), "{error}");
    }
}
