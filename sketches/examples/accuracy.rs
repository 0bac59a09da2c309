//! Measures the error of unique counts from 1 to 10⁷ values, beside two other libraries,
//! and writes a table (standard output) and a picture:
//! `cargo run --release -p sketches --example accuracy -- sketches/docs/accuracy.svg`
//! with, behind the file, the number of sequences for ours (500) and the peers (100), and
//! the greatest number of values.

#![allow(missing_docs)]

use std::fmt::Write;
use std::hash::{BuildHasherDefault, DefaultHasher};

use datasketches::hll::{HllSketch, HllType};
use hyperloglogplus::{HyperLogLog, HyperLogLogPlus};
use sketches::unique::{Coupon, Unique};

type Hll = HyperLogLogPlus<u64, BuildHasherDefault<DefaultHasher>>;

/// Name, colour, and rms error in percent at each point.
struct Curve(&'static str, &'static str, Vec<f64>, Vec<f64>);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let picture = arguments.next().expect("the first argument is the file of the picture");
    let mut number = |default: usize| {
        arguments.next().map_or(default, |n| n.parse().expect("the others are numbers"))
    };
    let (seeds, peer_seeds, most) = (number(500), number(100), number(10_000_000));
    let points: Vec<usize> = (0..)
        .map(|step| 10f64.powf(f64::from(step) / 12.0).round() as usize)
        .take_while(|&point| point <= most)
        .fold(Vec::new(), |mut points, point| {
            if points.last() != Some(&point) {
                points.push(point);
            }
            points
        });
    let ours = measure(
        &points,
        seeds,
        || Unique::new(14),
        |sketch, value| {
            sketch.insert(Coupon::of_hash(value));
        },
        |sketch| sketch.estimate().value,
    );
    let new = || HllSketch::new(14, HllType::Hll8).expect("14 is a log2m");
    let apache = measure(
        &points,
        peer_seeds,
        new,
        |sketch, value| sketch.update(value),
        |sketch| sketch.composite_estimate(),
    );
    let new = || Hll::new(14, BuildHasherDefault::default()).expect("14 is a precision");
    let plus = measure(
        &points,
        peer_seeds,
        new,
        |sketch, value| sketch.insert(&value),
        |sketch| sketch.count(),
    );
    let curves = [
        Curve("hyperloglogplus 0.4", "#d95f02", plus.0, plus.1),
        Curve("datasketches 0.6 (as merged)", "#7570b3", apache.0, apache.1),
        Curve("ours", "#1b9e77", ours.0, ours.1),
    ];
    println!("| values | ours rms % | ours mean % | datasketches rms % | hyperloglogplus rms % |");
    println!("|---|---|---|---|---|");
    for (at, point) in points.iter().enumerate().filter(|(at, _)| at % 4 == 0) {
        let [plus, apache, ours] = &curves;
        let (rms, mean) = (ours.2[at], ours.3[at]);
        println!("| {point} | {rms:.4} | {mean:+.4} | {:.4} | {:.4} |", apache.2[at], plus.2[at]);
    }
    std::fs::write(&picture, draw(&points, &curves, seeds, peer_seeds)).expect("can be written");
}

/// The rms and mean of the relative error at each point, in percent.
fn measure<T>(
    points: &[usize],
    seeds: usize,
    new: impl Fn() -> T,
    insert: impl Fn(&mut T, u64),
    estimate: impl Fn(&mut T) -> f64,
) -> (Vec<f64>, Vec<f64>) {
    let (mut squares, mut sums) = (vec![0.0; points.len()], vec![0.0; points.len()]);
    for seed in 0..seeds {
        let mut state = (seed as u64 + 1).wrapping_mul(0xA076_1D64_78BD_642F);
        let mut sketch = new();
        let mut inserted = 0;
        for (at, &point) in points.iter().enumerate() {
            for _ in inserted..point {
                // SplitMix64.
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                insert(&mut sketch, z ^ (z >> 31));
            }
            inserted = point;
            let error = estimate(&mut sketch) / point as f64 - 1.0;
            squares[at] += error * error;
            sums[at] += error;
        }
    }
    let percent = 100.0 / seeds as f64;
    let rms = squares.iter().map(|square| (square / seeds as f64).sqrt() * 100.0).collect();
    (rms, sums.iter().map(|sum| sum * percent).collect())
}

/// A picture of the rms error: values on a logarithmic axis, 0 to 1.2 % upwards.
fn draw(points: &[usize], curves: &[Curve], seeds: usize, peer_seeds: usize) -> String {
    let decades = (*points.last().unwrap_or(&10) as f64).log10();
    let x = |point: f64| 60.0 + 680.0 * point.log10() / decades;
    let y = |percent: f64| 340.0 - 250.0 * percent.min(1.2);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 390\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"760\" height=\"390\" fill=\"white\"/>\n",
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        svg.write_fmt(text).expect("a string takes all");
        svg.push('\n');
    };
    for tenth in (0..=12).step_by(2) {
        let (percent, y) = (f64::from(tenth) / 10.0, y(f64::from(tenth) / 10.0));
        line(format_args!("<path d=\"M60 {y}H740\" stroke=\"#ddd\"/>"));
        line(format_args!(
            "<text x=\"52\" y=\"{}\" text-anchor=\"end\">{percent} %</text>",
            y + 4.0
        ));
    }
    for decade in 0..=decades.floor() as i32 {
        let x = x(10f64.powi(decade));
        line(format_args!("<path d=\"M{x} 40V340\" stroke=\"#ddd\"/>"));
        line(format_args!("<text x=\"{x}\" y=\"358\" text-anchor=\"middle\">10^{decade}</text>"));
    }
    for (at, Curve(name, colour, rms, _)) in curves.iter().enumerate() {
        let mut path = String::new();
        for (&point, &rms) in points.iter().zip(rms) {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{letter}{:.1} {:.1}", x(point as f64), y(rms)).expect("a string");
        }
        line(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        let y = 60 + at * 18;
        line(format_args!("<text x=\"80\" y=\"{y}\" fill=\"{colour}\">{name}</text>"));
    }
    line(format_args!(
        "<text x=\"60\" y=\"26\" font-size=\"14\">Root mean square error of unique counts, \
         2^14 registers ({seeds} sequences, peers {peer_seeds})</text>"
    ));
    line(format_args!("<text x=\"400\" y=\"380\" text-anchor=\"middle\">distinct values</text>"));
    svg.push_str("</svg>\n");
    svg
}
