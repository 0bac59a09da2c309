//! The scanner beside its oracle, `serde_json`.

use proptest::prelude::*;

use super::*;

fn accepts(text: &str) -> bool {
    let mut scanner = Scanner::new(text.as_bytes(), 0);
    let token = scanner.token().map_err(JsonError::from);
    let whole = token.and_then(|token| scanner.skip_rest(token, 0));
    scanner.skip_space();
    whole.is_ok() && scanner.position() == text.len()
}

fn oracle(text: &str) -> bool {
    // RawValue checks the grammar without turning numbers into floats.
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
        && serde_json::from_str::<serde_json::Value>(text)
            .map_or_else(|e| e.to_string().contains("out of range"), |_| true)
}

#[test]
fn accepts_what_the_oracle_accepts() {
    let cases = [
        "{}",
        "[]",
        "[1,2]",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "01",
        "-",
        "-0",
        "1.",
        ".5",
        "1e5",
        "1e",
        "1E+5",
        "nul",
        "null",
        "true",
        "tru",
        "\"\\u00e4\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\\udc00\"",
        "\"\\x\"",
        "\"a\nb\"",
        "\"\u{7f}\"",
        "\"abc",
        "{\"a\":{\"b\":[{}]}}",
        "[[]",
        "",
        " ",
        " 1 ",
        "1 2",
        "{\"a\":1}}",
        "\"\\ud800\\n\"",
        "\"0123456789abcdef\u{1}\"",
        "\"0123456\\\"789\"",
        "+1",
        "1e400",
        "[1 2]",
        "{1:2}",
    ];
    for case in cases {
        assert_eq!(accepts(case), oracle(case), "{case:?}");
    }
}

#[test]
fn refuses_what_is_too_deep() {
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(accepts(&deep(limits::MAX_JSON_DEPTH)));
    let text = deep(100_000);
    let mut scanner = Scanner::new(text.as_bytes(), 0);
    let token = scanner.token().unwrap();
    assert_eq!(scanner.skip_rest(token, 0), Err(JsonError::TooDeep));
}

proptest! {
    #[test]
    fn agrees_on_mutated_documents(cut in 0usize..200, byte in any::<u8>(), at in 0usize..200) {
        let mut text = r#"{"a":[1,-2.5e3,"x\u00e4\\"],"b":{"c":null,"d":true},"long":"0123456789abcdefghij"}"#
            .as_bytes().to_vec();
        text.truncate(cut.max(1));
        let at = at % text.len();
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            prop_assert_eq!(accepts(text), oracle(text), "{:?}", text);
        }
    }

    #[test]
    fn unescapes_as_the_oracle(text in any::<String>()) {
        let quoted = serde_json::to_string(&text).unwrap();
        let mut scanner = Scanner::new(quoted.as_bytes(), 0);
        let Ok(Token::String(span) | Token::Escaped(span)) = scanner.token() else {
            panic!("{quoted}")
        };
        let mut plain = Vec::new();
        unescape(span.of(quoted.as_bytes()), &mut plain);
        prop_assert_eq!(plain, text.into_bytes());
    }
}
