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
/// that of the line. Where a line begins, a syslog header or a cookie may precede the brace.
pub fn opening(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let rest = &bytes[start..];
    let end = rest.iter().position(|b| matches!(b, b'{' | b'\n'));
    let Some(end) = end else { return Err(bytes.len()) };
    let is_event = rest[end] == b'{' && (end == 0 || begins_line(bytes, start));
    match is_event {
        true => Ok(start + behind_header(rest).unwrap_or(end)),
        false => Err(start + end),
    }
}

/// Whether there is nothing in the line before `at`.
fn begins_line(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rfind(|b| !matches!(b, b' ' | b'\t' | b'\r' | 0));
    before.is_none_or(|b| *b == b'\n')
}

/// The first brace behind a syslog header: not in the values of its structured data, as in
/// `<13>1 … [id name="{value}"] {`.
fn behind_header(line: &[u8]) -> Option<usize> {
    if line.first() != Some(&b'<') {
        return None;
    }
    let (mut at, mut in_value) = (0, false);
    loop {
        match *line.get(at)? {
            b'\n' => return None,
            b'{' if !in_value => return Some(at),
            b'\\' if in_value => at += 1,
            b'"' if in_value => in_value = false,
            b'"' => in_value = line[at - 1] == b'=',
            _ => {}
        }
        at += 1;
    }
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
    let next = rest.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | 0 | b',' | b']'));
    next.is_none_or(|next| matches!(next, b'\n' | b'{'))
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
            (r#"<1>1 - [a b="{\"}" c="}{"] d {x}"#, &[r#"<1>1 - [a b="{\"}" c="}{"] d {x}"#]),
            (r#"<1>5" {"x"}"#, &[r#"<1>5" {"x"}"#]),
        ] {
            assert_eq!(pieces(message), expected, "{message}");
        }
    }

    #[test]
    fn no_message_takes_more_than_a_few_looks_at_each_byte() {
        // Were each brace's end searched to the end of the message, this would take hours.
        let messages =
            ["{", "{\"", "x{x}", "{\n", "{\"\n", "{}x{", "{\n "].map(|part| part.repeat(1 << 21));
        for message in &messages {
            assert!(!pieces(message).is_empty());
        }
    }
}
