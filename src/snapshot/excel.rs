//! The dialect `excel`: the same rows for a spreadsheet. No sketches; texts that a
//! spreadsheet would run as a formula are defused; cells and files are as long as it takes
//! them. Begins with a byte order mark, without which Excel does not read UTF-8 as such.
//!
//! In: cells. Out: one file, or several where there are more rows than a sheet has. Null
//! and the empty string are both an empty cell here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::columns::Column;
use super::csv::{END, put_names, put_text};
use super::durable::{FileError, TempFile};
use super::files::{Kind, Name};
use crate::output::Cell;

/// Rows of one file, without the header: with it, fewer than the 1,048,576 of a sheet.
pub const ROWS: u64 = 1_048_574;

/// Characters of a cell, as a spreadsheet counts them: in UTF-16.
pub const CELL_CHARACTERS: usize = 32_767;

/// U+FEFF.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a formula begins with, also in full width; and what some strip before they look.
const DANGEROUS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

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
        put_names(shown.map(|c| c.name.as_str()), &mut header);
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
    if !text.starts_with(DANGEROUS) {
        let kept = fitting(&text, CELL_CHARACTERS);
        put_text(kept, out);
        return kept.len() < text.len();
    }
    let kept = fitting(&text, CELL_CHARACTERS - 1);
    put_text(&format!("'{kept}"), out);
    kept.len() < text.len()
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
            ("\rx", "\"'\rx\""),
            ("=HYPERLINK(\"a\",\"b\")", "\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\""),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("'quoted", "'quoted"),
            ("", ""),
        ] {
            assert_eq!(put(text), (written.to_owned(), false), "{text:?}");
        }
        let mut out = String::new();
        put_cell(&Cell::int(-5), &mut out);
        put_cell(&Cell::Null, &mut out);
        assert_eq!(out, "-5");
    }

    #[test]
    fn cells_are_cut_between_characters() {
        assert!(!put(&"x".repeat(CELL_CHARACTERS)).1);
        assert_eq!(put(&"x".repeat(CELL_CHARACTERS + 1)), ("x".repeat(CELL_CHARACTERS), true));
        // Each of these is two units: the last one does not fit by half.
        let (written, cut) = put(&"𝄞".repeat(CELL_CHARACTERS));
        assert!(cut && written.chars().count() == CELL_CHARACTERS / 2);
        let (written, cut) = put(&"=".repeat(CELL_CHARACTERS));
        assert!(cut && written.len() == CELL_CHARACTERS);
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
        let header = "\u{feff}day,site,price,views,cost,users,users_error,latency_p50,latency_p90,\
            latency_p95,latency_p99,page,cost_per_view\r\n";
        let row = |n: u32| format!("{}\r\n", vec![n.to_string(); 13].join(","));
        assert_eq!(read(&names[0]), format!("{header}{}{}", row(0), row(1)));
        assert_eq!(read(&names[2]), format!("{header}{}", row(4)));
        assert_eq!(files::names(folder.path()).unwrap().len(), 3);
    }
}
