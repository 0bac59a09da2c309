//! Where the events of a message begin, and where one ends that is not JSON: a malformed
//! event must not take those behind it along, no piece of it is an event, and no piece beside
//! events is lost. Every byte is looked at a bounded number of times, whatever a message holds.

/// Where the next event starts. Skips what may stand between events: white space, the NUL
/// that rsyslog may append, and what makes arrays of them, also within one another.
pub fn next_event(bytes: &[u8], from: usize) -> Option<usize> {
    let is_between = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0 | b',' | b'[' | b']');
    bytes[from..].iter().position(|b| !is_between(b)).map(|at| from + at)
}

/// Where an event opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Its brace.
    pub brace: usize,
    /// Whether what stands before it in its line belongs there: nothing, a syslog header, a
    /// cookie, or a tag that ends in a colon.
    pub is_clean: bool,
}

/// The opening brace of an event; where what starts is no event, its end: the next brace, or
/// that of the line. A syslog header or a cookie may precede the brace, and where a line begins
/// anything, of which it is said whether it belongs there.
pub fn opening(bytes: &[u8], start: usize) -> Result<Opening, usize> {
    let rest = &bytes[start..];
    // Nearly all of them. What opens with a name is no group of a header.
    if rest.starts_with(b"{\"") {
        return Ok(Opening { brace: start, is_clean: true });
    }
    let first = rest.iter().position(|b| matches!(b, b'{' | b'\n' | 0)).unwrap_or(rest.len());
    if rest.get(first) != Some(&b'{') {
        return Err(start + first);
    }
    let (begins_line, is_header) = (begins_line(bytes, start), is_header(rest));
    // Once per line, since it looks as far as its end.
    let behind_data = if begins_line { behind_structured_data(rest) } else { None };
    let brace = behind_data.unwrap_or_else(|| behind_groups(rest, first));
    let prefix = &rest[..brace];
    if prefix.is_empty() || is_header {
        return Ok(Opening { brace: start + brace, is_clean: true });
    }
    if ends_as_name(prefix) {
        // An object within one whose beginning is lost.
        return Err(end_of_lines(bytes, start + brace));
    }
    match begins_line {
        true => Ok(Opening { brace: start + brace, is_clean: is_tag(prefix) }),
        false => Err(start + brace),
    }
}

/// Whether there is nothing in the line before `at`. NUL may end a line as well.
fn begins_line(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rfind(|b| !matches!(b, b' ' | b'\t' | b'\r'));
    before.is_none_or(|b| matches!(b, b'\n' | 0))
}

/// Texts may begin with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn behind_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Whether this begins as a cookie or as a syslog header, also one behind a count of octets.
fn is_header(rest: &[u8]) -> bool {
    let rest = behind_mark(rest);
    let counted = rest.iter().position(|b| !b.is_ascii_digit()).filter(|at| *at < 8);
    let header = match counted {
        Some(at) if at > 0 && rest[at] == b' ' => &rest[at + 1..],
        _ => rest,
    };
    rest.starts_with(b"@cee:") || behind_priority(header).is_some()
}

/// What is before an event or an array of them.
fn trim_opening(prefix: &[u8]) -> &[u8] {
    let end = prefix.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'['));
    &prefix[..end.map_or(0, |at| at + 1)]
}

/// Whether a prefix is that of a log without a priority, `host app[1]: `, or a mere mark.
fn is_tag(prefix: &[u8]) -> bool {
    let text = behind_mark(trim_opening(prefix));
    text.is_empty() || text.ends_with(b":")
}

/// Whether a prefix ends in the name of a member, `"name":`.
fn ends_as_name(prefix: &[u8]) -> bool {
    let name = trim_opening(prefix).strip_suffix(b":");
    name.is_some_and(|name| name.trim_ascii_end().ends_with(b"\""))
}

/// The first brace of a line that does not open a group of its header, as in
/// `app{worker}[1]: {`, or else the last one.
fn behind_groups(rest: &[u8], first: usize) -> usize {
    let mut brace = first;
    while let Some(end) = group_end(rest, brace) {
        let next = rest[end..].iter().position(|b| matches!(b, b'{' | b'\n' | 0));
        match next.filter(|next| rest[end + next] == b'{') {
            Some(next) => brace = end + next,
            None => break,
        }
    }
    brace
}

