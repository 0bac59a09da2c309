//! What is wrong with the store, in one sentence that says what to do.

use std::path::Path;

use rustix::io::Errno;

/// Where files are gone that somebody else may still have.
const PUT_BACK: &str = "something of it was moved or removed: put it back";

/// Where nothing else helps.
const BEGIN_ANEW: &str = "bring its data folder back from a copy, or move the whole data folder \
                          away and send the events again";

/// Why the store cannot be used.
#[derive(Clone, Debug)]
pub struct StoreError(pub String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// An error of RocksDB, which tells what the system said only in words.
    pub(super) fn of(folder: &Path, what: &str, error: &rocksdb::Error) -> Self {
        let said = error.to_string();
        let failed = format!("the store in {} {what}: {said}", folder.display());
        match (advice(&said), error.kind()) {
            (Some(PUT_BACK), _) => Self(format!("{failed}; {PUT_BACK}, {BEGIN_ANEW}")),
            (Some(advice), _) => Self(format!("{failed}; {advice}")),
            (None, rocksdb::ErrorKind::Corruption) => Self::damaged(folder, said),
            (None, _) => Self(failed),
        }
    }

    /// An error of the system with a file or folder.
    pub(super) fn of_file(path: &Path, what: &str, error: &std::io::Error) -> Self {
        let advice = advice(&error.to_string()).map_or(String::new(), |a| format!("; {a}"));
        Self(format!("{} {what}: {error}{advice}", path.display()))
    }

    /// The store is not what it was when it was written.
    pub(super) fn damaged(folder: &Path, what: impl std::fmt::Display) -> Self {
        Self(format!("the store in {} is damaged: {what}; {BEGIN_ANEW}", folder.display()))
    }
}

/// What can be done about an error of the system, by the words in which it is told.
///
/// RocksDB hands on what `strerror` says, and nothing by which a program could tell it.
pub(crate) fn advice(said: &str) -> Option<&'static str> {
    let causes = [
        (Errno::NOSPC, "make room on its disk"),
        (Errno::DQUOT, "raise the quota of this user on its disk"),
        (Errno::MFILE, "raise the limit of open files of this process (LimitNOFILE, ulimit -n)"),
        (Errno::NFILE, "raise the limit of open files of this machine (fs.file-max)"),
        (Errno::ACCESS, "let the user of this program write there"),
        (Errno::PERM, "let the user of this program write there"),
        (Errno::ROFS, "mount its disk so that it can be written"),
        (Errno::IO, "check its disk"),
        (Errno::NOENT, PUT_BACK),
        (Errno::NOMEM, "give this process more memory"),
        (Errno::FBIG, "raise the limit of the size of files (ulimit -f)"),
    ];
    // The text of such an error ends with its number.
    let text = |errno: Errno| std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    let is_said = |errno: Errno| {
        let text = text(errno);
        said.contains(text.split(" (os error").next().unwrap_or(&text))
    };
    causes.iter().find(|(errno, _)| is_said(*errno)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_what_the_system_said() {
        for (said, expected) in [
            ("IO error: No space left on device: While appending to file: /d/store/1.sst", "room"),
            ("IO error: Too many open files: While open a file for random read: /d", "LimitNOFILE"),
            ("IO error: Disk quota exceeded: While mkdir /d", "quota"),
            (
                "IO error: Input/output error: While fsync: /d/store/MANIFEST-000005",
                "check its disk",
            ),
            ("IO error: No such file or directory: While lock file: /d/store/LOCK", "put it back"),
        ] {
            assert!(advice(said).unwrap().contains(expected), "{said}: {:?}", advice(said));
        }
        assert_eq!(advice("Corruption: block checksum mismatch"), None);
    }
}
