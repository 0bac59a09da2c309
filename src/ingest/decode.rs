//! From a message to events in a batch. One event is accepted whole or refused whole, and
//! a malformed one stops neither the others of its message nor the server.
//!
//! In: the bytes of one message. Out: events appended to a [`Batch`]; refused ones to the
//! [`DeadLetters`]. Reads no clock: the arrival time is that of the batch.

use std::sync::Arc;

use super::dead_letters::{DeadLetters, Letter};
use super::framing::{malformed_end, next_event, opening};
use super::json::{JsonError, Malformed, Scanner, Token};
use super::members::{Member, Members, NodeId, ROOT};
use super::protobuf::Rows;
use super::refusal::Reason;
use super::stage::Stage;
use crate::config::{Format, Schema};
use crate::event::{Batch, DAY_US, Date, DayZone};
use crate::limits;
use crate::metrics::Metrics;

/// A message and where it came from.
pub struct Message<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The address that it came to.
    pub source: &'a str,
    /// How it is to be read.
    pub format: Format,
}

/// How far a message was read: a batch may be full before the message ends.
#[derive(Default)]
pub struct Progress<'a> {
    at: usize,
    rows: Option<Rows<'a>>,
    utf8: Option<bool>,
    any: bool,
    /// Up to where the end of a malformed object was searched in vain.
    searched: usize,
}

/// Reads messages for one schema.
pub struct Decoder {
    schema: Arc<Schema>,
    members: Members,
    stage: Stage,
    zone: DayZone,
    /// The first day that any summary takes events of.
    first_day: Date,
    batch_events: usize,
    metrics: Arc<Metrics>,
    name_text: Vec<u8>,
    /// Of an event that is read once more: up to where its unknown members are counted.
    reread_until: Option<usize>,
}

/// Why an object is not read to its end.
enum Stop {
    Json(JsonError),
    /// The member that begins here is not the first of its name.
    Repeated(usize),
}

impl<E: Into<JsonError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Json(error.into())
    }
}

/// What was read of a text.
struct Read {
    /// Where to go on.
    end: usize,
    /// Up to where there was something before the object that belongs to no event.
    junk_end: usize,
    /// Why it is no object.
    result: Result<(), Reason>,
}

/// The first byte of a protobuf `EventBatch`: field 16, a length follows.
const PROTOBUF_FIRST: u8 = 0x82;

impl Decoder {
    /// A decoder for a schema.
    pub fn new(schema: Arc<Schema>, metrics: Arc<Metrics>) -> Self {
        Self {
            members: Members::new(&schema),
            stage: Stage::new(&schema),
            zone: DayZone::new(&schema.zone),
            first_day: Date::MIN,
            batch_events: limits::BATCH_EVENTS,
            schema,
            metrics,
            name_text: Vec::new(),
            reread_until: None,
        }
    }

    /// Lets batches have so many events at most.
    pub fn limit_batches(&mut self, events: usize) {
        self.batch_events = events.min(limits::BATCH_EVENTS);
    }

    /// Whether the batch should go before another event comes in.
    pub fn is_full(&self, batch: &Batch) -> bool {
        batch.len() >= self.batch_events || batch.text_bytes >= limits::BATCH_BYTES
    }