/// The end of what is in braces from `open` on, if that is a piece of a header.
///
/// An event that is malformed must not be taken for one, or what is within or behind it would
/// become an event. So a group has no quotes but those of `name="value"`, and no colon but in
/// a word that begins before the brace; and it hangs on what is around it.
fn group_end(rest: &[u8], open: usize) -> Option<usize> {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"_-./=)]}".contains(b);
    let in_word = open > 0 && is_word(&rest[open - 1]);
    let (mut depth, mut at) = (1, open + 1);
    let (mut has_colon, mut has_space, mut is_empty) = (false, false, true);
    while depth > 0 {
        let byte = *rest.get(at)?;
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'"' if rest[at - 1] == b'=' => at = value_end(rest, at + 1)?,
            b'"' | b'\'' | b'\n' | 0 => return None,
            b':' => has_colon = true,
            b' ' | b'\t' => has_space = true,
            _ => {}
        }
        is_empty &= matches!(byte, b'}' | b' ' | b'\t');
        at += 1;
    }
    let tail = rest[at..].trim_ascii_start();
    let is_bound = in_word || !is_empty && !tail.starts_with(b",") && !may_end(&rest[at..]);
    let is_sound = !has_colon || in_word && !has_space;
    (is_bound && is_sound).then_some(at)
}

/// The quote that closes a value in a line.
fn value_end(text: &[u8], from: usize) -> Option<usize> {
    let mut bytes = text.iter().enumerate().skip(from);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            b'\\' => drop(bytes.next()),
            b'\n' | 0 => return None,
            _ => {}
        }
    }
    None
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
    let behind = behind_priority(rest)?;
    let is_end = |b: &u8| matches!(b, b'\n' | 0);
    let mut tail = &behind[..behind.iter().position(is_end).unwrap_or(behind.len())];
    let end = rest.len() - behind.len() + tail.len();
    for _ in 0..6 {
        let space = tail.iter().position(|b| matches!(b, b' ' | b'{' | b'['))?;
        tail = tail[space..].strip_prefix(b" ")?;
    }
    while tail.first() == Some(&b'[') {
        tail = &tail[element_end(tail)?..];
    }
    let brace = tail.iter().position(|b| *b == b'{')?;
    Some(end - tail.len() + brace)
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
    end_of_lines(bytes, open)
}

