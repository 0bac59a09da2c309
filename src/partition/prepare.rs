//! Computes what depends on an event alone: truth of filters, equal keys, coupons, fixed-point
//! numbers and bins.

use sketches::quantile::Sample;
use sketches::sum;
use sketches::theta::Mark;
use sketches::unique::{Coupon, Family};

use super::evaluate::{Evaluator, Truth};
use super::grouping::{Dictionary, Numberer, Numbering};
use super::inputs::Inputs;
use super::plan::Plan;
use crate::config::{FieldType, Schema};
use crate::event::{Batch, Bitmap, Column, Values};

/// What was computed of a batch; the slots are those of the [`Plan`].
#[derive(Default)]
pub struct Prepared {
    /// Per dimension slot: its values.
    pub dimensions: Vec<Dictionary>,
    /// Per grouping: which events have the same tuple.
    pub groupings: Vec<Numbering>,
    /// Per coupon slot.
    pub coupons: Vec<Vec<Coupon>>,
    /// Per mark slot.
    pub marks: Vec<Vec<Mark>>,
    /// Per number slot: the value.
    pub numbers: Vec<Vec<f64>>,
    /// Per number slot: the value in units of a sum of floats, rounded down.
    pub fixed: Vec<Vec<i128>>,
    /// Per number slot: whether any value has a fraction of a unit.
    pub fractions: Vec<bool>,
    /// Per sample slot.
    pub samples: Vec<Vec<Sample>>,
    /// Per form of rows.
    pub inputs: Vec<Inputs>,
    /// Per condition.
    pub truths: Vec<Truth>,
    /// Per selection: which events an aggregate sees.
    pub selected: Vec<Bitmap>,
    /// Per selection: whether it sees them all.
    pub all_selected: Vec<bool>,
}

/// Prepares batches of one schema, in memory that is reused.
pub struct Preparer {
    evaluator: Evaluator,
    numberer: Numberer,
    scales: Vec<f64>,
}

impl Preparer {
    /// A preparer for a schema.
    pub fn new(schema: &Schema) -> Self {
        let scale = |kind: FieldType| match kind {
            FieldType::Decimal(scale) => 10f64.powi(i32::from(scale)),
            _ => 1.0,
        };
        Self {
            evaluator: Evaluator::default(),
            numberer: Numberer::default(),
            scales: schema.fields.iter().map(|f| scale(f.kind)).collect(),
        }
    }

    /// Computes everything that the plan asks for.
    pub fn prepare(&mut self, plan: &Plan, batch: &Batch, out: &mut Prepared) {
        out.truths.resize_with(plan.predicates.len(), Truth::default);
        for ((_, predicate), truth) in plan.predicates.iter().zip(&mut out.truths) {
            self.evaluator.evaluate(predicate, &batch.fields, batch.len(), truth);
        }
        select(plan, batch, out);
        self.numberer.number_values(plan, batch, &mut out.dimensions);
        self.numberer.number_tuples(plan, batch.len(), &out.dimensions, &mut out.groupings);
        out.coupons.resize_with(plan.coupons.len(), Vec::new);
        for (&(field, family), coupons) in plan.coupons.iter().zip(&mut out.coupons) {
            let column = &batch.fields[field];
            match family {
                Family::Ak => compute(column, Coupon::of_bytes, Coupon::of_i64, coupons),
                Family::DataSketches => {
                    let (of_bytes, of_i64) =
                        (Coupon::datasketches_of_bytes, Coupon::datasketches_of_i64);
                    compute(column, of_bytes, of_i64, coupons);
                }
            }
        }
        out.marks.resize_with(plan.marks.len(), Vec::new);
        for (&field, marks) in plan.marks.iter().zip(&mut out.marks) {
            compute(&batch.fields[field], Mark::of_bytes, Mark::of_i64, marks);
        }
        out.numbers.resize_with(plan.numbers.len(), Vec::new);
        out.fixed.resize_with(plan.numbers.len(), Vec::new);
        out.fractions.resize(plan.numbers.len(), false);
        for (slot, &field) in plan.numbers.iter().enumerate() {
            let numbers = &mut out.numbers[slot];
            numbers.clear();
            match &batch.fields[field].values {
                Values::Float(values) => numbers.extend_from_slice(values),
                Values::Int(values) => {
                    numbers.extend(values.iter().map(|&v| v as f64 / self.scales[field]));
                }
                other => unreachable!("checked: a number, not {other:?}"),
            }
            let fixed = numbers
                .iter()
                .map(|&value| sum::to_fixed(value).expect("a value that does not fit was refused"));
            out.fixed[slot].clear();
            out.fixed[slot].extend(fixed);
            out.fractions[slot] = numbers.iter().any(|&v| sum::has_fraction(v));
        }
        out.samples.resize_with(plan.samples.len(), Vec::new);
        for ((number, mapping), samples) in plan.samples.iter().zip(&mut out.samples) {
            let sample = |&value: &f64| {
                Sample::new(value, mapping).expect("a value that does not fit was refused")
            };
            samples.clear();
            samples.extend(out.numbers[*number].iter().map(sample));
        }
        out.inputs.resize_with(plan.inputs.len(), Inputs::default);
        let selected = |s: usize| (!out.all_selected[s]).then(|| &out.selected[s]);
        for (input, inputs) in plan.inputs.iter().zip(&mut out.inputs) {
            inputs.begin(input.form(), batch.len());
            for (at, &(slot, selection)) in input.coupons.iter().enumerate() {
                inputs.put_coupons(at, &out.coupons[slot], selected(selection));
            }
            for (at, &(slot, selection)) in input.samples.iter().enumerate() {
                inputs.put_samples(at, &out.samples[slot], selected(selection));
            }
        }
    }
}

fn select(plan: &Plan, batch: &Batch, out: &mut Prepared) {
    out.selected.resize_with(plan.selections.len(), Bitmap::default);
    out.all_selected.resize(plan.selections.len(), false);
    for (at, selection) in plan.selections.iter().enumerate() {
        let selected = &mut out.selected[at];
        match (selection.predicate, selection.present) {
            (None, None) => selected.fill(batch.len(), true),
            (Some(p), None) => selected.copy_from(&out.truths[p].is_true),
            (None, Some(field)) => selected.copy_from(&batch.fields[field].valid),
            (Some(p), Some(field)) => {
                selected.copy_from(&out.truths[p].is_true);
                selected.and(&batch.fields[field].valid);
            }
        }
        out.all_selected[at] = selected.all();
    }
}

/// Hashes each value of a column, in its family's way.
fn compute<T>(
    column: &Column,
    of_bytes: impl Fn(&[u8]) -> T,
    of_i64: impl Fn(i64) -> T,
    out: &mut Vec<T>,
) {
    out.clear();
    match &column.values {
        Values::Text(texts) => out.extend((0..texts.len()).map(|i| of_bytes(texts.get(i)))),
        Values::Int(ints) => out.extend(ints.iter().map(|&i| of_i64(i))),
        Values::Bool(bools) => out.extend(bools.iter().map(|&b| of_i64(i64::from(b)))),
        Values::Float(_) => unreachable!("the configuration allows no sets of floats"),
    }
}
