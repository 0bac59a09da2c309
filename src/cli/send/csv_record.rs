//! The records of a CSV file, as RFC 4180 has them: cells that quotes may hold together, in which a
//! quote is written twice. Written by hand, because a library that takes everything would send what
//! is broken altered.
//!
//! In: bytes. Out: cells, or why a record is broken. What may differ: LF, CRLF or CR end all
//! records; a quote within a cell that begins with none is itself; empty lines are none.

use std::io::{self, BufRead};

use crate::limits;

/// Bytes of a record that are kept to be shown.
const KEPT: usize = 2000;

/// One record.
#[derive(Default)]
pub struct Record {
    text: Vec<u8>,
    /// Where each cell ends.
    ends: Vec<usize>,
    /// As it stands in the file; no more of it than is shown.
    written: Vec<u8>,
    /// Bytes that it has there.
    pub length: u64,
    /// Its first line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub broken: Option<&'static str>,
}

impl Record {
    /// Its cells.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let begins = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] };
        self.ends.iter().enumerate().map(move |(at, end)| &self.text[begins(at)..*end])
    }

    /// How it begins in the file.
    pub fn written(&self) -> &[u8] {
        self.written.trim_ascii_end()
    }

    fn clear(&mut self, line: u64) {
        self.text.clear();
        self.ends.clear();
        self.written.clear();
        (self.length, self.line, self.broken) = (0, line, None);
    }

    fn end_cell(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Where the reader is in a record.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the first byte of a cell.
    Start,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: the end of it, or half of one.
    Closed,
    /// In what is broken: to the end of the line.
    Broken,
}

/// What ends the records of a file.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Unknown,
    Lf,
    Cr,
}

/// Reads records.
pub struct Records<R> {
    reader: R,
    line: u64,
    ends: Ends,
}

impl<R: BufRead> Records<R> {
    /// Of a file from its beginning.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 1, ends: Ends::Unknown }
    }

    /// Reads the next record; false where there is none. One that is longer than a server could
    /// take is broken, and what is left of it is not read.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(&mut self, record: &mut Record) -> io::Result<bool> {
        record.clear(self.line);
        let mut state = State::Start;
        loop {
            let Some(byte) = self.next_byte()? else {
                return Ok(self.end_of_file(state, record));
            };
            if byte == b'\r' && state != State::Quoted {
                match (self.peek()?, self.ends) {
                    (Some(b'\n'), _) => continue,
                    (Some(_), Ends::Lf) => {
                        record.broken.get_or_insert("has a carriage return that ends no line");
                        state = State::Broken;
                        continue;
                    }
                    (None, Ends::Lf) => {}
                    _ => self.ends = Ends::Cr,
                }
                self.line += 1;
                if self.end_of_record(state, record) {
                    return Ok(true);
                }
                state = State::Start;
                continue;
            }
            if byte == b'\n' {
                self.line += 1;
                if state != State::Quoted {
                    if self.ends == Ends::Unknown {
                        self.ends = Ends::Lf;
                    }
                    if self.end_of_record(state, record) {
                        return Ok(true);
                    }
                    state = State::Start;
                    continue;
                }
            }
            record.length += 1;
            if record.written.len() < KEPT {
                record.written.push(byte);
            }
            if record.length > limits::MAX_MESSAGE_BYTES {
                record.broken = Some("is longer than any server would take");
                return Ok(true);
            }
            state = next_state(state, byte, record);
        }
    }

    /// Whether the record that ends here is one; an empty line is none.
    fn end_of_record(&self, state: State, record: &mut Record) -> bool {
        if state == State::Start && record.length == 0 {
            record.clear(self.line);
            return false;
        }
        record.end_cell();
        true
    }

    fn end_of_file(&self, state: State, record: &mut Record) -> bool {
        if state == State::Quoted {
            record.broken.get_or_insert(
                "has a quote that is opened and never closed, so that the rest of the file \
                 belongs to it",
            );
        }
        self.end_of_record(state, record)
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        self.reader.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes a byte that ends no record.
fn next_state(state: State, byte: u8, record: &mut Record) -> State {
    if byte == 0 && state != State::Broken {
        record.broken = Some("has a NUL byte; is it UTF-16?");
        // A quote that is open goes on.
        return if state == State::Quoted { State::Quoted } else { State::Broken };
    }
    match (state, byte) {
        (State::Start, b'"') => State::Quoted,
        (State::Start | State::Plain, b',') | (State::Closed, b',') => {
            record.end_cell();
            State::Start
        }
        (State::Quoted, b'"') => State::Closed,
        (State::Closed, b'"') => {
            record.text.push(b'"');
            State::Quoted
        }
        (State::Closed | State::Broken, _) => {
            record.broken.get_or_insert("has text after a closing quote");
            State::Broken
        }
        (State::Start | State::Plain, _) => {
            record.text.push(byte);
            State::Plain
        }
        (State::Quoted, _) => {
            record.text.push(byte);
            State::Quoted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record as its line, its cells by `|`, and what is wrong with it.
    fn read(text: &str) -> Vec<String> {
        let (mut records, mut record) = (Records::new(text.as_bytes()), Record::default());
        let mut all = Vec::new();
        while records.read(&mut record).unwrap() {
            all.push(match record.broken {
                Some(why) => format!("{} {why}", record.line),
                None => {
                    let cells: Vec<_> = record.cells().map(String::from_utf8_lossy).collect();
                    format!("{} {}", record.line, cells.join("|"))
                }
            });
        }
        all
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        for (text, expected) in [
            ("", &[][..]),
            ("\n\r\n\n", &[]),
            ("a", &["1 a"]),
            ("a,b\r\nc,\"d\r\n\"\r\n,\n", &["1 a|b", "2 c|d\r\n", "4 |"]),
            ("a\rb,c\r\rd", &["1 a", "2 b|c", "4 d"]),
            ("a\n\"\"\"x\"\", y\"\n5\" pipe\n\"\"", &["1 a", "2 \"x\", y", "3 5\" pipe", "4 "]),
            ("a\nb\rc\nd", &["1 a", "2 has a carriage return that ends no line", "3 d"]),
            ("a\nb\r", &["1 a", "2 b"]),
            ("a\n\"b\"c,\"d\ne\n", &["1 a", "2 has text after a closing quote", "3 e"]),
            ("a\n\"b\" \nc", &["1 a", "2 has text after a closing quote", "3 c"]),
            ("a\nb\0\nc", &["1 a", "2 has a NUL byte; is it UTF-16?", "3 c"]),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        let open = read("a\nb\n\"c\nd\n");
        assert!(open[2].starts_with("3 has a quote that is opened"), "{open:?}");
        assert_eq!(open.len(), 3);
    }

    #[test]
    fn what_a_library_writes_is_read_as_it_was() {
        let pieces = ["a", "", "\"", ",", "\r\n", "\n", "\r", "ä", " "];
        let cells: Vec<String> = (0..729)
            .map(|i| [i % 9, i / 9 % 9, i / 81].map(|p: usize| pieces[p]).concat())
            .collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        cells.chunks(27).for_each(|row| writer.write_record(row).unwrap());
        let text = writer.into_inner().unwrap();
        let (mut records, mut record) = (Records::new(&text[..]), Record::default());
        for row in cells.chunks(27) {
            assert!(records.read(&mut record).unwrap() && record.broken.is_none());
            assert!(record.cells().eq(row.iter().map(String::as_bytes)), "{row:?}");
        }
        assert!(!records.read(&mut record).unwrap());
    }
}
