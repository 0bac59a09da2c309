//! Rows of a CSV file as JSON objects. The header names the members. A cell that is
//! exactly a JSON number is written as a number, of which the server keeps the text where
//! a field is a string; an empty cell is left out; anything else is a string.

use std::io::BufRead;

use anyhow::{Context, bail};

/// Reads the rows of one file.
pub struct CsvRows<R> {
    reader: csv::Reader<R>,
    record: csv::ByteRecord,
    file: String,
    rows: u64,
    /// `"name":` per column.
    members: Vec<Vec<u8>>,
}

impl<R: BufRead> CsvRows<R> {
    /// Reads the header. `file` is for messages.
    ///
    /// # Errors
    /// Where there is none, or two columns have one name.
    pub fn new(reader: R, file: &str) -> anyhow::Result<Self> {
        let mut reader = csv::Reader::from_reader(reader);
        let header = reader.byte_headers().with_context(|| format!("{file}:1: no CSV header"))?;
        if header.is_empty() {
            bail!("{file}: is empty; expected a CSV header with the names of the fields");
        }
        let names: Vec<&[u8]> = header.iter().collect();
        for (at, name) in names.iter().enumerate() {
            let shown = String::from_utf8_lossy(name);
            if name.is_empty() {
                bail!("{file}:1: column {} has no name; give it one", at + 1);
            }
            if names[..at].contains(name) {
                bail!("{file}:1: two columns are named \"{shown}\"; rename one");
            }
        }
        let member = |name: &&[u8]| {
            let mut member = Vec::new();
            write_string(name, &mut member);
            member.push(b':');
            member
        };
        let members = names.iter().map(member).collect();
        Ok(Self { reader, record: csv::ByteRecord::new(), file: file.to_owned(), rows: 0, members })
    }

    /// Writes the next row as one line; false after the last.
    ///
    /// # Errors
    /// Where the file cannot be read, or a row has not as many cells as the header.
    pub fn next_row(&mut self, line: &mut Vec<u8>) -> anyhow::Result<bool> {
        line.clear();
        let more = self.reader.read_byte_record(&mut self.record);
        if !more.with_context(|| format!("{}: cannot be read as CSV", self.file))? {
            return Ok(false);
        }
        self.rows += 1;
        line.push(b'{');
        for (member, cell) in self.members.iter().zip(&self.record) {
            if cell.is_empty() {
                continue;
            }
            if line.len() > 1 {
                line.push(b',');
            }
            line.extend_from_slice(member);
            match is_json_number(cell) {
                true => line.extend_from_slice(cell),
                false => write_string(cell, line),
            }
        }
        line.push(b'}');
        Ok(true)
    }

    /// File and number of the row that was read last. (Lines are not counted: cells may
    /// hold some, and ends of lines differ.)
    pub fn place(&self) -> String {
        format!("{}, row {}", self.file, self.rows)
    }
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

/// Writes a JSON string. Bytes that are not UTF-8 stay as they are: the server judges them.
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

    fn convert(text: &str) -> anyhow::Result<Vec<String>> {
        let mut rows = CsvRows::new(text.as_bytes(), "f.csv")?;
        let (mut all, mut line) = (Vec::new(), Vec::new());
        while rows.next_row(&mut line)? {
            all.push(format!("{} {}", rows.place(), String::from_utf8(line.clone())?));
        }
        Ok(all)
    }

    #[test]
    fn cells_become_members() {
        let text = "\u{feff}code,text,n\r\n85123A,\"a \"\"b\"\", c\",-6\r\n007,,17850.0\r\n\"two\nlines\",\\,1e5\r\n";
        let expected = [
            r#"f.csv, row 1 {"code":"85123A","text":"a \"b\", c","n":-6}"#,
            r#"f.csv, row 2 {"code":"007","n":17850.0}"#,
            r#"f.csv, row 3 {"code":"two\u000alines","text":"\\","n":1e5}"#,
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
        assert!(message("a,b\n1,2\n1\n").contains("line: 3"));
    }
}
