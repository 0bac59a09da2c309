//! The addresses that the system lets this process use (`ulimit -v`). Allocations beyond it end the
//! process, wherever they are made; so it is refused at the start what could not go well.

use rustix::process::{Resource, getrlimit};

/// For everything but rows: threads, libraries, buffers, and what the allocator sets aside.
const BESIDE_ROWS: u64 = 1 << 30;

/// # Errors
/// A sentence, where so many bytes of rows would not fit.
pub fn check(memory_limit: u64) -> Result<(), String> {
    enough(getrlimit(Resource::As).current, memory_limit)
}

/// No `limit` is enough.
fn enough(limit: Option<u64>, memory_limit: u64) -> Result<(), String> {
    let needed = memory_limit.saturating_add(BESIDE_ROWS);
    match limit {
        Some(limit) if limit < needed => Err(format!(
            "this process may use {} MB of addresses, and needs {} MB: memory_limit and 1 GiB; raise \
             the limit (ulimit -v, or LimitAS of the unit), or lower memory_limit",
            limit / 1_000_000,
            needed / 1_000_000
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_all_else_must_fit() {
        assert_eq!(enough(None, u64::MAX), Ok(()));
        assert_eq!(enough(Some(1_200_000_000), 100_000_000), Ok(()));
        let error = enough(Some(500_000_000), 100_000_000).unwrap_err();
        assert!(error.contains("500 MB") && error.contains("1173 MB"), "{error}");
        assert!(enough(Some(u64::MAX - 1), u64::MAX).is_err());
    }
}
