//! Paths into a record, as configurations and protobuf events write them: `user.id` has two
//! steps; `\.` and `\\` stand for a dot and a backslash within a step.

use std::borrow::Cow;

/// The steps of a path.
pub fn path_steps(path: &str) -> Vec<String> {
    Steps::new(path).map(Cow::into_owned).collect()
}

/// The steps of a path one by one, since one of a sender may have millions.
#[derive(Clone)]
pub struct Steps<'a>(Option<&'a str>);

impl<'a> Steps<'a> {
    /// Begins with the first.
    pub fn new(path: &'a str) -> Self {
        Self(Some(path))
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0?;
        let bytes = rest.as_bytes();
        let (mut at, mut is_escaped) = (0, false);
        while at < bytes.len() && bytes[at] != b'.' {
            is_escaped |= bytes[at] == b'\\';
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        // What is behind an escape at the end is beyond it.
        let (step, behind) = rest.split_at(at.min(rest.len()));
        self.0 = behind.strip_prefix('.');
        Some(if is_escaped { unescaped(step).into() } else { step.into() })
    }
}

fn unescaped(step: &str) -> String {
    let mut characters = step.chars();
    let next = || match characters.next()? {
        '\\' => Some(characters.next().unwrap_or('\\')),
        plain => Some(plain),
    };
    std::iter::from_fn(next).collect()
}

/// The path of some steps.
pub fn written_path(steps: &[impl AsRef<str>]) -> String {
    let steps = steps.iter().map(|step| step.as_ref().replace('\\', r"\\").replace('.', r"\."));
    steps.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_back() {
        for (path, steps) in [
            ("user", &["user"][..]),
            ("user.id", &["user", "id"]),
            (r"user\.id", &["user.id"]),
            (r"a\\.b\\\.c", &[r"a\", r"b\.c"]),
            ("..", &["", "", ""]),
            ("ä.", &["ä", ""]),
            ("", &[""]),
        ] {
            assert_eq!(path_steps(path), steps);
            assert_eq!(written_path(steps), path);
        }
        assert_eq!(path_steps("a\\"), ["a\\"], "an escape of nothing stands for itself");
        assert_eq!(path_steps("\\ä\\\u{1f600}.\\b"), ["ä\u{1f600}", "b"]);
    }
}