    /// Reads events into `batch` until the message ends (true) or the batch is full (false);
    /// then call it again with the same progress and an empty batch.
    pub fn decode<'m>(
        &mut self,
        message: &Message<'m>,
        progress: &mut Progress<'m>,
        batch: &mut Batch,
        dead: &mut DeadLetters,
    ) -> bool {
        self.first_day = batch.first_days.iter().min().copied().unwrap_or(Date::MIN);
        let protobuf = match message.format {
            Format::Auto => message.bytes.first() == Some(&PROTOBUF_FIRST),
            format => format == Format::Protobuf,
        };
        if protobuf {
            self.decode_protobuf(message, progress, batch, dead)
        } else {
            self.decode_json(message, progress, batch, dead)
        }
    }

    /// Refuses a whole message.
    pub fn refuse_message(
        &mut self,
        message: &Message<'_>,
        reason: Reason,
        arrival_us: i64,
        dead: &mut DeadLetters,
    ) {
        let (bytes, source, field) = (message.bytes, message.source, None);
        dead.keep(&Letter { bytes, reason, field, arrival_us, source });
    }

    /// Refuses the event that is staged, which is `bytes` of the message.
    fn refuse_event(
        &self,
        message: &Message<'_>,
        bytes: &[u8],
        reason: Reason,
        arrival_us: i64,
        dead: &mut DeadLetters,
    ) {
        let field = self.stage.refused_field().filter(|_| self.stage.refusal() == Some(reason));
        let field = field.map(|at| self.schema.fields[at].name.as_str());
        dead.keep(&Letter { bytes, reason, field, arrival_us, source: message.source });
    }

    /// Publishes how often each unknown name was seen.
    pub fn publish_unknown(&self) {
        let seen = self.members.unknown_counts().iter().filter(|(_, count)| *count > 0);
        if let Ok(mut names) = self.metrics.unknown_fields.lock() {
            seen.for_each(|(name, count)| {
                names.insert(name.clone(), *count);
            });
        }
    }

    fn decode_json(
        &mut self,
        message: &Message<'_>,
        progress: &mut Progress<'_>,
        batch: &mut Batch,
        dead: &mut DeadLetters,
    ) -> bool {
        let bytes = message.bytes;
        let utf8 = *progress.utf8.get_or_insert_with(|| simdutf8::basic::from_utf8(bytes).is_ok());
        while let Some(start) = next_event(bytes, progress.at) {
            if self.is_full(batch) {
                return false;
            }
            progress.any = true;
            let read = self.json_event(bytes, start, utf8, &mut progress.searched);
            progress.at = read.end;
            let (reason, end) = match read.result.and_then(|()| self.accept(bytes, batch)) {
                Err(reason) => (reason, read.end),
                Ok(()) if read.junk_end > start => (Reason::MalformedJson, read.junk_end),
                Ok(()) => continue,
            };
            let bytes = trim_end(&bytes[start..end]);
            self.refuse_event(message, bytes, reason, batch.arrival_us, dead);
        }
        if !progress.any {
            self.refuse_message(message, Reason::EmptyMessage, batch.arrival_us, dead);
        }
        true
    }

    fn decode_protobuf<'m>(
        &mut self,
        message: &Message<'m>,
        progress: &mut Progress<'m>,
        batch: &mut Batch,
        dead: &mut DeadLetters,
    ) -> bool {
        let mut rows = match progress.rows.take() {
            Some(rows) => rows,
            None => match Rows::decode(message.bytes, &mut self.members) {
                Ok(rows) if rows.is_empty() => {
                    self.refuse_message(message, Reason::EmptyMessage, batch.arrival_us, dead);
                    return true;
                }
                Ok(rows) => rows,
                Err(reason) => {
                    self.refuse_message(message, reason, batch.arrival_us, dead);
                    return true;
                }
            },
        };
        while progress.at < rows.len() {
            if self.is_full(batch) {
                progress.rows = Some(rows);
                return false;
            }
            if let Err(reason) = self.row(&mut rows, progress.at, batch) {
                let text = rows.to_json(progress.at, limits::DEAD_LETTER_BYTES);
                self.refuse_event(message, text.as_bytes(), reason, batch.arrival_us, dead);
            }
            progress.at += 1;
        }
        true
    }

    /// Takes a row of protobuf.
    fn row(&mut self, rows: &mut Rows<'_>, at: usize, batch: &mut Batch) -> Result<(), Reason> {
        self.stage.begin();
        if rows.check(at)? {
            let text = rows.json(at)?;
            self.json_event(text.as_bytes(), 0, true, &mut 0).result?;
            return self.accept(text.as_bytes(), batch);
        }
        rows.stage(at, &mut self.members, &mut self.stage, &self.schema);
        self.accept(&[], batch)
    }

    /// Reads one object that starts at or behind `start`. What is wrong with its values waits in
    /// the stage.
    fn json_event(&mut self, bytes: &[u8], start: usize, utf8: bool, searched: &mut usize) -> Read {
        let (open, is_clean) = match opening(bytes, start) {
            Ok(opening) => (opening.brace, opening.is_clean),
            Err(end) => {
                self.stage.begin();
                return Read { end, junk_end: start, result: Err(not_json(&bytes[start..end])) };
            }
        };
        let junk_end = if is_clean { start } else { open };
        let error = match self.whole_object(bytes, open + 1) {
            Ok(end) => {
                let is_text = utf8 || std::str::from_utf8(&bytes[start..end]).is_ok();
                let result = if is_text { Ok(()) } else { Err(Reason::InvalidUtf8) };
                return Read { end, junk_end, result };
            }
            Err(error) => error,
        };
        let end = malformed_end(bytes, open, searched);
        let reason = match error {
            JsonError::TooDeep => Reason::TooDeep,
            JsonError::Malformed => not_json(&bytes[start..end]),
        };
        Read { end, junk_end, result: Err(reason) }
    }

    /// Reads the object whose opening brace lies before `at` and gives its end. Where names are
    /// repeated the last member of each counts whole, as for those who read JSON into a map: then
    /// it is read once more, knowing which are the last.
    fn whole_object(&mut self, bytes: &[u8], at: usize) -> Result<usize, JsonError> {
        self.reread_until = None;
        loop {
            self.stage.begin();
            self.members.begin();
            let mut scanner = Scanner::new(bytes, at);
            match self.object(bytes, &mut scanner, ROOT, 1) {
                Ok(_) => return Ok(scanner.position()),
                Err(Stop::Json(error)) => return Err(error),
                Err(Stop::Repeated(at)) => self.reread_until = Some(at),
            }
        }
    }

    /// Notes, of each member of an object that has a place in the tree, where the last begins.
    fn note_last(
        &mut self,
        bytes: &[u8],
        at: usize,
        parent: NodeId,
        depth: usize,
    ) -> Result<(), JsonError> {
        let mut scanner = Scanner::new(bytes, at);
        let mut nth = 0;
        let mut more = scanner.first_member()?;
        while more {
            scanner.skip_space();
            let start = scanner.position();
            let member = self.member(bytes, &mut scanner, parent, nth)?;
            let token = scanner.token()?;
            scanner.skip_rest(token, depth)?;
            if let Member::Known(id) = member {
                self.members.note_last(id, start);
            }
            nth += 1;
            more = scanner.next_member()?;
        }
        Ok(())
    }

    /// Whether a later member of the same name counts instead of this one.
    #[inline]
    fn is_superseded(&mut self, id: NodeId, start: usize) -> Result<bool, Stop> {
        match self.reread_until {
            Some(_) => Ok(!self.members.is_last(id, start)),
            None if self.members.is_repeated(id) => Err(Stop::Repeated(start)),
            None => Ok(false),
        }
    }

    /// Reads the members of an object whose opening brace is taken. Returns whether every
    /// member was a configured one.
    fn object(
        &mut self,
        bytes: &[u8],
        scanner: &mut Scanner<'_>,
        parent: NodeId,
        depth: usize,
    ) -> Result<bool, Stop> {
        if self.reread_until.is_some() {
            self.note_last(bytes, scanner.position(), parent, depth)?;
        }
        let mut all_known = true;
        let mut nth = 0;
        let mut more = scanner.first_member()?;
        while more {
            scanner.skip_space();
            let start = scanner.position();
            let member = self.member(bytes, scanner, parent, nth)?;
            let token = scanner.token()?;
            let whole = match member {
                Member::Known(node) if self.is_superseded(node, start)? => {
                    scanner.skip_rest(token, depth)?;
                    true
                }
                Member::Known(node) => self.known(bytes, scanner, node, token, depth)?,
                Member::Unknown(place) => {
                    scanner.skip_rest(token, depth)?;
                    if self.reread_until.is_none_or(|counted| start >= counted) {
                        self.members.count_unknown(place);
                    }
                    false
                }
            };
            if !whole {
                all_known = false;
                // Of a nested object the outermost member is kept, once.
                if parent == ROOT {
                    self.stage.keep(&bytes[start..scanner.position()]);
                }
            }
            nth += 1;
            more = scanner.next_member()?;
        }
        Ok(all_known)
    }

    /// Takes the key of a member and finds what it is.
    #[inline(always)]
    fn member(
        &mut self,
        bytes: &[u8],
        scanner: &mut Scanner<'_>,
        parent: NodeId,
        nth: usize,
    ) -> Result<Member, Malformed> {
        if let Some((guess, member)) = self.members.guess(parent, nth)
            && scanner.key_is(guess)
        {
            return Ok(*member);
        }
        self.other_member(bytes, scanner, parent, nth)
    }

    /// As [`Decoder::member`], of one that is not the expected one.
    #[inline(never)]
    fn other_member(
        &mut self,
        bytes: &[u8],
        scanner: &mut Scanner<'_>,
        parent: NodeId,
        nth: usize,
    ) -> Result<Member, Malformed> {
        let (key, escaped) = scanner.key()?;
        let name = key.of(bytes);
        if !escaped {
            return Ok(self.members.find(parent, nth, name, true));
        }
        self.name_text.clear();
        super::json::unescape(name, &mut self.name_text);
        Ok(self.members.find(parent, nth, &self.name_text, false))
    }

    /// Stages the value of a configured member. Returns whether the batch will hold all of it.
    #[inline]
    fn known(
        &mut self,
        bytes: &[u8],
        scanner: &mut Scanner<'_>,
        id: NodeId,
        token: Token,
        depth: usize,
    ) -> Result<bool, Stop> {
        let node = self.members.node(id);
        let is_leaf = !node.fields.is_empty() || node.is_time;
        let mut whole = !node.is_id || is_leaf;
        for &field in &node.fields {
            whole &= !self.stage.json(field, bytes, token);
        }
        if node.is_time {
            whole &= self.stage.time(&self.schema, bytes, token);
        }
        if node.has_children && token == Token::Object {
            if depth >= limits::MAX_JSON_DEPTH {
                return Err(JsonError::TooDeep.into());
            }
            return Ok(self.object(bytes, scanner, id, depth + 1)? && whole);
        }
        scanner.skip_rest(token, depth)?;
        // Where an object with fields inside was expected, anything else is kept as it is.
        Ok(whole && (is_leaf || token == Token::Null))
    }

    /// Appends the staged event to the batch, or says why not.
    fn accept(&mut self, bytes: &[u8], batch: &mut Batch) -> Result<(), Reason> {
        if let Some(reason) = self.stage.refusal() {
            return Err(reason);
        }
        let time_us = self.stage.time_us().ok_or(Reason::MissingTime)?;
        // One day of slack keeps zones out of the checks for absurd times.
        if time_us < -DAY_US {
            return Err(Reason::BeforeFirstDay);
        }
        if time_us > (i64::from(limits::LAST_DAY) + 2) * DAY_US {
            return Err(Reason::AfterLastDay);
        }
        if time_us > batch.arrival_us.saturating_add(self.schema.future_tolerance_us) {
            // Beyond the calendar is called so, whatever the arrival.
            let day = self.zone.day(time_us);
            return Err(if day > limits::LAST_DAY { Reason::AfterLastDay } else { Reason::Future });
        }
        let day = self.zone.day(time_us);
        match day {
            ..limits::FIRST_DAY => return Err(Reason::BeforeFirstDay),
            limits::FIRST_DAY..=limits::LAST_DAY => {}
            _ => return Err(Reason::AfterLastDay),
        }
        if day < self.first_day {
            return Err(Reason::Expired);
        }
        self.stage.derive(bytes, time_us, day, &mut self.zone);
        if let Some(reason) = self.stage.refusal() {
            return Err(reason);
        }
        self.stage.commit(bytes, time_us, day, batch);
        Ok(())
    }
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | 0));
    &bytes[..end.map_or(0, |at| at + 1)]
}

fn not_json(bytes: &[u8]) -> Reason {
    match std::str::from_utf8(bytes) {
        Ok(_) => Reason::MalformedJson,
        Err(_) => Reason::InvalidUtf8,
    }
}
