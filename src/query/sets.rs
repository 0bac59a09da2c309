//! Questions about sets: who is in all of these, in any of those, and in none of others.
//! Each set is what an aggregate `theta` holds of some keys and days; all are read as of one
//! moment, so that what is in a set and not in a larger one is nobody.
//!
//! In: a [`SetQuestion`]. Out: a [`SetAnswer`].

use serde_json::{Value, json};
use sketches::theta::{Audience, LOG2K, Theta};
use sketches::unique::Estimate;

use super::engine::Engine;
use super::plan::{QuestionPlan, find_summary};
use super::reply::{Failure, since_json, since_wire};
use super::request::{Question, SetPart, SetQuestion};
use crate::clock::Stopwatch;
use crate::config::{AggregateKind, Schema, suggestion};
use crate::event::timestamp;
use crate::ingest::wire;
use crate::limits;
use crate::row::{Groups, State};

/// How many values are in what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAnswer {
    /// The estimate, its standard error and its bounds.
    pub estimate: Estimate,
    /// When it was so, in microseconds since 1970.
    pub as_of_us: i64,
    /// Sequence number after the last event that it covers.
    pub events: u64,
    /// Aggregates that were added later, and when, in microseconds since 1970.
    pub since: Vec<(String, i64)>,
}

impl Engine {
    /// Answers a question about sets, which was asked at `asked`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn answer_set(
        &self,
        question: &Question,
        set: &SetQuestion,
        asked: Stopwatch,
    ) -> Result<SetAnswer, Failure> {
        let plans = self.plan_set(question, set)?;
        let (groups, gathered) = self.gather_all(&plans, &self.terms(question, asked))?;
        let audiences: Vec<Audience> = groups.iter().map(audience).collect();
        let (and, rest) = audiences.split_at(set.and.len());
        let (or, not) = rest.split_at(set.or.len());
        let any = or.iter().cloned().reduce(|all, one| all.or(&one));
        let all = and.iter().cloned().chain(any).reduce(|all, one| all.and(&one));
        // There is a set to begin with: its absence was refused.
        let all = all.unwrap_or_else(nobody);
        let left = not.iter().fold(all, |left, one| left.without(one));
        Ok(SetAnswer {
            estimate: left.estimate(),
            as_of_us: gathered.as_of_us,
            events: gathered.sequence,
            since: self.since_of(&plans),
        })
    }

    /// The questions for the totals of the sets: those of `and`, of `or` and of `not`.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn plan_set(
        &self,
        question: &Question,
        set: &SetQuestion,
    ) -> Result<Vec<QuestionPlan>, Failure> {
        check_shape(question, set)?;
        let parts = set.and.iter().chain(&set.or).chain(&set.not);
        let plans = parts.map(|part| self.plan_part(part)).collect::<Result<Vec<_>, _>>()?;
        self.check_types(&plans)?;
        Ok(plans)
    }

    /// The question for the total of one set.
    fn plan_part(&self, part: &SetPart) -> Result<QuestionPlan, Failure> {
        let schema = &self.config.schema;
        let name = theta_of(part, schema)?;
        let question = Question {
            summary: Some(part.summary.clone()),
            from: part.from.clone(),
            to: part.to.clone(),
            only: part.only.clone(),
            select: Some(vec![name]),
            ..Question::default()
        };
        QuestionPlan::new(&question, schema, self.config.query.max_rows)
    }

    /// Equal values of different types have different hashes: such sets would never have
    /// anything in common.
    fn check_types(&self, plans: &[QuestionPlan]) -> Result<(), Failure> {
        let schema = &self.config.schema;
        let field = |plan: &QuestionPlan| {
            let aggregate = plan.grouping.aggregates[0];
            schema.summaries[plan.summary].aggregates[aggregate].kind.field()
        };
        let fields: Vec<usize> = plans.iter().filter_map(field).collect();
        let differs = |f: &&usize| schema.fields[**f].kind != schema.fields[fields[0]].kind;
        let Some(other) = fields.iter().find(differs) else { return Ok(()) };
        let described =
            |f: usize| format!("\"{}\" ({})", schema.fields[f].name, schema.describe(f));
        let message = format!("sets of {} and of {}", described(fields[0]), described(*other));
        Err(Failure::new("bad_request", message, "take sets of one type"))
    }

    fn since_of(&self, plans: &[QuestionPlan]) -> Vec<(String, i64)> {
        let of_plan = |plan: &QuestionPlan| {
            let summary = &self.config.schema.summaries[plan.summary].name;
            let name = |(aggregate, us)| (format!("{summary}.{aggregate}"), us);
            self.since(plan).into_iter().map(name).collect::<Vec<_>>()
        };
        let mut since: Vec<_> = plans.iter().flat_map(of_plan).collect();
        since.sort();
        since.dedup();
        since
    }
}

