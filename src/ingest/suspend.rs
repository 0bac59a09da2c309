//! Asks rsyslog to hold back while we are away: its `action.externalState.file`. PULL has
//! no acknowledgement, so what is in flight when a receiver stops in mid-stream is lost;
//! a sender that stops first has nothing in flight.

use std::path::Path;

/// What rsyslog reads as "send nothing".
const SUSPENDED: &str = "SUSPENDED";

/// Tells senders to hold back. The file appears whole or not at all.
///
/// # Errors
/// What the system says.
pub fn suspend(file: &Path) -> std::io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, SUSPENDED)?;
    std::fs::rename(&temporary, file)
}

/// Tells senders to go on.
///
/// # Errors
/// What the system says; that there is no file is no error.
pub fn resume(file: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        resume(&file).unwrap();
        suspend(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "SUSPENDED");
        resume(&file).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(suspend(Path::new("/nowhere/state")).is_err());
    }
}
