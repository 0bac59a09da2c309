//! From the bytes of a question to the bytes of its answer, in the question's format.

use crossbeam_channel::{Sender, bounded};
use prost::Message as _;
use serde_json::{Value, json};

use crate::ingest::wire;
use crate::output::date;
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

/// What came of a question.
enum Outcome {
    Rows(Answer),
    Set(SetAnswer),
    Stats(Value),
    Published(Vec<Published>),
}

impl Responder {
    /// Answers a question in JSON or protobuf. Whatever the bytes are, there is an answer.
    pub fn respond(&self, bytes: &[u8]) -> Vec<u8> {
        // Fields of a Question have numbers from 16 up, so that its first byte is no text.
        let is_json = bytes.first().is_none_or(u8::is_ascii);
        if is_json {
            return self.respond_json(bytes).into_bytes();
        }
        match wire::Question::decode(bytes) {
            Ok(question) => self.respond_wire(question).encode_to_vec(),
            Err(error) => {
                let hint = "a question is a JSON object or a Question of schemas/query.proto";
                let failure = Failure::new("bad_request", error.to_string(), hint);
                self.count(&Err(failure.clone()));
                failure.to_wire(String::new()).encode_to_vec()
            }
        }
    }

    fn respond_json(&self, bytes: &[u8]) -> String {
        let question = Question::from_json(bytes);
        let id = match &question {
            Ok(question) => question.id.clone(),
            Err(_) => Question::id_of(bytes),
        };
        let outcome = question.and_then(|question| self.answer(&question));
        self.count(&outcome);
        match outcome {
            Ok(Outcome::Rows(answer)) => answer.to_json(id.as_ref()),
            Ok(Outcome::Set(answer)) => answer.to_json(id.as_ref()).to_string(),
            Ok(Outcome::Stats(mut stats)) => {
                if let Some(id) = id {
                    stats["id"] = id;
                }
                stats.to_string()
            }
            Ok(Outcome::Published(published)) => {
                let list: Value = published.iter().map(published_json).collect();
                match id {
                    Some(id) => json!({ "id": id, "export": list }).to_string(),
                    None => json!({ "export": list }).to_string(),
                }
            }
            Err(failure) => failure.to_json(id.as_ref()),
        }
    }

    fn respond_wire(&self, question: wire::Question) -> wire::Answer {
        let id = question.id.clone();
        let outcome = Question::from_wire(question).and_then(|question| self.answer(&question));
        self.count(&outcome);
        match outcome {
            Ok(Outcome::Rows(answer)) => answer.to_wire(id),
            Ok(Outcome::Set(answer)) => answer.to_wire(id),
            Ok(Outcome::Stats(stats)) => {
                wire::Answer { id, stats: stats.to_string(), ..wire::Answer::default() }
            }
            Ok(Outcome::Published(_)) => wire::Answer { id, ..wire::Answer::default() },
            Err(failure) => failure.to_wire(id),
        }
    }

    fn count(&self, outcome: &Result<Outcome, Failure>) {
        match outcome {
            Ok(_) => self.engine.metrics.questions.add(1),
            Err(_) => self.engine.metrics.questions_failed.add(1),
        }
    }

    fn answer(&self, question: &Question) -> Result<Outcome, Failure> {
        if question.export.is_some() {
            return self.export(question).map(Outcome::Published);
        }
        if let Some(set) = &question.set {
            return self.engine.answer_set(question, set).map(Outcome::Set);
        }
        if question.get.as_deref() == Some("stats") {
            return self.engine.stats().map(Outcome::Stats);
        }
        self.engine.answer(question).map(Outcome::Rows)
    }

    /// Publishes a day now.
    fn export(&self, question: &Question) -> Result<Vec<Published>, Failure> {
        let summary = match question.export.as_deref() {
            None | Some("*") => None,
            Some(name) => Some(find_summary(name, &self.engine.config.schema)?),
        };
        let day = question.day.as_deref().and_then(crate::output::parse_date).ok_or_else(|| {
            Failure::new("bad_value", "export needs a day", "\"day\":\"2026-11-20\"")
        })?;
        let (reply, published) = bounded(1);
        let excel = question.excel.unwrap_or(false);
        let stopping =
            || Failure::new("stopping", "the server is stopping", "ask again when it is back");
        self.exports_out
            .send(ExportRequest { summary, day, excel, reply })
            .map_err(|_| stopping())?;
        let published = published.recv().map_err(|_| stopping())?;
        published.map_err(|message| Failure::new("export", message, "see the log of the server"))
    }
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
