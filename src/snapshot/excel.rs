//! The dialect `excel`: the same rows for a spreadsheet. No sketches; texts that a
//! spreadsheet would run as a formula are defused; cells and files are as long as it takes
//! them. Which separator it takes (comma, semicolon, tab) depends on its settings, so a text is safe
//! with each: it is quoted, and defused wherever a cell may begin in it. Begins with a byte order mark, without which Excel does not read UTF-8 as such.
//!
//! In: cells. Out: one file, or several where there are more rows than a sheet has. Null
//! and the empty string are both an empty cell here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::columns::Column;
use super::csv::{END, put_quoted};
use super::durable::{FileError, TempFile};
use super::files::{Kind, Name};
use crate::output::Cell;

/// Rows of one file, without the header: with it, fewer than the 1,048,576 of a sheet.
pub const ROWS: u64 = 1_048_574;

/// Characters of a cell, as a spreadsheet counts them: in UTF-16.
pub const CELL_CHARACTERS: usize = 32_767;

/// U+FEFF.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a formula begins with, also in full width and small.
const TRIGGERS: [char; 12] =
    ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\u{fe66}', '\u{fe62}', '\u{fe63}', '\u{fe6b}'];

/// The files of one day while they are being written.
pub struct ExcelFiles {
    folder: PathBuf,
    day: i32,
    header: String,
    /// Per column: whether it is written.
    shown: Vec<bool>,
    rows_per_file: u64,
    parts: Vec<TempFile>,
    rows_of_part: u64,
    line: String,
    /// Cells that were longer than a spreadsheet takes.
    pub cut: u64,
}

impl ExcelFiles {
    /// Begins the files of a day.
    ///
    /// # Errors
    /// Where the first cannot be written.
    pub fn create(
        folder: &Path,
        day: i32,
        columns: &[Column],
        rows_per_file: u64,
    ) -> Result<Self, FileError> {
        let mut header = BYTE_ORDER_MARK.to_owned();
        let shown = columns.iter().filter(|c| !c.is_sketch());
        for (at, column) in shown.enumerate() {
            if at > 0 {
                header.push(',');
            }
            put_safe(&column.name, &mut header);
        }
        header.push_str(END);
        let mut files = Self {
            folder: folder.to_owned(),
            day,
            header,
            shown: columns.iter().map(|c| !c.is_sketch()).collect(),
            rows_per_file,
            parts: Vec::new(),
            rows_of_part: 0,
            line: String::new(),
            cut: 0,
        };
        files.begin_part()?;
        Ok(files)
    }

    fn name(&self, revision: u32, part: usize) -> String {
        Name { day: self.day, revision, kind: Kind::Excel(part as u32) }.text()
    }

    fn begin_part(&mut self) -> Result<(), FileError> {
        // The revision is not known yet; no other file is being written for this day.
        let mut part = TempFile::create(&self.folder, &self.name(0, self.parts.len() + 1))?;
        part.write(self.header.as_bytes())?;
        self.parts.push(part);
        self.rows_of_part = 0;
        Ok(())
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&mut self, cells: &[Cell]) -> Result<(), FileError> {
        if self.rows_of_part == self.rows_per_file {
            self.begin_part()?;
        }
        self.rows_of_part += 1;
        self.line.clear();
        let shown = cells.iter().zip(&self.shown).filter(|(_, shown)| **shown);
        for (at, (cell, _)) in shown.enumerate() {
            if at > 0 {
                self.line.push(',');
            }
            self.cut += u64::from(put_cell(cell, &mut self.line));
        }
        self.line.push_str(END);
        match self.parts.last_mut() {
            Some(part) => part.write(self.line.as_bytes()),
            None => Ok(()),
        }
    }

    /// Gives the files their names, in order.
    ///
    /// # Errors
    /// Where one does not come to the disk.
    pub fn publish(mut self, revision: u32) -> Result<Vec<String>, FileError> {
        let parts = std::mem::take(&mut self.parts);
        let named = parts.into_iter().zip(1..).map(|(part, number)| {
            let name = self.name(revision, number);
            part.publish(&name).map(|_| name)
        });
        named.collect()
    }
}

