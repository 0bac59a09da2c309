//! Gathers the rows of questions: those in memory from the shards, those of the store from the
//! store, both as of one cut.
//!
//! First a view of the store is taken, then the shards are asked for everything that this
//! view does not hold. Where a checkpoint came in between, the shards no longer have that,
//! say so, and the question starts over with a newer view. So it does where the store is being
//! opened anew, which waits until nobody has a view of it any more.
//!
//! Who walks over rows asks all shards, by way of the sequencer. Single keys are asked for of the
//! shards that own them, and of a shard directly where it has been given everything that the
//! question is to see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::deadline::Deadline;
use super::engine::Engine;
use super::plan::QuestionPlan;
use super::reply::Failure;
use crate::clock::Stopwatch;
use crate::key::KeyValue;
use crate::limits;
use crate::partition::{Plan, plan::shard_of};
use crate::row::Groups;
use crate::sequencer::{Ask, Request};
use crate::shard::{Asked, Lookup, LookupAnswers, Lookups, ShardAnswer, ShardQuestion, TableId};
use crate::store::{Database, Reader};

/// Times that a question starts over before it gives up.
const MAX_STARTS: usize = 20;

/// Stored rows between two looks at the time.
const CHECK_EVERY: u64 = 1024;

/// On which terms questions are answered.
pub(super) struct Terms {
    /// Whether they see the events of the open batch.
    pub fresh: bool,
    /// How many events they wait for.
    pub min_events: Option<u64>,
    /// How long the answer may take.
    pub limit: Duration,
    /// Since when.
    pub asked: Stopwatch,
}

/// When something was gathered, and of which events.
pub(super) struct Gathered {
    /// Microseconds since 1970.
    pub as_of_us: i64,
    /// Sequence number after the last event.
    pub sequence: u64,
}

/// What is left to one of several questions.
struct Budget<'a> {
    /// Rows that those before it have read.
    scanned: u64,
    deadline: &'a Deadline<'a>,
}

/// What the shards were asked.
struct Questioned {
    /// Per plan, the answers of all shards; none where single keys are looked up.
    scans: Vec<Option<Receiver<Option<ShardAnswer>>>>,
    /// Answers about single keys, and how many shards give one.
    lookups: Receiver<Option<LookupAnswers>>,
    owners: usize,
    /// Tells the shards that nobody waits any more.
    _cancel: CancelOnDrop,
}

/// What the shards have of each plan.
struct OfShards {
    groups: Vec<Vec<Groups>>,
    /// Sequence number after the last event that all of it covers.
    sequence: u64,
}

