//! Asks rsyslog to hold back while we are away: its `action.externalState.file`. PULL has
//! no acknowledgement, so what is in flight when a receiver stops in mid-stream is lost;
//! a sender that stops first has nothing in flight.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What rsyslog reads as "send nothing".
const SUSPENDED: &str = "SUSPENDED";

/// Readable for all, whatever the mask of this process: rsyslog is another user, and there is
/// no secret in it.
const MODE: u32 = 0o644;

/// Tells senders to hold back. The file appears whole or not at all.
///
/// # Errors
/// What the system says.
pub fn suspend(file: &Path) -> std::io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, SUSPENDED)?;
    std::fs::set_permissions(&temporary, Permissions::from_mode(MODE))?;
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