/// Appends a cell. Returns whether it had to be cut.
fn put_cell(cell: &Cell, out: &mut String) -> bool {
    let text: Cow<'_, str> = match cell {
        Cell::Text(text) => text.into(),
        Cell::Items(_) => cell.text().into(),
        other => {
            other.write_text(out);
            return false;
        }
    };
    // Null is an empty cell, too.
    !text.is_empty() && put_safe(&text, out)
}

/// Appends a text in quotes, defused. Returns whether it had to be cut.
fn put_safe(text: &str, out: &mut String) -> bool {
    let safe = defused(text);
    let kept = fitting(&safe, CELL_CHARACTERS);
    put_quoted(kept, out);
    kept.len() < safe.len()
}

/// A text with an apostrophe before everything that a spreadsheet would run.
fn defused(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut from = 0;
    // Some strip these before they look.
    if text.starts_with(['\t', '\r', '\n']) {
        out.push('\'');
    }
    let begins = text.char_indices().filter(|(_, c)| may_end_a_cell(*c));
    for at in std::iter::once(0).chain(begins.map(|(at, c)| at + c.len_utf8())) {
        let is_done = at == 0 && !out.is_empty();
        if !is_done && text[at..].trim_start_matches(is_overlooked).starts_with(TRIGGERS) {
            out.push_str(&text[from..at]);
            out.push('\'');
            from = at;
        }
    }
    if out.is_empty() {
        return text.into();
    }
    out.push_str(&text[from..]);
    out.into()
}

