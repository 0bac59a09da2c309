//! Paths into a record, as configurations and protobuf events write them: `user.id` has two
//! steps; `\.` and `\\` stand for a dot and a backslash within a step.

/// The steps of a path.
pub fn path_steps(path: &str) -> Vec<String> {
    let (mut steps, mut step) = (Vec::new(), String::new());
    let mut characters = path.chars();
    while let Some(c) = characters.next() {
        match c {
            '.' => steps.push(std::mem::take(&mut step)),
            '\\' => step.push(characters.next().unwrap_or('\\')),
            c => step.push(c),
        }
    }
    steps.push(step);
    steps
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
            ("ä.", &["ä", ""]),
            ("", &[""]),
        ] {
            assert_eq!(path_steps(path), steps);
            assert_eq!(written_path(steps), path);
        }
        assert_eq!(path_steps("a\\"), ["a\\"], "an escape of nothing stands for itself");
    }
}
