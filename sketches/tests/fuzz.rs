//! The targets of the fuzzer without the fuzzer: over the golden files, which are its
//! corpus, and a bounded number of mutations of them, the same each time.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../fuzz/targets.rs"]
mod targets;

mod support;

use support::Random;

/// Mutations of each file of the corpus, for each target.
const MUTATIONS: usize = 3000;

#[test]
fn any_bytes_are_read_or_refused() {
    let corpus = std::path::Path::new("tests/golden");
    let mut random = Random(7);
    let mut runs = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for (target, run) in targets::TARGETS {
            run(&whole);
            // All targets see all files, but their own most.
            let mutations = if name.starts_with(target) { MUTATIONS } else { MUTATIONS / 30 };
            // Long files are seldom worth more than their head.
            let mutations = mutations.min(20_000_000 / (1 + whole.len()).pow(2) + 50);
            for _ in 0..mutations {
                run(&mutate(&whole, &mut random));
                runs += 1;
            }
        }
    }
    assert!(runs > 10_000, "the corpus is missing: {runs} runs");
}

/// One to four changes: a bit, a byte, a piece left out or twice, the end cut off.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return bytes;
        }
        // Often near the start, where the head is.
        let reach = if random.below(2) == 0 { bytes.len().min(16) } else { bytes.len() };
        let at = random.below(reach);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, random.next() as u8),
            _ => {
                let end = at + random.below((bytes.len() - at).min(16) + 1);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}
