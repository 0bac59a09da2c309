//! How a record is written: RFC 4180 and UTF-8, with CRLF behind every record, and the
//! dialect `exact`, in which nothing is lost.
//!
//! In: cells. Out: text. Not written with a CSV library, because null and the empty string
//! must differ by their quotes alone; the tests read everything back with one.
//!
//! `exact` is what PostgreSQL's `COPY … (FORMAT csv, HEADER)` reads: null is an empty field,
//! the empty string `""`. A field that is `\.` is quoted, as PostgreSQL does it itself. Two
//! things remain that no quoting helps: PostgreSQL has no text with U+0000, so that U+FFFD stands
//! for it unless `snapshots.nul` says otherwise ([`replace_nuls`]), and psql's `\copy` before
//! version 18 takes a line `\.` within a quoted field for the end of the file
//! (the server's `COPY` does not).

use crate::output::Cell;

/// Ends a record.
pub const END: &str = "\r\n";

/// Puts U+FFFD in the place of each U+0000. Returns in how many cells there were some.
pub fn replace_nuls(cells: &mut [Cell]) -> u64 {
    let replace = |text: &mut String| {
        let has = text.as_bytes().contains(&0);
        if has {
            *text = text.replace('\0', "\u{fffd}");
        }
        has
    };
    let replaced = cells.iter_mut().filter_map(|cell| match cell {
        Cell::Text(text) => replace(text).then_some(()),
        Cell::Items(items) => {
            items.iter_mut().fold(false, |any, item| replace(&mut item.item) | any).then_some(())
        }
        _ => None,
    });
    replaced.count() as u64
}

/// Appends a header.
pub fn put_names<'a>(names: impl Iterator<Item = &'a str>, out: &mut String) {
    for (at, name) in names.enumerate() {
        if at > 0 {
            out.push(',');
        }
        put_text(name, out);
    }
    out.push_str(END);
}

/// Appends a record in the dialect `exact`.
pub fn put_exact(cells: &[Cell], out: &mut String) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match cell {
            Cell::Text(text) if text.is_empty() => out.push_str("\"\""),
            Cell::Text(text) => put_text(text, out),
            Cell::Items(_) => put_text(&cell.text(), out),
            // Numbers, days and truth values have nothing to quote.
            other => other.write_text(out),
        }
    }
    out.push_str(END);
}

/// Appends a field, in quotes where it needs them.
pub fn put_text(text: &str, out: &mut String) {
    let needs_quotes = |byte: u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
    if !text.bytes().any(needs_quotes) && text != "\\." {
        out.push_str(text);
        return;
    }
    put_quoted(text, out);
}

/// Appends a field in quotes.
pub fn put_quoted(text: &str, out: &mut String) {
    out.push('"');
    for (at, piece) in text.split('"').enumerate() {
        if at > 0 {
            out.push_str("\"\"");
        }
        out.push_str(piece);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sketches::top::Frequent;

    use super::*;

    fn exact(cells: &[Cell]) -> String {
        let mut out = String::new();
        put_exact(cells, &mut out);
        out
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn null_is_not_the_empty_string() {
        assert_eq!(
            exact(&[Cell::Day(0), Cell::Null, text(""), Cell::Null]),
            "1970-01-01,,\"\",\r\n"
        );
    }

    #[test]
    fn what_must_be_quoted_is_and_nothing_else() {
        for (value, written) in [
            ("plain text", "plain text"),
            (" spaces ", " spaces "),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("\"", "\"\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\rlines", "\"two\rlines\""),
            ("\\.", "\"\\.\""),
            ("a\\.", "a\\."),
            ("NULL", "NULL"),
            ("=1+1", "=1+1"),
            ("ä\u{0}", "ä\u{0}"),
        ] {
            assert_eq!(exact(&[text(value)]), format!("{written}\r\n"), "{value:?}");
        }
    }

    #[test]
    fn frequent_values_are_a_list_in_json() {
        let item = |item: &str, upper| Frequent { item: item.to_owned(), lower: upper - 1, upper };
        let cells = [Cell::Items(vec![item("a", 5), item("\"ä", 2)]), Cell::Items(Vec::new())];
        let list = r#"[["a",5,4],["\"ä",2,1]]"#;
        assert_eq!(exact(&cells), format!("\"{}\",[]\r\n", list.replace('"', "\"\"")));
        let mut json = String::new();
        cells[0].write_json(&mut json);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap(),
            serde_json::json!([
                { "value": "a", "count": 5, "lower": 4, "upper": 5 },
                { "value": "\"ä", "count": 2, "lower": 1, "upper": 2 },
            ])
        );
    }

    #[test]
    fn a_nul_becomes_what_every_reader_can_hold() {
        let item = Frequent { item: "\0".to_owned(), lower: 1, upper: 1 };
        let mut cells = [text("a\0b\0"), text("ab"), Cell::Items(vec![item]), Cell::Null];
        assert_eq!(replace_nuls(&mut cells), 2);
        let list = "\"[[\"\"\u{fffd}\"\",1,1]]\"";
        assert_eq!(exact(&cells), format!("a\u{fffd}b\u{fffd},ab,{list},\r\n"));
        assert_eq!(replace_nuls(&mut cells), 0);
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        let cells = [
            Cell::int(-7),
            Cell::Exact(1_500_000, 6),
            Cell::Float(0.1),
            Cell::Float(1e-7),
            Cell::Bool(true),
        ];
        assert_eq!(exact(&cells), "-7,1.500000,0.1,0.0000001,true\r\n");
    }

    proptest! {
        #[test]
        fn a_library_reads_back_what_was_written(
            rows in prop::collection::vec(prop::collection::vec("[a\",\r\n\\\\.ä ]{0,6}", 3), 0..5),
        ) {
            let mut file = String::new();
            put_names(["a", "b", "c"].into_iter(), &mut file);
            for row in &rows {
                put_exact(&row.iter().map(|t| text(t)).collect::<Vec<_>>(), &mut file);
            }
            let mut reader = csv::Reader::from_reader(file.as_bytes());
            let read: Result<Vec<Vec<String>>, _> = reader.deserialize().collect();
            prop_assert_eq!(read.unwrap(), rows);
        }
    }
}
