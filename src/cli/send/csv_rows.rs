//! Rows of a CSV file as JSON objects. The header names the members. A cell that is
//! exactly a JSON number is written as a number, of which the server keeps the text where
//! a field is a string; an empty cell is left out; anything else is a string, but for `true`
//! and `false` in the columns that are said to have them: only there it is known that no
//! text is meant.

use std::io::BufRead;

use anyhow::{Context, bail};

use super::csv_record::{Record, Records};
use super::input::{NO_UTF8, Outcome};
use crate::cli::table::{counted, printable};
use crate::limits;

/// Bytes of a bad row that are shown.
const SHOWN: usize = 1000;

/// Reads the rows of one file.
pub struct CsvRows<R> {
    records: Records<R>,
    record: Record,
    file: String,
    rows: u64,
    columns: Vec<Column>,
}

struct Column {
    /// `"name":`
    member: Vec<u8>,
    is_bool: bool,
}

impl<R: BufRead> CsvRows<R> {
    /// Reads the header. `file` is for messages; `bools` names the columns of which `true`
    /// and `false` are no texts.
    ///
    /// # Errors
    /// Where there is none, two columns have one name, or one of `bools` is no column.
    pub fn new(reader: R, file: &str, bools: &[String]) -> anyhow::Result<Self> {
        let (mut records, mut record) = (Records::new(reader), Record::default());
        let read = records.read(&mut record);
        if !read.with_context(|| format!("{file}:1: no CSV header"))? {
            bail!("{file}: is empty; expected a CSV header with the names of the fields");
        }
        let at = format!("{file}:{}", record.line);
        if let Some(why) = record.broken {
            bail!("{at}: the header {why}; mend it");
        }
        let names: Vec<&[u8]> = record.cells().collect();
        if let [name] = names[..]
            && let Some(other) = [b';', b'\t'].iter().find(|b| name.contains(b))
        {
            let other = char::from(*other).escape_debug();
            bail!("{at}: one column, whose name has \"{other}\"; write the file with commas");
        }
        for (column, name) in names.iter().enumerate() {
            if std::str::from_utf8(name).is_err() {
                bail!("{at}: the name of column {} {NO_UTF8}", column + 1);
            }
            if name.is_empty() {
                bail!("{at}: column {} has no name; give it one", column + 1);
            }
            if names[..column].contains(name) {
                bail!("{at}: two columns are named \"{}\"; rename one", shown(name));
            }
        }
        if let Some(missing) = bools.iter().find(|b| !names.contains(&b.as_bytes())) {
            bail!("{at}: no column is named \"{missing}\", which --bool says");
        }
        let column = |name: &&[u8]| {
            let mut member = Vec::new();
            write_string(name, &mut member);
            member.push(b':');
            Column { member, is_bool: bools.iter().any(|b| b.as_bytes() == *name) }
        };
        let columns = names.iter().map(column).collect();
        Ok(Self { records, record, file: file.to_owned(), rows: 0, columns })
    }

    /// Writes the next row as one line.
    ///
    /// # Errors
    /// Where the file cannot be read, or a row is longer than any server would take.
    pub fn next_row(&mut self, line: &mut Vec<u8>) -> anyhow::Result<Outcome> {
        line.clear();
        let more = self.records.read(&mut self.record);
        if !more.with_context(|| format!("{}: cannot be read as CSV", self.file))? {
            return Ok(Outcome::End);
        }
        self.rows += 1;
        if self.record.length > limits::MAX_MESSAGE_BYTES {
            let most = limits::MAX_MESSAGE_BYTES / 1_000_000;
            bail!("{}: longer than {most} MB; is a quote never closed?", self.place());
        }
        if let Some(why) = self.record.broken {
            return Ok(Outcome::Bad(why.to_owned()));
        }
        let (cells, columns) = (self.record.cells().len(), self.columns.len());
        if cells != columns {
            let cells = counted(cells as u64, "cell");
            return Ok(Outcome::Bad(format!("has {cells}, the header has {columns}")));
        }
        if self.record.cells().any(|cell| std::str::from_utf8(cell).is_err()) {
            return Ok(Outcome::Bad(NO_UTF8.to_owned()));
        }
        line.push(b'{');
        for (Column { member, is_bool }, cell) in self.columns.iter().zip(self.record.cells()) {
            if cell.is_empty() {
                continue;
            }
            if line.len() > 1 {
                line.push(b',');
            }
            line.extend_from_slice(member);
            match cell {
                // As spreadsheets write them, too.
                b"true" | b"TRUE" | b"True" if *is_bool => line.extend_from_slice(b"true"),
                b"false" | b"FALSE" | b"False" if *is_bool => line.extend_from_slice(b"false"),
                cell if is_json_number(cell) => line.extend_from_slice(cell),
                cell => write_string(cell, line),
            }
        }
        line.push(b'}');
        Ok(Outcome::Record)
    }