impl Engine {
    /// Folds the rows of each plan, all as of one cut.
    pub(super) fn gather_all(
        &self,
        plans: &[QuestionPlan],
        terms: &Terms,
    ) -> Result<(Vec<Groups>, Gathered), Failure> {
        let limit = terms.limit;
        let deadline = Deadline { watch: terms.asked, limit, stop: &self.stop };
        let (visible, wanted) = (self.visible(terms.fresh), terms.min_events);
        if let Some(wanted) = wanted.filter(|&wanted| visible < wanted) {
            let message = format!("{visible} of {wanted} events within {limit:?}");
            return Err(Failure::new("timeout", message, "ask for fewer, or raise timeout_ms"));
        }
        for _ in 0..MAX_STARTS {
            deadline.check()?;
            let as_of_us = self.clock.now_us();
            let database = self.store.database()?;
            match self.gather(&database, plans, terms, &deadline) {
                Ok(Some((groups, sequence))) => {
                    return Ok((groups, Gathered { as_of_us, sequence }));
                }
                Ok(None) => {}
                Err(_) if database.is_closing() => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new("busy", "checkpoints kept coming in between", "ask again"))
    }

    /// Folds few single keys that one shard owns and has in memory, without waiting for anybody.
    /// None: it is not so, or the shard is at work.
    pub(super) fn gather_at_once(
        &self,
        plan: &QuestionPlan,
        fresh: bool,
    ) -> Option<(Groups, Gathered)> {
        let points = plan.points.as_ref().filter(|p| p.len() <= limits::AT_ONCE_KEYS)?;
        let mut shards: Vec<Vec<Lookup>> = self.shards.iter().map(|_| Vec::new()).collect();
        if self.route_points(0, plan, points, &mut shards) != 1 {
            return None;
        }
        let from = if fresh { self.watermark.accepted() } else { 0 };
        let as_of_us = self.clock.now_us();
        let mut owned = self.shards.iter().zip(shards.iter().map(|lookups| lookups.first()));
        let (shard, lookup) = owned.find_map(|(shard, lookup)| Some((shard, lookup?)))?;
        let (groups, sequence) = shard.look_up(lookup, from)?;
        (!groups.is_overfull()).then_some((groups, Gathered { as_of_us, sequence }))
    }

    /// Folds live and stored rows, per plan. None: start over.
    fn gather(
        &self,
        database: &Database,
        plans: &[QuestionPlan],
        terms: &Terms,
        deadline: &Deadline<'_>,
    ) -> Result<Option<(Vec<Groups>, u64)>, Failure> {
        // The order matters: the view of the store, then where days are, then the shards.
        let reader = database.reader()?;
        let days = plans
            .iter()
            .map(|plan| self.stored_days(&reader, plan))
            .collect::<Result<Vec<_>, Failure>>()?;
        let questioned = self.ask_shards(plans, reader.position.checkpoint, terms, deadline)?;
        let (mut all, mut scanned) = (Vec::with_capacity(plans.len()), 0);
        for (plan, days) in plans.iter().zip(days) {
            let layout = Arc::clone(&self.layouts[plan.summary]);
            let mut groups = Groups::new(layout, Arc::clone(&plan.grouping));
            self.fold_stored(&reader, plan, &days, &mut groups, &Budget { scanned, deadline })?;
            scanned += groups.visited();
            all.push(groups);
        }
        let answers = self.take_answers(plans.len(), &questioned, database, deadline)?;
        let Some(OfShards { groups: of_shards, sequence }) = answers else { return Ok(None) };
        let mut scanned = 0;
        for (groups, of_shards) in all.iter_mut().zip(of_shards) {
            of_shards.into_iter().for_each(|more| groups.merge(more));
            self.check_limits(groups, scanned)?;
            scanned += groups.visited();
        }
        Ok(Some((all, sequence)))
    }

    /// The days of which the store is read.
    fn stored_days(&self, reader: &Reader<'_>, plan: &QuestionPlan) -> Result<Vec<i32>, Failure> {
        let checkpoint = reader.position.checkpoint;
        let in_store = |day: &i32| {
            self.residences.reads_store(TableId { summary: plan.summary, day: *day }, checkpoint)
        };
        // The usual question is for one day, and for one that is all in memory.
        if plan.days.0 == plan.days.1 && !in_store(&plan.days.0) {
            return Ok(Vec::new());
        }
        let mut days = reader.days(self.number(plan), plan.days.0, plan.days.1)?;
        days.retain(in_store);
        Ok(days)
    }

    /// The permanent number of the summary that is asked.
    fn number(&self, plan: &QuestionPlan) -> u32 {
        let name = &self.config.schema.summaries[plan.summary].name;
        self.registry.summary(name).map_or(0, |s| s.number)
    }

    /// An error where there are too many groups, or too many rows together with those that
    /// were `scanned` before.
    fn check_limits(&self, groups: &Groups, scanned: u64) -> Result<(), Failure> {
        if groups.is_overfull() {
            let message = format!("more than {} groups", self.config.query.max_rows);
            return Err(Failure::new(
                "too_many_rows",
                message,
                "group by fewer dimensions or narrow where",
            ));
        }
        if scanned + groups.visited() > self.config.query.max_scan {
            let message = format!("more than {} rows would be read", self.config.query.max_scan);
            return Err(Failure::new(
                "too_much_scan",
                message,
                "ask for fewer days, or for single keys",
            ));
        }
        Ok(())
    }

    /// Asks the shards what the store, as of checkpoint `stored`, does not hold.
    fn ask_shards(
        &self,
        plans: &[QuestionPlan],
        stored: u64,
        terms: &Terms,
        deadline: &Deadline<'_>,
    ) -> Result<Questioned, Failure> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (mut questions, mut scans) = (Vec::new(), Vec::with_capacity(plans.len()));
        let mut shards: Vec<Vec<Lookup>> = self.shards.iter().map(|_| Vec::new()).collect();
        // Whether each plan is one shard's concern: then it needs no order among shards.
        let mut is_apart = true;
        for (at, plan) in plans.iter().enumerate() {
            if let Some(points) = &plan.points {
                is_apart &= self.route_points(at, plan, points, &mut shards) == 1;
                scans.push(None);
                continue;
            }
            is_apart = false;
            let (reply, answers) = bounded(self.shards.len());
            questions.push(Arc::new(ShardQuestion {
                summary: plan.summary,
                days: plan.days,
                grouping: Arc::clone(&plan.grouping),
                layout: Arc::clone(&self.layouts[plan.summary]),
                stored,
                reply,
                cancelled: Arc::clone(&cancelled),
            }));
            scans.push(Some(answers));
        }
        let owners = shards.iter().filter(|lookups| !lookups.is_empty()).count();
        let (reply, lookups_in) = bounded(owners);
        // In this order: what was sent later than the first look was accepted later.
        let (accepted, sent) = (self.watermark.accepted(), self.watermark.sent());
        let in_order = terms.fresh || terms.min_events.is_some();
        let goes_directly = !in_order || is_apart && (!terms.fresh || sent >= accepted);
        let from = match (goes_directly && in_order, terms.fresh) {
            (false, _) => 0,
            (true, true) => accepted,
            (true, false) => sent,
        };
        let lookups = (owners > 0).then(|| Arc::new(Lookups { shards, stored, from, reply }));
        // The questions themselves go: only the shards may keep the other ends of the replies.
        if goes_directly {
            for question in questions {
                for shard in &self.shards {
                    deadline.send(&shard.asks_out, Asked::Scan(Arc::clone(&question)))?;
                }
            }
            if let Some(lookups) = lookups {
                for (shard, of_shard) in self.shards.iter().zip(&lookups.shards) {
                    if !of_shard.is_empty() {
                        deadline.send(&shard.asks_out, Asked::LookUp(Arc::clone(&lookups)))?;
                    }
                }
            }
        } else {
            let flush = terms.fresh;
            let ask = Ask { questions, lookups, flush };
            deadline.send(&self.requests_out, Request::Ask(ask))?;
            self.waker.wake();
        }
        Ok(Questioned { scans, lookups: lookups_in, owners, _cancel: CancelOnDrop(cancelled) })
    }

