//! From the bytes of a question to the bytes of its answer, in the question's format.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use prost::Message as _;
use serde_json::{Value, json};

use crate::clock::Stopwatch;
use crate::event::date;
use crate::ingest::wire;
use crate::limits;
use crate::query::plan::find_summary;
use crate::query::{Answer, Engine, Failure, Question, SetAnswer};
use crate::snapshot::{ExportRequest, Published};

/// Answers questions.
#[derive(Clone)]
pub struct Responder {
    /// Answers those about rows.
    pub engine: Engine,
    /// To the publisher.
    pub exports_out: Sender<ExportRequest>,
}

/// What a question waits for.
pub enum WaitsFor {
    /// Events, that are still to come.
    Events(Wait),
    /// A day to be published.
    Publisher,
}

/// What a question with `min_events` waits for.
pub struct Wait {
    /// So many events in all.
    pub events: u64,
    /// Whether those of the open batch count.
    pub fresh: bool,
    /// How long at most.
    pub limit: Duration,
}

/// What came of a question.
enum Outcome {
    Rows(Answer),
    Set(SetAnswer),
    /// An object of JSON, also for those who ask in protobuf.
    Object(Value),
}

impl Responder {
    /// Answers a question in JSON or protobuf, which was asked at `asked`. Whatever the bytes
    /// are, there is an answer.
    pub fn respond(&self, bytes: &[u8], asked: Stopwatch) -> Vec<u8> {
        if bytes.len() > limits::MAX_QUESTION_BYTES {
            let message = format!("a question of {} bytes", bytes.len());
            let hint = format!("at most {} bytes", limits::MAX_QUESTION_BYTES);
            return self.refuse(bytes, Failure::new("bad_request", message, hint));
        }
        match json_text(bytes) {
            Some(text) => self.respond_json(text, asked).into_bytes(),
            None => self.respond_wire(bytes, asked).encode_to_vec(),
        }
    }

    /// Answers a short question for few keys whose rows are in memory, of shards that are idle:
    /// such an answer takes no longer than to wake somebody for it. None: it is another question,
    /// or there is something wrong with it.
    pub fn respond_at_once(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        const GET: &[u8] = b"\"get\"";
        if bytes.len() > limits::AT_ONCE_BYTES {
            return None;
        }
        let text = json_text(bytes);
        let question = match text {
            Some(text) if text.windows(GET.len()).any(|part| part == GET) => {
                Question::from_json(text)
            }
            Some(_) => return None,
            None => Question::from_wire(bytes),
        };
        let answer = self.engine.answer_at_once(&question.ok()?)?;
        self.engine.metrics.questions.add(1);
        Some(match text {
            Some(text) => with_id(answer.to_json(), text).into_bytes(),
            None => answer.to_wire(Question::id_of_wire(bytes)).encode_to_vec(),
        })
    }

    /// What a question has to wait for, so that it should not keep others from their answers.
    /// One that is wrong waits for nothing.
    pub fn waits_for(&self, bytes: &[u8]) -> Option<WaitsFor> {
        const MEMBERS: [&[u8]; 2] = [b"min_events", b"export"];
        if bytes.len() > limits::MAX_QUESTION_BYTES {
            return None;
        }
        let question = if let Some(text) = json_text(bytes) {
            let has = |member: &[u8]| text.windows(member.len()).any(|part| part == member);
            Question::from_json(Some(text).filter(|_| MEMBERS.into_iter().any(has))?).ok()?
        } else {
            Question::from_wire(bytes).ok()?
        };
        if question.export.is_some() {
            return Some(WaitsFor::Publisher);
        }
        let (events, fresh) = (question.min_events?, question.is_fresh());
        let wait = Wait { events, fresh, limit: self.engine.time_limit(&question) };
        if self.is_enough(&wait) {
            return None;
        }
        match &question.set {
            Some(set) => self.engine.plan_set(&question, set).is_ok(),
            None => self.engine.plan(&question).is_ok(),
        }
        .then_some(WaitsFor::Events(wait))
    }

    /// Whether what a question waits for is there.
    pub fn is_enough(&self, wait: &Wait) -> bool {
        self.engine.visible(wait.fresh) >= wait.events
    }

    /// Tells a questioner why there is no answer.
    pub fn refuse(&self, bytes: &[u8], failure: Failure) -> Vec<u8> {
        self.engine.metrics.questions_failed.add(1);
        match json_text(bytes) {
            Some(text) => with_id(failure.to_json(), text).into_bytes(),
            None => failure.to_wire(Question::id_of_wire(bytes)).encode_to_vec(),
        }
    }

