//! The events of a JSON file: objects one after another, by line or over several, or in an array.
//!
//! In: text. Out: one event after the other as it is written, and what is none, with its place. What
//! is broken takes nothing along that follows it: it ends with its line and those that are indented
//! further. Never holds more than one event that a server could take, and
//! what was read with it.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use anyhow::{Context, bail};
use serde::de::IgnoredAny;

use super::input::{NO_UTF8, Outcome};
use crate::limits;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Bytes up to which an event that is not whole yet is looked at again with each chunk; beyond, when
/// there are twice as many.
const LOOKED_AT_AGAIN: usize = 1 << 20;

/// Reads the events of one file.
pub struct Events<R> {
    reader: R,
    file: String,
    text: Vec<u8>,
    /// What is not taken yet begins here.
    from: usize,
    /// The line that it is in, from 1.
    line: u64,
    /// What was taken last, and its line.
    taken: (Range<usize>, u64),
    /// White space before anything else in it, and whether that is all so far.
    indent: (usize, bool),
    /// An object indented like this was broken: what is left of it comes next.
    broken: Option<usize>,
    /// Arrays that are open.
    arrays: usize,
    /// Up to here, an event was looked for that is over several lines, and there was none.
    searched: usize,
    at_end: bool,
    /// Whether anything was found.
    is_empty: bool,
}

/// What a value turned out to be.
enum Value {
    Whole(usize),
    Cut,
    /// And where the line begins that it is wrong in.
    Wrong(String, usize),
}

impl<R: Read> Events<R> {
    /// Of a reader; `file` is for messages.
    pub fn new(reader: R, file: &str) -> Self {
        Self {
            reader,
            file: file.to_owned(),
            text: Vec::new(),
            from: 0,
            line: 1,
            taken: (0..0, 1),
            indent: (0, true),
            broken: None,
            arrays: 0,
            searched: 0,
            at_end: false,
            is_empty: true,
        }
    }