/// Whether another cell may begin behind it, for one who takes another separator than the comma and
/// so does not see the quotes. (Who takes the comma does.)
fn may_end_a_cell(c: char) -> bool {
    matches!(c, ';' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether it may stand before a formula and be overlooked: spaces, what is not seen, quotes.
fn is_overlooked(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c,
            '"' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// As much of a text as has so many UTF-16 units.
fn fitting(text: &str, units: usize) -> &str {
    if text.len() <= units {
        return text;
    }
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > units {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FieldType;
    use crate::snapshot::columns::Columns;
    use crate::snapshot::{files, fixture};

    fn put(text: &str) -> (String, bool) {
        let mut out = String::new();
        let cut = put_cell(&Cell::Text(text.to_owned()), &mut out);
        (out, cut)
    }

    #[test]
    fn formulas_are_defused_and_numbers_are_not() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\r=x", "'\r'=x"),
            ("=HYPERLINK(\"a\",\"b\")", "'=HYPERLINK(\"\"a\"\",\"\"b\"\")"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("'quoted", "'quoted"),
            ("x;=1+1;y", "x;'=1+1;y"),
            ("x\t=1", "x\t'=1"),
            ("x\n =1", "x\n' =1"),
            ("\u{a0}=1", "'\u{a0}=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("x;\"=1", "x;'\"\"=1"),
            ("a, -1; b", "a, -1; b"),
        ] {
            assert_eq!(put(text), (format!("\"{written}\""), false), "{text:?}");
        }
        assert_eq!(put(""), (String::new(), false));
        let mut out = String::new();
        put_cell(&Cell::int(-5), &mut out);
        put_cell(&Cell::Null, &mut out);
        assert_eq!(out, "-5");
    }

    /// The cells of a file as a spreadsheet takes them with some separators: a cell that begins
    /// with a quote goes to the next single one, and what follows that belongs to it as well.
    fn cells(file: &str, separators: &[char]) -> Vec<String> {
        let (mut all, mut cell) = (Vec::new(), String::new());
        let mut rest = file.chars().peekable();
        let (mut is_begun, mut in_quotes) = (false, false);
        while let Some(c) = rest.next() {
            let was_begun = std::mem::replace(&mut is_begun, true);
            match c {
                '"' if in_quotes && rest.peek() == Some(&'"') => cell.extend(rest.next()),
                '"' if in_quotes => in_quotes = false,
                '"' if !was_begun => in_quotes = true,
                '\r' | '\n' if !in_quotes => {
                    all.push(std::mem::take(&mut cell));
                    is_begun = false;
                }
                c if separators.contains(&c) && !in_quotes => {
                    all.push(std::mem::take(&mut cell));
                    is_begun = false;
                }
                c => cell.push(c),
            }
        }
        all.push(cell);
        all
    }

    #[test]
    fn nothing_runs_whatever_the_separator() {
        let pieces = [
            "=1+1", "x", ";", ",", "\t", "\"", "\n", "\r\n", " ", "\u{a0}", "\u{feff}", "\u{200b}",
            "\u{b}", "\u{c}", "＝1", "-1", "@a", "'",
        ];
        let count = pieces.len();
        let mut file = BYTE_ORDER_MARK.to_owned();
        put_safe("=header", &mut file);
        for at in 0..count.pow(4) {
            let piece = |power: u32| pieces[at / count.pow(power) % count];
            let text = [piece(0), piece(1), piece(2), piece(3)].concat();
            file.push_str(END);
            file.push_str("2026-11-20,");
            put_safe(&text, &mut file);
            file.push_str(",-5,");
            put_cell(&Cell::Text(text), &mut file);
        }
        for separators in [&[','][..], &[';'], &['\t'], &[',', ';', '\t'], &[',', '\t']] {
            for cell in cells(&file, separators) {
                let shown = cell.trim_start_matches(is_overlooked);
                assert!(cell == "-5" || !shown.starts_with(TRIGGERS), "{separators:?} {cell:?}");
            }
        }
    }

    #[test]
    fn cells_are_cut_between_characters() {
        assert!(!put(&"x".repeat(CELL_CHARACTERS)).1);
        let most = format!("\"{}\"", "x".repeat(CELL_CHARACTERS));
        assert_eq!(put(&"x".repeat(CELL_CHARACTERS + 1)), (most, true));
        // Each of these is two units: the last one does not fit by half.
        let (written, cut) = put(&"𝄞".repeat(CELL_CHARACTERS));
        assert!(cut && written.chars().count() == CELL_CHARACTERS / 2 + 2);
        let (written, cut) = put(&"=".repeat(CELL_CHARACTERS));
        assert!(cut && written.len() == CELL_CHARACTERS + 2);
    }

    #[test]
    fn rows_are_split_over_files_and_sketches_left_out() {
        let schema = fixture::schema();
        assert_eq!(schema.fields[0].kind, FieldType::String);
        let layout = fixture::layout(&schema, vec![1, 2, 3, 4, 5]);
        let columns = Columns::new(&schema, &schema.summaries[0], layout);
        let folder = tempfile::tempdir().unwrap();
        let mut excel = ExcelFiles::create(folder.path(), 0, columns.list(), 2).unwrap();
        for row in 0..5 {
            let cells: Vec<Cell> = columns.list().iter().map(|_| Cell::int(row)).collect();
            excel.write(&cells).unwrap();
        }
        let names = excel.publish(3).unwrap();
        assert_eq!(
            names,
            ["1970-01-01.r3.excel.csv", "1970-01-01.r3.excel.2.csv", "1970-01-01.r3.excel.3.csv",]
        );
        let read = |name: &String| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let header = "\u{feff}\"day\",\"site\",\"price\",\"views\",\"cost\",\"users\",\"users_error\",\
            \"latency_p50\",\"latency_p90\",\"latency_p95\",\"latency_p99\",\"page\",\
            \"cost_per_view\"\r\n";
        let row = |n: u32| format!("{}\r\n", vec![n.to_string(); 13].join(","));
        assert_eq!(read(&names[0]), format!("{header}{}{}", row(0), row(1)));
        assert_eq!(read(&names[2]), format!("{header}{}", row(4)));
        assert_eq!(files::names(folder.path()).unwrap().len(), 3);
    }
}