    /// File, line and number of the row that was read last.
    pub fn place(&self) -> String {
        format!("{}:{}, row {}", self.file, self.record.line, self.rows)
    }

    /// How the row that was read last is written, for people to look at; cut where it is long.
    pub fn shown(&self) -> String {
        shown(self.record.written())
    }
}

/// A text to look at; cut where it is long.
pub(super) fn shown(text: &[u8]) -> String {
    let cut = printable(&String::from_utf8_lossy(&text[..text.len().min(SHOWN)]));
    if text.len() > SHOWN { format!("{cut} …") } else { cut }
}

/// Whether a text is a number by JSON's grammar: `-12.5e3`, not `007`, `.5` or `+1`.
fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || whole > 1 && rest[0] == b'0' {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', rest @ ..] => rest,
            rest => rest,
        };
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// Writes a JSON string.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert_with(text: &str, bools: &[&str]) -> anyhow::Result<Vec<String>> {
        let bools: Vec<String> = bools.iter().map(|b| (*b).to_owned()).collect();
        let mut rows = CsvRows::new(text.as_bytes(), "f.csv", &bools)?;
        let (mut all, mut line) = (Vec::new(), Vec::new());
        loop {
            match rows.next_row(&mut line)? {
                Outcome::Record => {
                    all.push(format!("{} {}", rows.place(), String::from_utf8(line.clone())?));
                }
                Outcome::Bad(why) => {
                    all.push(format!("{} {why}: {}", rows.place(), rows.shown()));
                }
                Outcome::End => return Ok(all),
            }
        }
    }

    fn convert(text: &str) -> anyhow::Result<Vec<String>> {
        convert_with(text, &[])
    }

    #[test]
    fn cells_become_members() {
        let text = "code,text,n\r\n85123A,\"a \"\"b\"\", c\",-6\r\n007,,17850.0\r\n\"two\nlines\",\\,1e5\r\n";
        let expected = [
            r#"f.csv:2, row 1 {"code":"85123A","text":"a \"b\", c","n":-6}"#,
            r#"f.csv:3, row 2 {"code":"007","n":17850.0}"#,
            r#"f.csv:4, row 3 {"code":"two\u000alines","text":"\\","n":1e5}"#,
        ];
        assert_eq!(convert(text).unwrap(), expected);
    }

    #[test]
    fn numbers_are_those_of_json() {
        let numbers = ["0", "-0", "1", "-12.50", "1e5", "1E+5", "0.1e-3", "99999999999999999999"];
        let others =
            ["", "-", "007", ".5", "5.", "+1", "1e", "1e+", "0x1", "NaN", "1 ", " 1", "1,5", "--1"];
        assert!(numbers.iter().all(|n| is_json_number(n.as_bytes())));
        assert!(!others.iter().any(|n| is_json_number(n.as_bytes())));
        for number in numbers {
            assert!(serde_json::from_str::<serde_json::Value>(number).is_ok());
        }
    }

    #[test]
    fn bad_files_are_refused_with_their_place() {
        let message = |text| format!("{:#}", convert(text).unwrap_err());
        assert!(message("a,a\n1,2\n").contains("two columns are named \"a\""));
        assert!(message("a,\n1,2\n").contains("column 2 has no name"));
        assert!(message("").contains("is empty"));
        assert!(message("a,\"b\n1,2\n").contains("the header has a quote that is opened"));
        assert!(message("a;b\n1;2\n").contains("name has \";\"; write the file with commas"));
        assert!(message("a\tb\n1\t2\n").contains("name has \"\\t\""));
        assert!(message("sep=;\na;b\n").contains("name has \";\""));
        let missing = format!("{:#}", convert_with("a\n1\n", &["b"]).unwrap_err());
        assert!(missing.contains("no column is named \"b\""), "{missing}");
    }

    #[test]
    fn what_is_not_utf_8_is_said() {
        let mut rows = CsvRows::new(&b"a,b\n1,caf\xe9\n2,caf\xc3\xa9\n"[..], "f.csv", &[]).unwrap();
        let mut line = Vec::new();
        assert_eq!(rows.next_row(&mut line).unwrap(), Outcome::Bad(NO_UTF8.to_owned()));
        assert_eq!(rows.next_row(&mut line).unwrap(), Outcome::Record);
        let header = CsvRows::new(&b"a,caf\xe9\n"[..], "f.csv", &[]).err().unwrap().to_string();
        assert!(header.contains("f.csv:1: the name of column 2 is not UTF-8"), "{header}");
    }

    #[test]
    fn a_bad_row_is_passed_over() {
        let rows = convert("a,b\n1,2\n1\n\n1,\"x,\ny\",3\n3,4").unwrap();
        let expected = [
            r#"f.csv:2, row 1 {"a":1,"b":2}"#,
            r"f.csv:3, row 2 has 1 cell, the header has 2: 1",
            r#"f.csv:5, row 3 has 3 cells, the header has 2: 1,"x,\ny",3"#,
            r#"f.csv:7, row 4 {"a":3,"b":4}"#,
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_noticed() {
        for end in ["\"open", "\"", "\"a\"\"", "\"a\n3,4\n5,6\n"] {
            let rows = convert(&format!("a,b\n1,2\n3,{end}")).unwrap();
            assert_eq!(rows.len(), 2, "{rows:?}");
            assert!(rows[1].starts_with("f.csv:3, row 2 has a quote that is opened"), "{rows:?}");
        }
        // Quotes that open nothing, and ends of all kinds.
        for end in ["5\" pipe", "\"x\n\"", "\"x\"\n", "x\r\n", "x\r", "", "\n\n"] {
            assert_eq!(convert(&format!("a,b\n1,2\n3,{end}")).unwrap().len(), 2, "{end:?}");
        }
        assert_eq!(convert("a,b").unwrap(), [""; 0]);
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
        use std::io::{BufReader, Read};
        for (text, expected) in [
            ("a,b\n1,2\n3,\"", "f.csv:3, row 2: longer than 128 MB; is a quote never closed?"),
            ("a,\"b", "f.csv:1: the header is longer than any server would take; mend it"),
        ] {
            let endless = text.as_bytes().chain(std::io::repeat(b'x').take(300_000_000));
            let mut rows = CsvRows::new(BufReader::new(endless), "f.csv", &[]);
            let error = loop {
                match rows.as_mut().map(|rows| rows.next_row(&mut Vec::new())) {
                    Ok(Ok(Outcome::Record)) => {}
                    Ok(Ok(other)) => panic!("{other:?}"),
                    Ok(Err(error)) => break error.to_string(),
                    Err(error) => break error.to_string(),
                }
            };
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn only_columns_that_are_said_to_be_have_bools() {
        let text = "ok,text\ntrue,true\nFALSE,FALSE\n1,\nyes,\n,x\n";
        let expected = [
            r#"f.csv:2, row 1 {"ok":true,"text":"true"}"#,
            r#"f.csv:3, row 2 {"ok":false,"text":"FALSE"}"#,
            r#"f.csv:4, row 3 {"ok":1}"#,
            r#"f.csv:5, row 4 {"ok":"yes"}"#,
            r#"f.csv:6, row 5 {"text":"x"}"#,
        ];
        assert_eq!(convert_with(text, &["ok"]).unwrap(), expected);
    }
}
