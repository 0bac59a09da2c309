//! Evaluates a filter over whole columns, in three-valued logic: two bitmaps say for which
//! events it is true and for which it is false; where neither, it is unknown.

use std::cmp::Ordering;

use crate::config::{Comparison, Operand, Predicate};
use crate::event::{Bitmap, Column, Values};

/// For which events a condition is true and for which it is false.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Known to hold.
    pub is_true: Bitmap,
    /// Known not to hold.
    pub is_false: Bitmap,
}

/// Evaluates conditions in memory that is reused.
#[derive(Default)]
pub struct Evaluator {
    spare: Vec<Truth>,
}

impl Evaluator {
    /// Evaluates a condition over `len` events into `out`.
    pub fn evaluate(
        &mut self,
        predicate: &Predicate,
        fields: &[Column],
        len: usize,
        out: &mut Truth,
    ) {
        match predicate {
            Predicate::Constant(value) => {
                out.is_true.fill(len, *value == Some(true));
                out.is_false.fill(len, *value == Some(false));
            }
            Predicate::Field(field) => {
                let column = &fields[*field];
                let Values::Bool(values) = &column.values else { unreachable!("checked: bool") };
                out.is_true.fill_with(len, |i| values[i]);
                out.is_false.fill_with(len, |i| !values[i]);
                out.is_true.and(&column.valid);
                out.is_false.and(&column.valid);
            }
            Predicate::IsNull(field) => {
                out.is_false.copy_from(&fields[*field].valid);
                out.is_true.copy_from(&fields[*field].valid);
                out.is_true.not();
            }
            Predicate::Compare(comparison, how) => {
                compare(comparison, fields, len, out, |ordering| how.holds(ordering));
            }
            Predicate::Like(field, pattern) => {
                let column = &fields[*field];
                let Values::Text(texts) = &column.values else { unreachable!("checked: string") };
                let matches = |i: usize| {
                    std::str::from_utf8(texts.get(i)).is_ok_and(|text| pattern.matches(text))
                };
                out.is_true.fill_with(len, matches);
                known(out, &[&column.valid]);
            }
            Predicate::And(parts) => {
                self.fold(parts, fields, len, out, true);
            }
            Predicate::Or(parts) => {
                self.fold(parts, fields, len, out, false);
            }
            Predicate::Not(inner) => {
                self.evaluate(inner, fields, len, out);
                std::mem::swap(&mut out.is_true, &mut out.is_false);
            }
            Predicate::Is(inner, what) => {
                self.evaluate(inner, fields, len, out);
                match what {
                    Some(true) => {}
                    Some(false) => std::mem::swap(&mut out.is_true, &mut out.is_false),
                    None => {
                        out.is_true.or(&out.is_false);
                        out.is_true.not();
                    }
                }
                out.is_false.copy_from(&out.is_true);
                out.is_false.not();
            }
        }
    }

    /// And (`all`) or Or of conditions: true where all are, false where one is; or the
    /// other way round.
    fn fold(
        &mut self,
        parts: &[Predicate],
        fields: &[Column],
        len: usize,
        out: &mut Truth,
        all: bool,
    ) {
        out.is_true.fill(len, all);
        out.is_false.fill(len, !all);
        let mut part = self.spare.pop().unwrap_or_default();
        for predicate in parts {
            self.evaluate(predicate, fields, len, &mut part);
            if all {
                out.is_true.and(&part.is_true);
                out.is_false.or(&part.is_false);
            } else {
                out.is_true.or(&part.is_true);
                out.is_false.and(&part.is_false);
            }
        }
        self.spare.push(part);
    }
}

/// Takes `is_true` where all of `valid` are known, and the opposite as `is_false`.
fn known(out: &mut Truth, valid: &[&Bitmap]) {
    out.is_false.copy_from(&out.is_true);
    out.is_false.not();
    for bits in valid {
        out.is_true.and(bits);
        out.is_false.and(bits);
    }
}

fn compare(
    comparison: &Comparison,
    fields: &[Column],
    len: usize,
    out: &mut Truth,
    holds: impl Fn(Ordering) -> bool,
) {
    let mut valid: Vec<&Bitmap> = Vec::with_capacity(2);
    match comparison {
        Comparison::Text(a, b) => {
            let (a, b) =
                (TextSide::new(a, fields, &mut valid), TextSide::new(b, fields, &mut valid));
            out.is_true.fill_with(len, |i| holds(a.get(i).cmp(b.get(i))));
        }
        Comparison::Exact(a, b) => {
            let side = |operand: &Operand<i128, i128>| match operand {
                Operand::Field(field, factor) => (ints(&fields[*field]), *factor),
                Operand::Literal(value) => (&[][..], *value),
            };
            // Beyond the values of a field (a literal has none) stands the literal itself.
            let ((a_values, a_factor), (b_values, b_factor)) = (side(a), side(b));
            let get = |values: &[i64], factor: i128, i: usize| {
                values.get(i).map_or(factor, |v| i128::from(*v) * factor)
            };
            valid.extend([a, b].into_iter().filter_map(field_of).map(|f| &fields[f].valid));
            out.is_true.fill_with(len, |i| {
                holds(get(a_values, a_factor, i).cmp(&get(b_values, b_factor, i)))
            });
        }
        Comparison::Float(a, b) => {
            valid.extend([a, b].into_iter().filter_map(field_of).map(|f| &fields[f].valid));
            let get = |operand: &Operand<f64, u8>, i: usize| match operand {
                Operand::Literal(value) => *value,
                Operand::Field(field, scale) => match &fields[*field].values {
                    Values::Float(values) => values[i],
                    values => nearest(ints_of(values)[i], *scale),
                },
            };
            // No field holds NaN and no literal is one, so that there always is an order.
            out.is_true.fill_with(len, |i| {
                holds(get(a, i).partial_cmp(&get(b, i)).unwrap_or(Ordering::Equal))
            });
        }
    }
    known(out, &valid);
}

/// The float that is nearest to `digits` × 10^-`scale`: the one that a float field would hold.
fn nearest(digits: i64, scale: u8) -> f64 {
    // Where both are floats exactly, their quotient is rounded once.
    if digits.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS {
        return digits as f64 / 10f64.powi(i32::from(scale));
    }
    format!("{digits}e-{scale}").parse().unwrap_or(f64::NAN)
}

fn field_of<T, F>(operand: &Operand<T, F>) -> Option<usize> {
    match operand {
        Operand::Field(field, _) => Some(*field),
        Operand::Literal(_) => None,
    }
}

fn ints(column: &Column) -> &[i64] {
    ints_of(&column.values)
}

fn ints_of(values: &Values) -> &[i64] {
    match values {
        Values::Int(ints) => ints,
        other => unreachable!("checked: a number, not {other:?}"),
    }
}

enum TextSide<'a> {
    Literal(&'a [u8]),
    Column(&'a crate::event::TextColumn),
}

impl<'a> TextSide<'a> {
    fn new(
        operand: &'a Operand<Box<[u8]>>,
        fields: &'a [Column],
        valid: &mut Vec<&'a Bitmap>,
    ) -> Self {
        match operand {
            Operand::Literal(text) => Self::Literal(text),
            Operand::Field(field, ()) => {
                valid.push(&fields[*field].valid);
                match &fields[*field].values {
                    Values::Text(texts) => Self::Column(texts),
                    other => unreachable!("checked: a string, not {other:?}"),
                }
            }
        }
    }

    #[inline]
    fn get(&self, i: usize) -> &[u8] {
        match self {
            Self::Literal(text) => text,
            Self::Column(texts) => texts.get(i),
        }
    }
}

#[cfg(test)]
mod tests;
