//! Where the events of a message begin, and where one ends that is not JSON: a malformed
//! event must not take those behind it along, no piece of it is an event, and no piece between
//! events is lost. Every byte is looked at a bounded number of times, whatever a message holds.

/// Where the next event starts. Skips what may stand between events: white space, the NUL
/// that rsyslog may append, and what makes an array of them (an array in an array does not).
pub fn next_event(bytes: &[u8], from: usize) -> Option<usize> {
    let mut in_array = false;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0 | b',' => {}
            b']' => in_array = false,
            b'[' if !in_array => in_array = true,
            _ => return Some(at),
        }
    }
    None
}

/// The opening brace of an event; where what starts is no event, its end: the next brace, or
/// that of the line. A syslog header or a cookie may precede the brace, and where a line begins
/// anything.
pub fn opening(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let rest = &bytes[start..];
    let end = rest.iter().position(|b| matches!(b, b'{' | b'\n'));
    let Some(end) = end else { return Err(bytes.len()) };
    if rest[end] != b'{' {
        return Err(start + end);
    }
    if begins_line(bytes, start) {
        // Once per line, since it looks as far as its end.
        return Ok(start + behind_structured_data(rest).unwrap_or(end));
    }
    match end == 0 || is_header(rest) {
        true => Ok(start + end),
        false => Err(start + end),
    }
}

/// Whether there is nothing in the line before `at`. NUL may end a line as well.
fn begins_line(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rfind(|b| !matches!(b, b' ' | b'\t' | b'\r'));
    before.is_none_or(|b| matches!(b, b'\n' | 0))
}

/// Whether this begins as a cookie or as a syslog header, also one behind a count of octets.
fn is_header(rest: &[u8]) -> bool {
    let counted = rest.iter().position(|b| !b.is_ascii_digit()).filter(|at| *at < 8);
    let header = match counted {
        Some(at) if at > 0 && rest[at] == b' ' => &rest[at + 1..],
        _ => rest,
    };
    rest.starts_with(b"@cee:") || behind_priority(header).is_some()
}

/// What follows the `<13>` of a syslog header.
fn behind_priority(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"<")?;
    let digits = inner.iter().take(4).position(|b| !b.is_ascii_digit())?;
    inner[digits..].strip_prefix(b">").filter(|_| digits > 0)
}

/// The first brace behind the structured data of a syslog header of RFC 5424, in whose quoted
/// values there may be braces: `<13>1 time host app process message [id name="{value}"] {`.
fn behind_structured_data(rest: &[u8]) -> Option<usize> {
    let is_end = |b: &u8| matches!(b, b'\n' | 0);
    let line = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
    let mut tail = behind_priority(line)?;
    for _ in 0..6 {
        let space = tail.iter().position(|b| matches!(b, b' ' | b'{' | b'['))?;
        tail = tail[space..].strip_prefix(b" ")?;
    }
    while tail.first() == Some(&b'[') {
        tail = &tail[element_end(tail)?..];
    }
    let brace = tail.iter().position(|b| *b == b'{')?;
    Some(line.len() - tail.len() + brace)
}

/// The end of an element of structured data, `[id name="value"]`.
fn element_end(text: &[u8]) -> Option<usize> {
    let mut in_value = false;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => in_value = !in_value,
            b'\\' if in_value => drop(bytes.next()),
            b']' if !in_value => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The end of a malformed object that opens at `open`.
///
/// It ends with its closing brace, if what follows can follow an event. Otherwise it was cut
/// short or its quotes are broken, and what looks like an event in it may be a piece of it: then
/// it ends where a line begins that is neither indented nor closes anything. No search is made
/// where one has failed before: `searched` says up to where.
pub fn malformed_end(bytes: &[u8], open: usize, searched: &mut usize) -> usize {
    if open >= *searched {
        match closing(bytes, open) {
            Ok(end) => return end,
            Err(end) => *searched = end,
        }
    }
    let is_end = |at: &usize| bytes[*at] == b'\n' && begins_anew(bytes, at + 1);
    (open..bytes.len()).find(is_end).unwrap_or(bytes.len())
}

/// Whether the line at `at` does not belong to an object that is written over several.
fn begins_anew(bytes: &[u8], at: usize) -> bool {
    let first = bytes.get(at);
    first.is_some_and(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'}' | b']'))
}

/// The end of the object that opens at `open`; an error says up to where there is none.
fn closing(bytes: &[u8], open: usize) -> Result<usize, usize> {
    let (mut depth, mut at) = (0usize, open);
    let mut in_text = false;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            (b'\\', true) if bytes.get(at) != Some(&b'\n') => at += 1,
            (b'\n', true) => return Err(at),
            (b'{', false) => depth += 1,
            (b'}', false) => {
                depth -= 1;
                if depth == 0 {
                    return if may_end(&bytes[at..]) { Ok(at) } else { Err(at) };
                }
            }
            (b'\n', false) if begins_anew(bytes, at) => return Ok(at),
            _ => {}
        }
    }
    Err(bytes.len())
}

