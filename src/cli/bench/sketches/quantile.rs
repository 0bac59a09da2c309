//! Distributions: ours and `sketches-ddsketch`.

use std::hint::black_box;

use sketches::quantile::{Mapping, Quantile, Sample};
use sketches_ddsketch::{Config, DDSketch};

use super::measure::{Figures, Random, fill, time, values_of_keys};

/// Values that the sketches are made of, over and over: few enough to stay in a cache, for
/// it is not their reading that is measured.
const VALUES: usize = 1 << 14;

/// How latencies are: from 1 to 400, every size as likely as the other.
fn latencies(count: usize) -> Vec<f64> {
    let mut random = Random(3);
    (0..count).map(|_| (random.part() * 6.0).exp()).collect()
}

/// Ours.
pub fn ours(keys: usize) -> Figures {
    let mapping = Mapping::new(0.01).expect("one percent is in range");
    let sample = |value| Sample::new(value, &mapping).expect("below the limit");
    let samples: Vec<Sample> = latencies(VALUES).into_iter().map(sample).collect();
    let updates = values_of_keys(keys).sum();
    let new = || Quantile::new(mapping.kept());
    let (bytes, by_key) = fill(keys, updates, new, |sketches| {
        let mut at = 0;
        for (sketch, count) in sketches.iter_mut().zip(values_of_keys(keys)) {
            for _ in 0..count {
                sketch.insert(samples[at % VALUES]);
                at += 1;
            }
        }
    });
    let (rounds, mut hot) = (rounds(keys), new());
    let add = time(rounds * VALUES, || {
        for _ in 0..rounds {
            samples.iter().for_each(|&sample| _ = hot.insert(sample));
        }
    });
    let questions = (keys / 50).max(1);
    let question = time(questions, || {
        (0..questions).for_each(|_| _ = black_box(hot.quantile(0.95, &mapping)));
    });
    let values = latencies(20 * keys);
    let bin = time(values.len(), || {
        black_box(values.iter().map(|&value| i64::from(mapping.bin(value).to_i32())).sum::<i64>());
    });
    Figures::from([
        ("quantile: memory of a key", bytes),
        ("quantile: add, key by key", by_key),
        ("quantile: add to one hot sketch", add),
        ("quantile: one question", question / 1000.0),
        ("quantile: bin of a value", bin),
    ])
}

/// The library's, which finds the bin in each addition.
pub fn ddsketch(keys: usize) -> Figures {
    let values = latencies(VALUES);
    let new = || DDSketch::new(Config::defaults());
    let (bytes, by_key) = fill(keys, values_of_keys(keys).sum(), new, |sketches| {
        let mut at = 0;
        for (sketch, count) in sketches.iter_mut().zip(values_of_keys(keys)) {
            for _ in 0..count {
                sketch.add(values[at % VALUES]);
                at += 1;
            }
        }
    });
    let (rounds, mut hot) = (rounds(keys), new());
    let add = time(rounds * VALUES, || {
        (0..rounds).for_each(|_| values.iter().for_each(|&value| hot.add(value)));
    });
    let config = Config::defaults();
    let values = latencies(20 * keys);
    let bin = time(values.len(), || {
        black_box(values.iter().map(|&value| i64::from(config.key(value))).sum::<i64>());
    });
    Figures::from([
        ("quantile: memory of a key", bytes),
        ("quantile: add, key by key", by_key),
        ("quantile: add to one hot sketch", add),
        ("quantile: bin of a value", bin),
    ])
}

/// How often all values go into one sketch.
fn rounds(keys: usize) -> usize {
    (keys / 1000).max(1)
}