    /// `file:line` where what was taken last begins.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.taken.1)
    }

    /// What was taken last.
    pub fn taken(&self) -> &[u8] {
        &self.text[self.taken.0.clone()]
    }

    /// Takes the next event, or what is none.
    ///
    /// # Errors
    /// Where the file cannot be read, or something is longer than any server would take.
    pub fn next_event(&mut self) -> anyhow::Result<Outcome> {
        if let Some(indent) = self.broken.take() {
            self.skip_rest(indent)?;
        }
        loop {
            let Some(byte) = self.peek()? else { return Ok(self.end()) };
            let first = std::mem::replace(&mut self.is_empty, false);
            match byte {
                b'{' => return self.object(),
                b'[' if self.opens_array()? => {
                    self.arrays += 1;
                    self.advance(1);
                }
                b']' if self.arrays > 0 => {
                    self.arrays -= 1;
                    self.advance(1);
                }
                b',' if !first => self.advance(1),
                _ if self.arrays > 0 => return self.element(),
                _ => return self.other_line(),
            }
        }
    }

    /// The end, or why it is none.
    fn end(&mut self) -> Outcome {
        self.take(0);
        let why = match (self.is_empty, self.arrays) {
            (true, _) => "is empty; expected JSON objects",
            (false, 0) => return Outcome::End,
            (false, _) => "ends within an array; it is cut",
        };
        (self.is_empty, self.arrays) = (false, 0);
        Outcome::Bad(why.to_owned())
    }

    /// An object; what looks like one and is none goes to where a line begins anew.
    fn object(&mut self) -> anyhow::Result<Outcome> {
        // Where a search over lines has failed, each line is for itself: so every byte is
        // looked at a bounded number of times.
        let alone = self.from < self.searched;
        match self.value(alone)? {
            Value::Whole(bytes) => {
                self.take(bytes);
                Ok(no_text(self.taken()).map_or(Outcome::Record, Outcome::Bad))
            }
            Value::Cut => {
                if !alone {
                    self.searched = self.text.len();
                }
                self.pass_over("is cut: its last brace is missing")
            }
            Value::Wrong(why, line) => {
                if !alone {
                    self.searched = line;
                }
                self.pass_over(&format!("is no JSON: {why}"))
            }
        }
    }

    /// An element of an array that is no object.
    fn element(&mut self) -> anyhow::Result<Outcome> {
        match self.value(false)? {
            Value::Whole(bytes) => {
                self.take(bytes);
                Ok(Outcome::Bad("is no JSON object".to_owned()))
            }
            Value::Cut | Value::Wrong(..) => self.other_line(),
        }
    }

    /// The rest of a line. A server looks for an object behind a header of syslog, say, so what
    /// may have one is for it to judge.
    fn other_line(&mut self) -> anyhow::Result<Outcome> {
        let bytes = self.rest_of_line()?;
        let line = &self.text[self.from..self.from + bytes];
        let may_have_one = line.contains(&b'{') && line.trim_ascii_end().ends_with(b"}");
        let bytes = line.trim_ascii_end().len();
        self.take(bytes);
        Ok(match may_have_one {
            true => Outcome::Record,
            false => Outcome::Bad("is no JSON object".to_owned()),
        })
    }

    /// Takes this line, and with the next step those that belong to it, as no event.
    fn pass_over(&mut self, why: &str) -> anyhow::Result<Outcome> {
        self.broken = Some(self.indent.0);
        let bytes = self.rest_of_line()?;
        self.take(bytes);
        Ok(Outcome::Bad(why.to_owned()))
    }

    /// Passes over the lines that are indented further, and the one that closes the object.
    fn skip_rest(&mut self, indent: usize) -> anyhow::Result<()> {
        loop {
            let mut at = 1;
            while let Some(b' ' | b'\t' | b'\r') = self.byte(at)? {
                at += 1;
            }
            let closes = match self.byte(at)? {
                None => return Ok(()),
                Some(b'}') if at - 1 == indent => true,
                Some(byte) if byte == b'\n' || at - 1 > indent => false,
                Some(_) => return Ok(()),
            };
            self.advance(1);
            let bytes = self.rest_of_line()?;
            self.advance(bytes);
            if closes {
                return Ok(());
            }
        }
    }

    /// Looks whether a value begins here; `alone`: in this line.
    fn value(&mut self, alone: bool) -> anyhow::Result<Value> {
        loop {
            let end = match alone {
                true => self.from + self.rest_of_line()?,
                false => self.text.len(),
            };
            let text = &self.text[self.from..end];
            let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
            let error = match values.next() {
                Some(Ok(_)) => return Ok(Value::Whole(values.byte_offset())),
                Some(Err(error)) => error,
                None => return Ok(Value::Cut),
            };
            let is_last = alone || self.at_end;
            let ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at);
            let before = ends.take(error.line().saturating_sub(1)).last();
            let line = before.map_or(0, |at| at + 1);
            // At the end of what was read, half a number looks like a wrong one.
            let is_wrong = is_last || line + error.column() < text.len();
            if !error.is_eof() && is_wrong {
                let line = self.from + line;
                // Its own line and column would be those within the object.
                let why = error.to_string();
                let why = why.split(" at line ").next().unwrap_or_default().to_owned();
                return Ok(Value::Wrong(why, line));
            }
            if is_last {
                return Ok(Value::Cut);
            }
            self.read_more(text.len())?;
        }
    }

    /// Whether a bracket opens an array of events, rather than a line of some log.
    fn opens_array(&mut self) -> anyhow::Result<bool> {
        let mut at = 1;
        while self.byte(at)?.is_some_and(is_space) {
            at += 1;
        }
        let is_log = |byte| !matches!(byte, b'{' | b'[' | b']');
        Ok(self.arrays > 0 || !self.byte(at)?.is_some_and(is_log))
    }

    /// A byte from here on.
    fn byte(&mut self, at: usize) -> anyhow::Result<Option<u8>> {
        while self.from + at >= self.text.len() && !self.at_end {
            self.check_length(at)?;
            self.fill()?;
        }
        Ok(self.text.get(self.from + at).copied())
    }

    /// The next byte that says something.
    fn peek(&mut self) -> anyhow::Result<Option<u8>> {
        loop {
            let rest = &self.text[self.from..];
            let spaces = rest.iter().position(|b| !is_space(*b)).unwrap_or(rest.len());
            let byte = rest.get(spaces).copied();
            self.advance(spaces);
            if byte.is_some() || self.at_end {
                return Ok(byte);
            }
            self.fill()?;
        }
    }

    /// Bytes up to the end of this line.
    fn rest_of_line(&mut self) -> anyhow::Result<usize> {
        let mut looked_at = 0;
        loop {
            let rest = &self.text[self.from..];
            let end = rest[looked_at..].iter().position(|b| *b == b'\n');
            if let Some(end) = end {
                return Ok(looked_at + end);
            }
            looked_at = rest.len();
            if self.at_end {
                return Ok(looked_at);
            }
            self.check_length(looked_at)?;
            self.fill()?;
        }
    }

    /// Reads until it is worth while to look again at a value of which `bytes` are there.
    fn read_more(&mut self, bytes: usize) -> anyhow::Result<()> {
        loop {
            self.check_length(self.text.len() - self.from)?;
            let before = self.text.len() - self.from;
            self.fill()?;
            let rest = &self.text[self.from..];
            let may_end = rest.len() < LOOKED_AT_AGAIN && rest[before..].contains(&b'}');
            if self.at_end || may_end || rest.len() >= 2 * bytes {
                return Ok(());
            }
        }
    }

    /// Reads what is there, at least something, or notes the end.
    fn fill(&mut self) -> anyhow::Result<()> {
        self.text.drain(..self.from);
        self.searched = self.searched.saturating_sub(self.from);
        (self.from, self.taken.0) = (0, 0..0);
        let before = self.text.len();
        self.text.resize(before + CHUNK, 0);
        let read = loop {
            match self.reader.read(&mut self.text[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.text.truncate(before + *read.as_ref().unwrap_or(&0));
        let read = read.with_context(|| format!("cannot read {}:{}", self.file, self.line))?;
        self.at_end = read == 0;
        Ok(())
    }

    fn check_length(&self, bytes: usize) -> anyhow::Result<()> {
        let most = limits::MAX_MESSAGE_BYTES;
        if bytes as u64 > most {
            let most = most / 1_000_000;
            bail!("{}:{}: longer than {most} MB; is it JSON?", self.file, self.line);
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) {
        self.taken = (self.from..self.from + bytes, self.line);
        self.advance(bytes);
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.text[self.from..self.from + bytes];
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        let begins = passed.iter().rposition(|b| *b == b'\n');
        let (indent, is_all) = begins.map_or(self.indent, |_| (0, true));
        let new = &passed[begins.map_or(0, |at| at + 1)..];
        let spaces = new.iter().take_while(|b| is_all && matches!(b, b' ' | b'\t')).count();
        self.indent = (indent + spaces, is_all && spaces == new.len());
        self.from += bytes;
    }
}

/// Why no server would take an object's text, which the grammar alone does not tell.
fn no_text(object: &[u8]) -> Option<String> {
    if std::str::from_utf8(object).is_err() {
        return Some(NO_UTF8.to_owned());
    }
    let may_be_half = |text: &[u8]| matches!(text, [b'\\', b'u', b'd' | b'D', ..]);
    if !object.windows(3).any(may_be_half) {
        return None;
    }
    // Characters beyond 16 bits are written as two halves, and one alone is none.
    let error = serde_json::from_slice::<serde_json::Value>(object).err()?.to_string();
    Some(format!("is no JSON: {}", error.split(" at line ").next().unwrap_or_default()))
}

/// What may stand between values: white space, and what some programs end or begin records with.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0 | 0x1e)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let most = self.1.min(out.len());
            self.0.read(&mut out[..most])
        }
    }

    /// Events as they are, and what is none as `line why`.
    fn read_by(bytes: usize, text: &str) -> Vec<String> {
        read(bytes, text.as_bytes())
    }

    fn read(bytes: usize, text: &[u8]) -> Vec<String> {
        let mut events = Events::new(Slow(text, bytes), "f");
        let mut all = Vec::new();
        loop {
            match events.next_event().unwrap() {
                Outcome::Record => all.push(String::from_utf8_lossy(events.taken()).into_owned()),
                Outcome::Bad(why) => all.push(format!("{} {why}", events.place())),
                Outcome::End => return all,
            }
        }
    }

    #[test]
    fn what_is_not_utf_8_is_said() {
        let read = read(7, b"{\"a\":\"caf\xe9\"}\n{\"a\":\"caf\xc3\xa9\"}");
        assert_eq!(read, [format!("f:1 {NO_UTF8}"), "{\"a\":\"caf\u{e9}\"}".to_owned()]);
    }

    #[test]
    fn events_come_whole_and_what_is_none_with_its_place() {
        for (text, expected) in [
            ("{\"a\":1}\r\n\n  \n{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"][..]),
            ("{\"a\":1} {\"a\":2},{}\n\0\x1e{}", &["{\"a\":1}", "{\"a\":2}", "{}", "{}"]),
            (
                "{\n \"a\": {\n  \"b\": \"}\"\n }\n}\n{}",
                &["{\n \"a\": {\n  \"b\": \"}\"\n }\n}", "{}"],
            ),
            ("[\n {\"a\":1},\n {\"a\":2}\n]\n[]\n[[{}]]", &["{\"a\":1}", "{\"a\":2}", "{}"]),
            (
                "[{}, 7, \"x\", [1], {}]",
                &[
                    "{}",
                    "f:1 is no JSON object",
                    "f:1 is no JSON object",
                    "f:1 is no JSON object",
                    "{}",
                ],
            ),
            (
                "hello\n{}\n7\nnull\n[1,2]\n\"{}\"",
                &[
                    "f:1 is no JSON object",
                    "{}",
                    "f:3 is no JSON object",
                    "f:4 is no JSON object",
                    "f:5 is no JSON object",
                    "f:6 is no JSON object",
                ],
            ),
            (
                "<13>Oct 11 host app{x}[1]: {\"a\":1}\n[x] {\"a\":1}",
                &["<13>Oct 11 host app{x}[1]: {\"a\":1}", "[x] {\"a\":1}"],
            ),
            (
                "{\"a\":\"\\ud800\"}\n{\"a\":\"\\ud83d\\uDE00\"}",
                &["f:1 is no JSON: unexpected end of hex escape", "{\"a\":\"\\ud83d\\uDE00\"}"],
            ),
            (
                "{\"a\":1,\n{\"a\":2}\n{\"a\":3}",
                &["f:1 is no JSON: key must be a string", "{\"a\":2}", "{\"a\":3}"],
            ),
            (
                "{\"a\":\n{\"a\":2}\n{\"a\":3}",
                &["f:1 is no JSON: expected `,` or `}`", "{\"a\":2}", "{\"a\":3}"],
            ),
            (
                "{\"a\":\"x\n{\"a\":2}",
                &[
                    "f:1 is no JSON: control character (\\u0000-\\u001F) found while parsing a string",
                    "{\"a\":2}",
                ],
            ),
            (
                "{\"a\":-0.5e-3,\"b\":true,\"c\":\"\\u00e4\\n\"}",
                &["{\"a\":-0.5e-3,\"b\":true,\"c\":\"\\u00e4\\n\"}"],
            ),
            ("{\"a\":007}\n{}", &["f:1 is no JSON: invalid number", "{}"]),
            (
                "{}\n{\"a\":[\n  {\"b\":1},\n  {\"b\":2},\n",
                &["{}", "f:2 is cut: its last brace is missing"],
            ),
            ("{}\n{\"a\":1", &["{}", "f:2 is cut: its last brace is missing"]),
            (
                "[\n  {\n    \"a\": 1,\n    \"b\": x,\n    \"c\": 2\n  },\n  {\n    \"a\": 2\n  }\n]",
                &["f:2 is no JSON: expected value", "{\n    \"a\": 2\n  }"],
            ),
            ("[{},\n{}", &["{}", "{}", "f:2 ends within an array; it is cut"]),
            ("", &["f:1 is empty; expected JSON objects"]),
            (" \n\n", &["f:3 is empty; expected JSON objects"]),
        ] {
            for bytes in [1, 3, 1 << 20] {
                assert_eq!(read_by(bytes, text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn memory_and_time_are_bounded() {
        let endless = std::io::repeat(b'x').take(1 << 40);
        let error = Events::new(endless, "f").next_event().unwrap_err().to_string();
        assert_eq!(error, "f:1: longer than 128 MB; is it JSON?");
        let endless = (&b"{\"a\":\""[..]).chain(std::io::repeat(b'x').take(1 << 40));
        assert!(Events::new(endless, "f").next_event().is_err());
        // Each line opens what none closes.
        let deep = "{\"a\":\n".repeat(200_000);
        let all = read_by(1 << 20, &deep);
        assert_eq!(all.len(), 200_000);
        assert_eq!(all[199_999], "f:200000 is cut: its last brace is missing");
    }
}