/// Where a line ends that the next one does not go on with.
fn end_of_lines(bytes: &[u8], from: usize) -> usize {
    let is_end = |at: &usize| bytes[*at] == b'\n' && begins_anew(bytes, at + 1);
    (from..bytes.len()).find(is_end).unwrap_or(bytes.len())
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
    let next = rest.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b',' | b']' | b'['));
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
                Ok(open) => malformed_end(bytes, open.brace, &mut searched),
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
            ("[[[", &[]),
            ("[[{x}],[{y}]]", &["{x}", "{y}"]),
            ("[],[]\0\r\n", &[]),
            // What stands between events is a piece of its own, but for headers.
            ("[{x},3,{y}]", &["{x},3,{y}]"]),
            ("[3,{x},null]", &["3,", "{x},null]"]),
            ("[[1,2],{x}]", &["1,2],", "{x}"]),
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
            ("<34>Oct 11 22:14:15 host app{worker}[1]: ", r#"{"x":1}"#),
            ("<34>Oct 11 22:14:15 host app{worker}[1]: ", "{\n  \"x\": 1\n}"),
            ("<34>Oct 11 22:14:15 host app[1]{x}: ", r#"{"x":{"y":1}}"#),
            ("<34>Oct 11 22:14:15 host app{}: ", "{}"),
            ("<34>Oct 11 22:14:15 host app{ns:worker} ", "{}"),
            ("<34>Oct 11 22:14:15 host app: key={a} also {b c} and ", r#"{"x":1}"#),
            (r#"<13>h app{job="x y",pod="{\""}: @cee: "#, r#"{"x":1}"#),
            (r#"<13>1 t h app{w} p m [a b="{c}"] "#, r#"{"x":1}"#),
            ("<13>h {w}: ", r#"{"x":1}"#),
            ("<13>h {{w}}/2: ", "{}"),
            ("app{w}[1]: ", r#"{"x":1}"#),
            ("{w}[1]: ", r#"{"x":1}"#),
            ("Nov 20 12:00:00 h app[1]: @cee: ", "{}"),
            ("\u{feff}", "{}"),
            ("\u{feff}<13>h app ", "{}"),
            ("12 <13>h app{x} ", "{}"),
            ("app: [", "{}"),
        ] {
            let clean = Opening { brace: header.len(), is_clean: true };
            assert_eq!(opening(format!("{header}{event}").as_bytes(), 0), Ok(clean), "{header}");
        }
        // What is cut off in one line takes nothing of the next.
        let cut = "<13>1 t h a p m [a b=\"{\\\n{\"x\":{\"y\":1}}";
        let brace = |from| opening(cut.as_bytes(), from).map(|opening| opening.brace);
        assert_eq!(brace(0), Ok(cut.find('{').unwrap()));
        let next = cut.find('\n').unwrap() + 1;
        assert_eq!(brace(next), Ok(next));
    }

    #[test]
    fn no_object_within_a_malformed_event_opens_one() {
        for (header, event) in [
            ("<13>h a: ", r#"{x:1,"a":{"x":1}}"#),
            ("<13>h a", r#"{x:1,"a":{"x":1}}"#),
            ("<13>h app{w}[1]: ", r#"{x "a":{"x":1}}"#),
            ("<13>h app{w}[1]: ", r#"{x:1,a:{x:1}} {"x":1}"#),
            ("<13>h a: ", r#"{"x":"a "b} ,"a":{"x":1}"#),
            ("<13>h a: ", r#"{x":1,"p":"}","a":{"x":1}}"#),
            ("<13>h a: ", r#"{x:a b} , a:{"x":1}}"#),
            ("<13>h a: ", r#"{x b} , a:{"x":1}}"#),
            ("<13>h a: ", r#"{'x':'}','a':{"x":1}}"#),
            ("<13>h a: ", r#"{x} {"x":1}"#),
            ("<13>h a: ", r#"{} b {"x":1}"#),
            ("<13>h a: ", r#"{x {"x":1}"#),
            ("", r#"{x:1} b {"x":1}"#),
        ] {
            let opening = opening(format!("{header}{event}").as_bytes(), 0);
            assert_eq!(opening.map(|o| o.brace), Ok(header.len()), "{header}{event}");
        }
        // Nor within one whose beginning is lost.
        for cut in [r#"e","a":{"x":1}}"#, r#"e" , "a" : [ {"x":1}, {"x":2}]}"#, r#""a":{"x":1}}"#] {
            assert_eq!(opening(cut.as_bytes(), 0), Err(cut.len()), "{cut}");
            let behind = format!("{{}} {cut}\n{{}}");
            assert_eq!(opening(behind.as_bytes(), 3), Err(3 + cut.len()), "{cut}");
        }
    }

    #[test]
    fn what_is_no_header_is_said_to_be_none() {
        for prefix in
            ["garbage", "garbage ", "topic/", "key={a} prefix ", "2026-11-20 INFO - ", "12 "]
        {
            let clean = opening(format!("{prefix}{{}}").as_bytes(), 0).unwrap();
            assert_eq!(clean, Opening { brace: prefix.len(), is_clean: false });
        }
    }

    #[test]
    fn no_message_takes_more_than_a_few_looks_at_each_byte() {
        // Were each brace's end searched to the end of the message, this would take hours.
        const PARTS: [&str; 21] = [
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
            "a{b}",
            "<1>a{b} ",
            "\0<1>a{b}",
            "<1>a{b} {} ",
            "{b}c",
            "{b=\"",
            "\":{",
            "\":[{}",
        ];
        let messages = PARTS.map(|part| part.repeat((1 << 21) / part.len()));
        for message in &messages {
            assert!(!pieces(message).is_empty());
        }
    }
}
