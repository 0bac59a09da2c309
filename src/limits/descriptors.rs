//! How the open files that the system allows are shared out: so many for the store, so many for
//! connections, the rest for all else. libzmq takes connections until it is told otherwise; were
//! they to take the last descriptor, no checkpoint could be written, and at a path libzmq ends this
//! process when it can take no more (seen in 4.3.4, and so in its newest source).
//!
//! In: the limit of this process (`ulimit -n`, `LimitNOFILE`). Out: [`Descriptors`].

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{CONNECTIONS_UNHEARD, MAX_CONNECTIONS};

/// Of what is for the store and for connections, fewer leave too little for anyone.
const LEAST: usize = 256;

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
    /// Raises the limit as far as this process may, and shares it out for a number of sockets that
    /// are bound.
    ///
    /// # Errors
    /// A sentence, where it is too low to run.
    pub fn claim(sockets: usize) -> Result<Self, String> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // None is no limit.
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        let limit = limit.map_or(MOST, |limit| usize::try_from(limit).unwrap_or(MOST));
        Self::share(limit, sockets)
    }

    /// Shares out so many. Half of what may be connections is left free, for those beyond the limit
    /// until their peers close them; and so many for each socket as libzmq may have taken unheard.
    fn share(total: usize, sockets: usize) -> Result<Self, String> {
        let others = PROGRAM + sockets * CONNECTIONS_UNHEARD;
        if total < others + LEAST {
            return Err(format!(
                "this process may open {total} files, and needs {} at least; raise the limit \
                 (ulimit -n, or LimitNOFILE of the unit)",
                others + LEAST
            ));
        }
        let ours = total - others;
        let store = (ours / 4).min(640);
        let connections = (ours - store) / 4;
        Ok(Self { store, connections: connections.min(MAX_CONNECTIONS) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_share() {
        let share = |total| Descriptors::share(total, 2).unwrap();
        assert_eq!(share(2322), Descriptors { store: 64, connections: 48 });
        assert_eq!(share(4096), Descriptors { store: 507, connections: 380 });
        assert_eq!(share(65_536), Descriptors { store: 640, connections: MAX_CONNECTIONS });
        for total in (2322..9000).chain([1 << 16, MOST, usize::MAX / 8]) {
            let Descriptors { store, connections } = share(total);
            assert!(PROGRAM + store + 4 * connections + 2 * 1001 <= total, "{total}");
            assert!(store >= 32 && connections >= 8, "{total}");
        }
        for total in [0, 16, 1024, 2321] {
            let error = Descriptors::share(total, 2).unwrap_err();
            assert!(error.contains("ulimit -n") && error.contains("needs 2322"), "{error}");
        }
    }
}
