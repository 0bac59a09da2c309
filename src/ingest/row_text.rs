//! Rows of protobuf as the members of a JSON object that say the same. Their names are paths, of
//! which several may lead into one object: then that has them all, as JSON could not have it twice.

use std::borrow::Cow;

use super::event_batch::Value;
use crate::config::Steps;

/// A value with the path of its name.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// Its path.
    pub path: &'a str,
    /// The value.
    pub value: Value<'a>,
    /// Its place in the row.
    pub nth: usize,
}

/// Members of an object that are written one after another.
#[derive(Default)]
pub struct Writer<'a> {
    text: String,
    /// The names of the objects that are open.
    open: Vec<Cow<'a, str>>,
}

/// The text of members, up to so many bytes of it; `items` are in the order of their paths.
pub fn members(items: &[Item<'_>], most: usize) -> String {
    let mut writer = Writer::default();
    for (item, counts) in items.iter().zip(counting(items)) {
        if writer.text.len() > most {
            break;
        }
        if counts {
            writer.put(Steps::new(item.path).collect(), item.value);
        }
    }
    writer.finish()
}

impl<'a> Writer<'a> {
    /// Adds a value. What is open is closed as far as its path does not lead through it.
    pub fn put(&mut self, mut steps: Vec<Cow<'a, str>>, value: Value<'_>) {
        let name = steps.pop().unwrap_or_default();
        let common = self.open.iter().zip(&steps).take_while(|(open, step)| open == step).count();
        self.close(common);
        if !self.text.is_empty() {
            self.text.push(',');
        }
        for step in steps.drain(common..) {
            push_text(&mut self.text, &step);
            self.text.push_str(":{");
            self.open.push(step);
        }
        push_text(&mut self.text, &name);
        self.text.push(':');
        push_value(&mut self.text, value);
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Closes the objects that are open but for the first so many.
    pub fn close(&mut self, left: usize) {
        self.text.extend(std::iter::repeat_n('}', self.open.len() - left));
        self.open.truncate(left);
    }

    /// The text, with everything closed.
    pub fn finish(mut self) -> String {
        self.close(0);
        self.text
    }
}

/// Which of the items count: of two whose paths are equal or lead through one another, the later
/// one in the row.
fn counting(items: &[Item<'_>]) -> Vec<bool> {
    let leads_to = |above: &Item<'_>, item: &Item<'_>| {
        let mut steps = Steps::new(item.path);
        Steps::new(above.path).all(|step| steps.next().is_some_and(|other| other == step))
    };
    let mut counts = vec![true; items.len()];
    // The items whose paths lead to the present one's, each to the next.
    let mut above: Vec<usize> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        while above.pop_if(|a| !leads_to(&items[*a], item)).is_some() {}
        for &a in &above {
            let earlier = if items[a].nth < item.nth { a } else { at };
            counts[earlier] = false;
        }
        // Of those with equal paths one is enough to compare with.
        let equal = above.pop_if(|a| leads_to(item, &items[*a]));
        above.push(equal.filter(|a| items[*a].nth > item.nth).unwrap_or(at));
    }
    counts
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A value as JSON; NaN and infinities, which JSON has not, as text.
fn push_value(out: &mut String, value: Value<'_>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Text(bytes) => push_text(out, &String::from_utf8_lossy(bytes)),
        Value::Json(json) => out.push_str(&String::from_utf8_lossy(json)),
        Value::Int(int) => out.push_str(&int.to_string()),
        Value::Double(double) if double.is_finite() => out.push_str(&double.to_string()),
        Value::Double(double) => push_text(out, &double.to_string()),
        Value::Bool(bool) => out.push_str(&bool.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_into_one_object_are_one_member_and_the_last_of_a_name_counts() {
        for (paths, expected) in [
            (&["a", "b"][..], r#""a":0,"b":1"#),
            (
                &["u.id", "u.name.first", "u.name.last"],
                r#""u":{"id":0,"name":{"first":1,"last":2}}"#,
            ),
            (&["u.name.first", "v", "u.id"], r#""u":{"id":2,"name":{"first":0}},"v":1"#),
            (&[r"u\.id", "u.id"], r#""u":{"id":1},"u.id":0"#),
            (&["u.id", "u.id"], r#""u":{"id":1}"#),
            (&["u", "u.name.first"], r#""u":{"name":{"first":1}}"#),
            (&["u.name.first", "u"], r#""u":1"#),
            (&["u.a", "u", "u.b"], r#""u":{"b":2}"#),
            (&["u.a.b", "u.a", "u", "u"], r#""u":3"#),
            (&["u.a.b", "u", "u.a.c", "u.a"], r#""u":{"a":3}"#),
            (&["u.u", "u.u.u", "v"], r#""u":{"u":{"u":1}},"v":2"#),
            (&["", ".", "\"."], r#""":{"":1},"\"":{"":2}"#),
        ] {
            let item = |(nth, path)| Item { path, value: Value::Int(nth as i64), nth };
            let mut items: Vec<Item<'_>> = paths.iter().copied().enumerate().map(item).collect();
            items.sort_by(|a, b| Steps::new(a.path).cmp(Steps::new(b.path)));
            assert_eq!(members(&items, usize::MAX), expected, "{paths:?}");
        }
    }
}
