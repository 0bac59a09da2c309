//! Answers as tables to look at. In: the JSON of an answer, of which numbers keep their text,
//! since no number of this program could hold them all. Out: text that is safe on a terminal.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How null looks, as the empty string looks like nothing.
const NULL: &str = "∅";

/// Size from which a number is shown as it came: a double might change its digits.
const ROUNDED_BELOW: f64 = 1e12;

/// An answer that has rows.
#[derive(Deserialize)]
struct Rows<'a> {
    columns: Vec<String>,
    #[serde(borrow)]
    rows: Vec<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    totals: Vec<&'a RawValue>,
    #[serde(default)]
    as_of: String,
    #[serde(default)]
    events: u64,
    /// Aggregates that were added later, and when.
    #[serde(default)]
    since: BTreeMap<String, String>,
    /// Quantile aggregates of which values were folded, and how many of all rows.
    #[serde(default)]
    folded_totals: BTreeMap<String, u64>,
}

/// One of the most frequent values.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    count: u64,
}

/// An answer as a table, or as indented JSON where it has no rows.
pub fn show(answer: &str) -> String {
    let Ok(found) = serde_json::from_str::<Rows<'_>>(answer) else {
        let value: Value = serde_json::from_str(answer).unwrap_or_default();
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        return text.lines().map(|line| printable(line) + "\n").collect();
    };
    let Rows { columns, rows, totals, as_of, events, since, folded_totals } = found;
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(columns.iter().map(|c| printable(c)));
    for row in &rows {
        table.add_row(row.iter().map(|value| cell(value.get())));
    }
    if rows.len() > 1 {
        // A key has no total, which is not a null of the data.
        let total = |value: &&RawValue| match value.get() {
            "null" => String::new(),
            value => cell(value),
        };
        let mut totals: Vec<String> = totals.iter().map(total).collect();
        if let Some(first) = totals.first_mut().filter(|first| first.is_empty()) {
            "total".clone_into(first);
        }
        table.add_row(totals);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let mut values = rows.iter().filter_map(|row| row.get(at));
        if values.all(|value| is_number(value.get()) || value.get() == "null") {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let (rows, events) = (counted(rows.len() as u64, "row"), counted(events, "event"));
    let mut out = format!("{table}\n{rows}, as of {}, {events}\n", printable(&as_of));
    for (column, time) in &since {
        let (column, time) = (printable(column), printable(time));
        out.push_str(&format!("{column} counts since {time}, when it was added\n"));
    }
    for (aggregate, &values) in &folded_totals {
        let (aggregate, values) = (printable(aggregate), counted(values, "value"));
        out.push_str(&format!(
            "{aggregate} folded {values}: quantiles among them are too far from zero\n"
        ));
    }
    out
}

/// A number and what it counts: `1 row`, `2 rows`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// A value as one looks at it.
fn cell(json: &str) -> String {
    if json == "null" {
        return NULL.to_owned();
    }
    if is_number(json) {
        return number(json);
    }
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return printable(&text);
    }
    match serde_json::from_str::<Vec<Item<'_>>>(json) {
        Ok(items) => {
            let line = |item: &Item<'_>| format!("{} {}", cell(item.value.get()), item.count);
            items.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(_) => printable(json),
    }
}

/// A number with three decimals, or four digits that say something where it is below 1;
/// whole numbers as they came. JSON has all of it.
fn number(text: &str) -> String {
    let is_whole = !text.contains(['.', 'e', 'E']);
    let Some(value) = text.parse::<f64>().ok().filter(|v| !is_whole && v.abs() < ROUNDED_BELOW)
    else {
        return text.to_owned();
    };
    let size = value.abs();
    let rounded = if size >= 1.0 || size == 0.0 {
        format!("{value:.3}")
    } else if size >= 1e-6 {
        // 0.0123 has its first digit at the second decimal.
        let first = (-size.log10().floor()) as usize;
        format!("{value:.*}", first + 3)
    } else {
        format!("{value:.3e}")
    };
    if rounded.len() < text.len() { rounded } else { text.to_owned() }
}

/// A text without what a terminal would obey or read in another order, which is escaped.
pub fn printable(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if obeyed(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_they_say() {
        for (text, shown) in [
            ("18446744073709551615", "18446744073709551615"),
            (
                "-170141183460469231731687303715884105727",
                "-170141183460469231731687303715884105727",
            ),
            ("12345678901234567.89", "12345678901234567.89"),
            ("0", "0"),
            ("0.5", "0.5"),
            ("0.00", "0.00"),
            ("1234.56789", "1234.568"),
            ("0.000123456789", "0.0001235"),
            ("-0.0512345678", "-0.05123"),
            ("0.00000000000123456", "1.235e-12"),
            ("1.5e-9", "1.5e-9"),
        ] {
            assert_eq!(number(text), shown, "{text}");
        }
    }

    #[test]
    fn null_is_not_the_empty_string() {
        let answer = r#"{"columns":["page","sum"],"rows":[[null,1],["",null]],"totals":[null,18446744073709551615],"as_of":"2026-11-20T12:00:00Z","events":1}"#;
        let shown = show(answer);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(shown.matches(NULL).count(), 2, "{shown}");
        assert!(shown.contains("total ┆ 18446744073709551615"), "{shown}");
        assert_eq!(lines[lines.len() - 1], "2 rows, as of 2026-11-20T12:00:00Z, 1 event");
        let one = show(r#"{"columns":["n"],"rows":[[7]],"totals":[7],"events":7}"#);
        assert!(one.ends_with("1 row, as of , 7 events\n") && !one.contains("total"), "{one}");
        let added = show(r#"{"columns":["n"],"rows":[[7]],"since":{"n":"2026-11-20T12:00:00Z"}}"#);
        assert!(added.ends_with("\nn counts since 2026-11-20T12:00:00Z, when it was added\n"));
        let folded = show(r#"{"columns":["q.p1"],"rows":[[7]],"folded_totals":{"q":12}}"#);
        assert!(
            folded.ends_with("\nq folded 12 values: quantiles among them are too far from zero\n")
        );
    }

    #[test]
    fn a_terminal_is_told_nothing_by_data() {
        let answer = r#"{"columns":["page","top"],"rows":[["a\u001b[2Jb\nc\u202ed",[{"value":"x\u0007","count":3,"lower":3,"upper":3},{"value":"y","count":1}]]],"events":1}"#;
        let shown = show(answer);
        assert!(shown.contains(r"a\u001b[2Jb\nc\u202ed"), "{shown}");
        assert!(shown.contains(r"x\u0007 3") && shown.contains("y 1"), "{shown}");
        let other = show("{\"set\":{\"estimate\":1,\"of\":\"\u{9b}31m\"}}");
        assert!(other.contains("\\u009b31m") && other.contains("\n  \"set\""), "{other}");
    }
}