    fn respond_json(&self, text: &[u8], asked: Stopwatch) -> String {
        let question = Question::from_json(text);
        let outcome = question.and_then(|question| self.answer(&question, asked));
        self.count(&outcome);
        let answer = match outcome {
            Ok(Outcome::Rows(answer)) => answer.to_json(),
            Ok(Outcome::Set(answer)) => answer.to_json().to_string(),
            Ok(Outcome::Object(object)) => object.to_string(),
            Err(failure) => failure.to_json(),
        };
        with_id(answer, text)
    }

    fn respond_wire(&self, bytes: &[u8], asked: Stopwatch) -> wire::Answer {
        let (id, question) = (Question::id_of_wire(bytes), Question::from_wire(bytes));
        let outcome = question.and_then(|question| self.answer(&question, asked));
        self.count(&outcome);
        match outcome {
            Ok(Outcome::Rows(answer)) => answer.to_wire(id),
            Ok(Outcome::Set(answer)) => answer.to_wire(id),
            Ok(Outcome::Object(stats)) => {
                wire::Answer { id, stats: stats.to_string(), ..wire::Answer::default() }
            }
            Err(failure) => failure.to_wire(id),
        }
    }

    fn count(&self, outcome: &Result<Outcome, Failure>) {
        match outcome {
            Ok(_) => self.engine.metrics.questions.add(1),
            Err(_) => self.engine.metrics.questions_failed.add(1),
        }
    }

    fn answer(&self, question: &Question, asked: Stopwatch) -> Result<Outcome, Failure> {
        if question.export.is_some() {
            let list: Value = self.export(question)?.iter().map(published_json).collect();
            return Ok(Outcome::Object(json!({ "export": list })));
        }
        if let Some(set) = &question.set {
            return self.engine.answer_set(question, set, asked).map(Outcome::Set);
        }
        if question.get.as_deref() == Some("stats") {
            let Question { id, get, .. } = question.clone();
            only(question, &Question { id, get, ..Question::default() }, "get stats")?;
            return self.engine.stats().map(Outcome::Object);
        }
        self.engine.answer(question, asked).map(Outcome::Rows)
    }

    /// Publishes a day now.
    fn export(&self, question: &Question) -> Result<Vec<Published>, Failure> {
        let summary = match question.export.as_deref() {
            None | Some("*") => None,
            Some(name) => Some(find_summary(name, &self.engine.config.schema)?),
        };
        let Question { id, export, day, excel, .. } = question.clone();
        only(question, &Question { id, export, day, excel, ..Question::default() }, "export")?;
        let Some(day) = &question.day else {
            let hint = "\"day\":\"2026-11-20\"";
            return Err(Failure::new("bad_request", "export needs a day", hint));
        };
        let day = crate::event::parse_date(day).ok_or_else(|| {
            let message = format!("day = \"{day}\" is not a day");
            Failure::new("bad_value", message, "write it as 2026-11-20")
        })?;
        let (reply, published) = bounded(1);
        let excel = question.excel.unwrap_or(false);
        self.exports_out
            .send(ExportRequest { summary, day, excel, reply })
            .map_err(|_| Failure::stopping())?;
        let published = published.recv().map_err(|_| Failure::stopping())?;
        published.map_err(|message| Failure::new("export", message, "see the log of the server"))
    }
}

/// The text of a question in JSON, without the mark that some programs put before a text; none:
/// it is protobuf. Fields of a Question have numbers from 16 up, so that its first byte is no
/// text, and as a field the mark would have a type that there is not.
fn json_text(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    text.first().is_none_or(u8::is_ascii).then_some(text)
}

/// The object of an answer with the id of its question in front, just as it was written: a
/// number that was read would have lost digits.
fn with_id(mut answer: String, question: &[u8]) -> String {
    if let Some(id) = Question::id_of(question) {
        answer.insert_str(1, &format!("\"id\":{id},"));
    }
    answer
}

/// Refuses a question that holds more than `allowed`, which would be ignored.
fn only(question: &Question, allowed: &Question, what: &str) -> Result<(), Failure> {
    if question == allowed {
        return Ok(());
    }
    let message = format!("beside {what} there is a member that it does not take");
    Err(Failure::new("bad_request", message, "leave the other members out"))
}

/// What was published, for the one who asked.
fn published_json(published: &Published) -> Value {
    json!({
        "summary": published.summary,
        "day": date(published.day).to_string(),
        "revision": published.revision,
        "path": published.path,
        "excel": published.excel,
        "rows": published.rows,
        "complete": published.complete,
    })
}