/// Whether an event may end before `rest`: what follows is the end, another line or object.
fn may_end(rest: &[u8]) -> bool {
    let next = rest.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b',' | b']'));
    next.is_none_or(|next| matches!(next, b'\n' | 0 | b'{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a message, all its objects being malformed at their second byte.
    fn pieces(message: &str) -> Vec<&str> {
        let bytes = message.as_bytes();
        let (mut at, mut searched, mut pieces) = (0, 0, Vec::new());
        while let Some(start) = next_event(bytes, at) {
            at = match opening(bytes, start) {
                Ok(open) => malformed_end(bytes, open, &mut searched),
                Err(end) => end,
            };
            assert!(at > start, "it gets on");
            pieces.push(message[start..at].trim_end());
        }
        pieces
    }

    #[test]
    fn a_malformed_object_ends_at_its_brace_or_before_what_may_be_another() {
        for (message, expected) in [
            ("{x}{y},{z}", &["{x}", "{y}", "{z}"][..]),
            ("[{x}, {y}]", &["{x}", "{y}"]),
            (r#"{"}":{},"\"}":1},{y}"#, &[r#"{"}":{},"\"}":1}"#, "{y}"]),
            ("{x\n  {\n  }\n}\n{y}", &["{x\n  {\n  }\n}", "{y}"]),
            ("{x\n{y}\n<13> {z}", &["{x", "{y}", "<13> {z}"]),
            ("{\"x\n{y}", &["{\"x", "{y}"]),
            ("{\"x\\\n{y\"}\n{z}", &["{\"x\\", "{y\"}", "{z}"]),
            // What is within it is no event, whatever its quotes say.
            (r#"{"x" "},{y}]"#, &[r#"{"x" "},{y}]"#]),
            ("{\"x\":\"a \"b\",\"c\":{y}}\n{z}", &["{\"x\":\"a \"b\",\"c\":{y}}", "{z}"]),
            ("{\"x\":\"a \"b} ,\"c\":{y}}\n{z}", &["{\"x\":\"a \"b} ,\"c\":{y}}", "{z}"]),
            (
                "{x\n  \"a\": \"b \"c\",\n  \"d\": {y}\n}\n{z}",
                &["{x\n  \"a\": \"b \"c\",\n  \"d\": {y}\n}", "{z}"],
            ),
            ("{x {y {z", &["{x {y {z"]),
            ("none\n@cee: {x}", &["none", "@cee: {x}"]),
            ("[[[", &["[["]),
            ("[],[]\0\r\n", &[]),
            // What stands between events is a piece of its own, but for headers.
            ("[{x},3,{y}]", &["{x},3,{y}]"]),
            ("[3,{x},null]", &["3,", "{x},null]"]),
            ("[[1,2],{x}]", &["[1,2],", "{x}"]),
            ("{x}\n<1>a {y}\n b:{z}", &["{x}", "<1>a {y}", "b:{z}"]),
            ("<1>a {x}\0b {y}\0", &["<1>a {x}", "b {y}"]),
        ] {
            assert_eq!(pieces(message), expected, "{message}");
        }
    }

    #[test]
    fn the_brace_of_an_event_is_not_one_of_its_header() {
        for (header, event) in [
            (r#"<1>1 t h a p m [a b="{\"}" c="}{"][d] e "#, r#"{"x":1}"#),
            ("<34>1 t h a p m - ", "{}"),
            ("<34>1 t h a p m ", "{}"),
            ("<13>Nov 20 12:00:00 h app: payload=\"", r#"{"x":{"y":1}}""#),
            (r#"<13>1 - h app p="C:\dir\" "#, r#"{"x":{"y":1}}"#),
            (r#"<13>1 t h a p m [a b="c\" "#, r#"{"x":{"y":"z"}}"#),
            (r#"<13>5" "#, r#"{"x":"]{"}"#),
            ("<13>1 t h a p ", r#"{"x": "a b [", "y": {}}"#),
        ] {
            assert_eq!(opening(format!("{header}{event}").as_bytes(), 0), Ok(header.len()));
        }
        // What is cut off in one line takes nothing of the next.
        let cut = "<13>1 t h a p m [a b=\"{\\\n{\"x\":{\"y\":1}}";
        assert_eq!(opening(cut.as_bytes(), 0), Ok(cut.find('{').unwrap()));
        let next = cut.find('\n').unwrap() + 1;
        assert_eq!(opening(cut.as_bytes(), next), Ok(next));
    }

    #[test]
    fn no_message_takes_more_than_a_few_looks_at_each_byte() {
        // Were each brace's end searched to the end of the message, this would take hours.
        const PARTS: [&str; 13] = [
            "{",
            "{\"",
            "x{x}",
            "{\n",
            "{\"\n",
            "{}x{",
            "{\n ",
            "<1>1 t h a p m [a=\"{\\\n",
            "<1>1 t h a p m [a=\"{",
            "<1>1 t h a p m [a=\"{\0",
            "\0<1>{",
            " {}",
            "1 <",
        ];
        let messages = PARTS.map(|part| part.repeat((1 << 21) / part.len()));
        for message in &messages {
            assert!(!pieces(message).is_empty());
        }
    }
}
