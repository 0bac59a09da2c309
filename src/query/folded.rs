//! Which quantiles of an answer are beyond their error: values too far below the greatest of
//! their key are folded, which is told where the number is.
//!
//! In: the states that an answer is made of. Out: [`Folded`], if there is anything to tell.

use serde_json::{Value, json};

use super::plan::QuestionPlan;
use crate::config::Summary;
use crate::ingest::wire;
use crate::row::State;

/// How many values of a quantile aggregate were folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Name of the aggregate.
    pub aggregate: String,
    /// Per row of the answer.
    pub rows: Vec<u64>,
    /// Of all rows, also those beyond the limit.
    pub total: u64,
}

/// Of each quantile aggregate that an answer is made of, where something was folded.
pub(super) fn all_folded<'s>(
    plan: &QuestionPlan,
    summary: &Summary,
    rows: impl Iterator<Item = &'s Vec<Option<State>>> + Clone,
    totals: &[Option<State>],
) -> Vec<Folded> {
    let of_aggregate = |(at, &aggregate): (usize, &usize)| {
        let folded = |states: &[Option<State>]| states[at].as_ref().map_or(0, State::folded);
        let total = folded(totals);
        let rows: Vec<u64> = rows.clone().map(|states| folded(states)).collect();
        let any = total > 0 || rows.iter().any(|&count| count > 0);
        any.then(|| Folded { aggregate: summary.aggregates[aggregate].name.clone(), rows, total })
    };
    plan.grouping.aggregates.iter().enumerate().filter_map(of_aggregate).collect()
}

/// The members of an answer in JSON that tell of it, none where there is nothing to tell.
pub(super) fn folded_json(folded: &[Folded]) -> Option<(Value, Value)> {
    let members = |of: fn(&Folded) -> Value| -> Value {
        folded.iter().map(|f| (f.aggregate.clone(), of(f))).collect()
    };
    let (rows, totals) = (members(|f| json!(f.rows)), members(|f| json!(f.total)));
    (!folded.is_empty()).then_some((rows, totals))
}

/// The same in protobuf.
pub(super) fn folded_wire(folded: &[Folded]) -> Vec<wire::Folded> {
    let one = |f: &Folded| wire::Folded {
        aggregate: f.aggregate.clone(),
        rows: f.rows.clone(),
        total: f.total,
    };
    folded.iter().map(one).collect()
}