    /// Gives each single key of a plan to the shard that owns it; gives how many shards have some.
    fn route_points(
        &self,
        at: usize,
        plan: &QuestionPlan,
        points: &[Vec<KeyValue>],
        shards: &mut [Vec<Lookup>],
    ) -> usize {
        let mut routed = vec![Vec::new(); shards.len()];
        for point in points {
            let mut key = Vec::new();
            let mut hashes = Vec::with_capacity(point.len());
            for value in point {
                let start = key.len();
                value.push(&mut key);
                hashes.push(self.plan.hash_piece(&key[start..]));
            }
            let hash = Plan::hash_key(hashes.into_iter());
            routed[shard_of(hash, shards.len())].push((hash as u32, key));
        }
        let mut owners = 0;
        for (shard, keys) in routed.into_iter().enumerate() {
            // Of no key at all, somebody has to say as of when there is nothing.
            if keys.is_empty() && !(points.is_empty() && shard == 0) {
                continue;
            }
            owners += 1;
            shards[shard].push(Lookup {
                plan: at,
                summary: plan.summary,
                days: plan.days,
                keys,
                grouping: Arc::clone(&plan.grouping),
                layout: Arc::clone(&self.layouts[plan.summary]),
            });
        }
        owners
    }

    /// Waits for what the shards have of so many plans. None: start over.
    fn take_answers(
        &self,
        plans: usize,
        questioned: &Questioned,
        database: &Database,
        deadline: &Deadline<'_>,
    ) -> Result<Option<OfShards>, Failure> {
        let mut all = OfShards { groups: Vec::new(), sequence: u64::MAX };
        all.groups.resize_with(plans, Vec::new);
        let mut lookups = Vec::with_capacity(questioned.owners);
        for _ in 0..questioned.owners {
            let answer = deadline.receive(&questioned.lookups, database)?;
            let Some(answer) = answer else { return Ok(None) };
            lookups.push(answer);
        }
        // The most frequent values depend on the order, which should not be that of arrival.
        lookups.sort_unstable_by_key(|answer| answer.shard);
        for LookupAnswers { answers, sequence, .. } in lookups {
            all.sequence = all.sequence.min(sequence);
            answers.into_iter().for_each(|(plan, groups)| all.groups[plan].push(groups));
        }
        for (groups, answers) in all.groups.iter_mut().zip(&questioned.scans) {
            let Some(answers) = answers else { continue };
            let mut of_shards = Vec::with_capacity(self.shards.len());
            for _ in 0..self.shards.len() {
                let answer = deadline.receive(answers, database)?;
                let Some(answer) = answer else { return Ok(None) };
                of_shards.push(answer);
            }
            of_shards.sort_unstable_by_key(|answer| answer.shard);
            for answer in of_shards {
                all.sequence = all.sequence.min(answer.sequence);
                groups.push(answer.groups);
            }
        }
        Ok(Some(all))
    }

    /// Folds the rows of days that are read from the store.
    fn fold_stored(
        &self,
        reader: &Reader<'_>,
        plan: &QuestionPlan,
        days: &[i32],
        groups: &mut Groups,
        budget: &Budget<'_>,
    ) -> Result<(), Failure> {
        let damaged = |e: String| {
            Failure::new("store", format!("a stored row is damaged: {e}"), "see the log")
        };
        let number = self.number(plan);
        if let Some(points) = &plan.points {
            for (&day, point) in days.iter().flat_map(|day| points.iter().map(move |p| (day, p))) {
                budget.deadline.check()?;
                let mut key = Vec::new();
                point.iter().for_each(|value| value.push(&mut key));
                if let Some(row) = reader.row(number, day, &key)? {
                    groups.fold_stored(&key, day, &row).map_err(damaged)?;
                }
            }
            return Ok(());
        }
        let mut leading = Vec::new();
        plan.leading.iter().for_each(|value| value.push(&mut leading));
        for &day in days {
            let mut rows = reader.rows(number, day, &leading);
            let mut count = 0u64;
            while let Some((key, row)) = rows.next()? {
                groups.fold_stored(key, day, row).map_err(damaged)?;
                count += 1;
                if count.is_multiple_of(CHECK_EVERY) {
                    self.check_limits(groups, budget.scanned)?;
                    budget.deadline.check()?;
                }
            }
        }
        Ok(())
    }
}

/// Tells the shards that nobody waits any more.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
