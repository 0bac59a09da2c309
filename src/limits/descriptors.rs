//! How the open files that the system allows are shared out: so many for the store, so many for
//! connections, the rest for all else. libzmq takes connections without bound; were they to take
//! the last descriptor, no checkpoint could be written.
//!
//! In: the limit of this process (`ulimit -n`, `LimitNOFILE`). Out: [`Descriptors`].

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::MAX_CONNECTIONS;

/// Fewer leave too little for anyone.
const LEAST: usize = 128;

/// More are never needed, and where there is no limit some number must be one.
const MOST: usize = 1 << 20;

/// For everything that is neither the store nor a connection: what libzmq and the threads wake
/// each other by, listening sockets, the log, dead letters, files that are being published.
const PROGRAM: usize = 64;

/// Who may have how many files open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The store: tables that it holds open, and those that it reads and writes beside them.
    pub store: usize,
    /// Connections of senders, and as many of questioners, so that neither kind keeps the other
    /// out.
    pub connections: usize,
}

impl Descriptors {
    /// Raises the limit as far as this process may, and shares it out.
    ///
    /// # Errors
    /// A sentence, where it is too low to run.
    pub fn claim() -> Result<Self, String> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // None is no limit.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        Self::share(limit.map_or(MOST, |limit| usize::try_from(limit).unwrap_or(MOST)))
    }

    /// Shares out so many. Half of what may be connections is left free: libzmq takes some more
    /// before those beyond the limit are ended, and their peers take a moment to close them; and
    /// where none is left, it ends this process.
    fn share(total: usize) -> Result<Self, String> {
        if total < LEAST {
            return Err(format!(
                "this process may open {total} files, and needs {LEAST} at least; raise the limit \
                 (ulimit -n, or LimitNOFILE of the unit)"
            ));
        }
        let store = (total / 4).min(640);
        let connections = (total - PROGRAM - store) / 4;
        Ok(Self { store, connections: connections.min(MAX_CONNECTIONS) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_share() {
        let share = |total| Descriptors::share(total).unwrap();
        assert_eq!(share(128), Descriptors { store: 32, connections: 8 });
        assert_eq!(share(1024), Descriptors { store: 256, connections: 176 });
        assert_eq!(share(65_536), Descriptors { store: 640, connections: MAX_CONNECTIONS });
        for total in (LEAST..5000).chain([1 << 16, MOST, usize::MAX / 8]) {
            let Descriptors { store, connections } = share(total);
            assert!(PROGRAM + store + 4 * connections <= total, "{total}");
            assert!(store >= 32 && connections >= 8, "{total}");
        }
        for total in [0, 16, 24, LEAST - 1] {
            let error = Descriptors::share(total).unwrap_err();
            assert!(error.contains("ulimit -n"), "{error}");
        }
    }
}
