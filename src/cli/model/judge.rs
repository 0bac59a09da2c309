//! Whether the published numbers of one row are right.

/// One event of a row.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub key: u64,
    pub user: u32,
    pub latency_us: u32,
    pub cost_micros: u32,
}

/// The relative error that quantiles promise, and room for the last digit of a float.
const QUANTILE_ERROR: f64 = 0.01 + 1e-9;

/// A standard error above this part of the count is itself wrong (dense: 0.81 %).
const MOST_ERROR: f64 = 0.01;

/// The chance that two users cannot be told apart while values are kept apart: one slot of
/// 2^26, and equal ranks.
const COLLISION: f64 = 1.0 / (3.0 * (1u64 << 26) as f64);

/// Up to so many values are kept apart (log2m 14).
const APART: u64 = 3_072;

/// What is right, but only so often.
#[derive(Default)]
pub(super) struct Collisions {
    /// By how much counts of users were off, where they should have been exact.
    pub seen: u64,
    /// How many of them are to be expected.
    pub expected: f64,
}

impl Collisions {
    /// Whether there are no more than chance brings. The same two users meet in several
    /// summaries, so that they come in groups.
    pub fn are_credible(&self) -> bool {
        self.seen as f64 <= 10.0 + 5.0 * self.expected
    }
}

/// Judges one row. `events` are those of its key, by user; `cells` the columns behind the
/// dimensions.
pub(super) fn judge(
    events: &[Entry],
    cells: &[&str],
    sorted: &mut Vec<u32>,
    collisions: &mut Collisions,
) -> Result<(), String> {
    let &[count, cost, users, users_error, hll, ref quantiles @ ..] = cells else {
        return Err("has too few columns".to_owned());
    };
    if count.parse() != Ok(events.len()) {
        return Err(format!("events is {count}, not {}", events.len()));
    }
    let exact: u64 = events.iter().map(|e| u64::from(e.cost_micros)).sum();
    let exact = format!("{}.{:06}", exact / 1_000_000, exact % 1_000_000);
    if cost != exact {
        return Err(format!("cost is {cost}, not {exact}"));
    }
    judge_users(events, users, users_error, collisions)?;
    if !hll.starts_with("\\x") || !hll[2..].bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err("users_hll is not \\x and hex digits".to_owned());
    }
    sorted.clear();
    sorted.extend(events.iter().map(|e| e.latency_us));
    sorted.sort_unstable();
    for (percent, cell) in [50, 90, 95, 99].into_iter().zip(quantiles) {
        judge_quantile(sorted, percent, cell)?;
    }
    Ok(())
}

/// Within five standard errors, or exact but for users that look the same.
fn judge_users(
    events: &[Entry],
    users: &str,
    error: &str,
    collisions: &mut Collisions,
) -> Result<(), String> {
    let exact = 1 + events.windows(2).filter(|pair| pair[0].user != pair[1].user).count() as u64;
    let wrong = || format!("users is {users} with an error of {error}, not {exact}");
    let (Ok(users), Ok(error)) = (users.parse::<u64>(), error.parse::<f64>()) else {
        return Err(wrong());
    };
    let most = MOST_ERROR * exact as f64 + 0.5;
    if !(0.0..=most).contains(&error) {
        return Err(format!("{}; that error is above {most}", wrong()));
    }
    if exact <= APART {
        collisions.expected += (exact * (exact - 1)) as f64 / 2.0 * COLLISION;
    }
    let off = users.abs_diff(exact);
    if off as f64 <= (5.0 * error).max(0.5) {
        return Ok(());
    }
    // Several in one row are credible only where there are many pairs.
    let most_collisions = if exact < 500 { 1 } else { 3 };
    if off <= most_collisions && exact <= APART {
        collisions.seen += off;
        return Ok(());
    }
    Err(wrong())
}

/// Within 1 % of the value of rank ⌊q · (n − 1)⌋. Where q · (n − 1) is whole, the rank below
/// is right as well: in floats the product may fall short of it.
fn judge_quantile(sorted: &[u32], percent: usize, cell: &str) -> Result<(), String> {
    let scaled = percent * (sorted.len() - 1);
    let rank = scaled / 100;
    let least = if scaled.is_multiple_of(100) { rank.saturating_sub(1) } else { rank };
    let exact = |rank: usize| f64::from(sorted[rank]) / 1000.0;
    let close = |value: f64, exact: f64| (value - exact).abs() <= QUANTILE_ERROR * exact;
    match cell.parse::<f64>() {
        Ok(value) if close(value, exact(rank)) || close(value, exact(least)) => Ok(()),
        _ => Err(format!("latency_p{percent} is {cell}, not {}", exact(rank))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_judged_by_rank() {
        let sorted = [1000, 2000, 3000, 4000];
        // 0.5 · 3 = 1.5: rank 1.
        assert!(judge_quantile(&sorted, 50, "2").is_ok());
        assert!(judge_quantile(&sorted, 50, "2.0199").is_ok());
        assert!(judge_quantile(&sorted, 50, "2.021").is_err());
        assert!(judge_quantile(&sorted, 50, "1").is_err());
        assert!(judge_quantile(&sorted, 99, "3.0").is_ok());
        assert!(judge_quantile(&sorted, 99, "4.0").is_err());
        // 0.5 · 2 = 1: whole, so the rank below passes too.
        assert!(judge_quantile(&sorted[..3], 50, "2").is_ok());
        assert!(judge_quantile(&sorted[..3], 50, "1").is_ok());
        assert!(judge_quantile(&sorted[..3], 50, "").is_err());
    }

    #[test]
    fn users_are_exact_or_within_their_error() {
        let event = |user| Entry { key: 0, user, latency_us: 1, cost_micros: 1 };
        let judged = |exact: u32, users: &str, error: &str| {
            let events: Vec<Entry> = (0..exact).map(event).collect();
            let mut collisions = Collisions::default();
            judge_users(&events, users, error, &mut collisions).map(|()| collisions.seen)
        };
        assert_eq!(judged(100, "100", "0.00001"), Ok(0));
        assert_eq!(judged(100, "99", "0.00001"), Ok(1));
        assert!(judged(100, "98", "0.00001").is_err());
        assert_eq!(judged(2000, "1998", "0.1"), Ok(2));
        assert!(judged(2000, "1996", "0.1").is_err());
        assert!(judged(100, "100", "50").is_err(), "an error that excuses all");
        assert!(judged(100, "100", "NaN").is_err());
        assert_eq!(judged(10_000, "10400", "81"), Ok(0));
        assert!(judged(10_000, "10406", "81").is_err());
        assert!(!Collisions { seen: 11, expected: 0.1 }.are_credible());
    }
}