/// What is refused whatever the configuration is.
fn check_shape(question: &Question, set: &SetQuestion) -> Result<(), Failure> {
    let Question { id, set: whole, min_events, timeout_ms, .. } = question.clone();
    let allowed = Question { id, set: whole, min_events, timeout_ms, ..Question::default() };
    if *question != allowed {
        let message = "beside set there can be id, min_events and timeout_ms only";
        let hint = r#"{"set":{"and":[{"summary":"…","where":{…}},…],"not":[…]}}"#;
        return Err(Failure::new("bad_request", message, hint));
    }
    if set.and.is_empty() && set.or.is_empty() {
        let hint = "name the sets that somebody is in: and, or";
        return Err(Failure::new("bad_request", "set has neither and nor or", hint));
    }
    let count = set.and.len() + set.or.len() + set.not.len();
    if count > limits::MAX_SETS {
        let hint = format!("at most {}; a list in where is one set", limits::MAX_SETS);
        return Err(Failure::new("bad_request", format!("{count} sets"), hint));
    }
    Ok(())
}

/// The aggregate that a set is taken from.
fn theta_of(part: &SetPart, schema: &Schema) -> Result<String, Failure> {
    let summary = &schema.summaries[find_summary(&part.summary, schema)?];
    let is_theta = |kind: &AggregateKind| matches!(kind, AggregateKind::Theta { .. });
    let names: Vec<&str> =
        summary.aggregates.iter().filter(|a| is_theta(&a.kind)).map(|a| a.name.as_str()).collect();
    let wrong = |message: String, hint| Err(Failure::new("unknown_column", message, hint));
    match (&part.theta, names.as_slice()) {
        (Some(name), names) if names.contains(&name.as_str()) => Ok(name.clone()),
        (None, [only]) => Ok((*only).to_owned()),
        (_, []) => wrong(
            format!("summary \"{}\" keeps no set", summary.name),
            "configure { name = \"audience\", theta = \"user\" }".to_owned(),
        ),
        (Some(name), names) => wrong(
            format!("\"{name}\" is not a set of summary \"{}\"", summary.name),
            suggestion(name, names.iter().copied()),
        ),
        (None, names) => wrong(
            format!("summary \"{}\" keeps several sets", summary.name),
            format!("\"theta\": one of {}", names.join(", ")),
        ),
    }
}

/// The values of all keys that were folded.
fn audience(groups: &Groups) -> Audience {
    match groups.total().into_iter().next().flatten() {
        Some(State::Theta(theta)) => theta.audience(),
        // No key was seen.
        _ => nobody(),
    }
}

fn nobody() -> Audience {
    Theta::new(*LOG2K.start()).audience()
}

impl SetAnswer {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let [value, lower, upper] = self.rounded();
        let mut answer = json!({
            "estimate": value as i64,
            "std_error": self.estimate.std_error,
            "lower": lower as i64,
            "upper": upper as i64,
            "as_of": timestamp(self.as_of_us),
            "events": self.events,
        });
        if !self.since.is_empty() {
            answer["since"] = since_json(&self.since);
        }
        answer
    }

    /// As protobuf.
    pub fn to_wire(&self, id: String) -> wire::Answer {
        let [estimate, lower, upper] = self.rounded();
        let std_error = self.estimate.std_error;
        wire::Answer {
            id,
            estimate: Some(wire::Estimate { estimate, std_error, lower, upper }),
            as_of: timestamp(self.as_of_us),
            events: self.events,
            since: since_wire(&self.since),
            ..wire::Answer::default()
        }
    }

    /// The estimate and its bounds as whole numbers.
    fn rounded(&self) -> [f64; 3] {
        [self.estimate.value, self.estimate.lower, self.estimate.upper].map(f64::round)
    }
}
