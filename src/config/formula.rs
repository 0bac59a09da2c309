//! Columns computed on output (`derived`), and the names by which one asks for a part of
//! an aggregate (`latency.p95`). Parsed by a SQL library, compiled once, evaluated in f64.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::number::Number;
use super::sql::{function_arguments, parse_sql};
use super::{AggregateKind, Field, FieldType, Summary, suggestion};
use crate::limits;

/// Which part of an aggregate is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The number itself; for uniques and sets the estimate, for quantiles the median, of the
    /// most frequent values all.
    Value,
    /// One standard error of a number of distinct values, in values; how much the count of a
    /// frequent value may exceed the truth.
    Error,
    /// Its lower bound (two standard errors).
    Lower,
    /// Its upper bound (two standard errors).
    Upper,
    /// A quantile, 0 to 1.
    Quantile(f64),
    /// The first so many of the most frequent values.
    First(usize),
    /// Number of values that a quantile aggregate saw, or that were counted by value.
    Count,
    /// Their exact sum.
    Sum,
    /// Their mean.
    Mean,
    /// The smallest.
    Min,
    /// The greatest.
    Max,
    /// How many values a quantile aggregate counted as further from zero than they are, being too
    /// far below the greatest.
    Folded,
}

/// One part of one aggregate of a summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Place among the summary's aggregates.
    pub aggregate: usize,
    /// Which part of it.
    pub part: Part,
}

impl Output {
    /// Whether it is a list of values rather than one.
    pub fn is_list(&self, summary: &Summary) -> bool {
        matches!(summary.aggregates[self.aggregate].kind, AggregateKind::Top { .. })
            && matches!(self.part, Part::Value | Part::First(_))
    }

    /// Finds `name`, `name.part` or `name_part` in a summary.
    ///
    /// # Errors
    /// A sentence with what there is.
    pub fn find(summary: &Summary, text: &str) -> Result<Self, String> {
        if let Some(aggregate) = summary.aggregate(text) {
            return Ok(Self { aggregate, part: Part::Value });
        }
        let splits = text.match_indices(['.', '_']).map(|(at, _)| (&text[..at], &text[at + 1..]));
        for (name, part) in splits {
            let Some(aggregate) = summary.aggregate(name) else { continue };
            if let Some(part) = find_part(&summary.aggregates[aggregate].kind, part) {
                return Ok(Self { aggregate, part });
            }
        }
        let known = summary.aggregates.iter().map(|a| a.name.as_str());
        Err(format!(
            "\"{text}\" is not an aggregate of summary \"{}\" nor a part of one; {}",
            summary.name,
            suggestion(text, known)
        ))
    }
}

fn find_part(kind: &AggregateKind, part: &str) -> Option<Part> {
    match (kind, part) {
        (AggregateKind::Unique { .. } | AggregateKind::Theta { .. }, part) => match part {
            "error" => Some(Part::Error),
            "lower" => Some(Part::Lower),
            "upper" => Some(Part::Upper),
            _ => None,
        },
        (AggregateKind::Top { .. }, "error") => Some(Part::Error),
        (AggregateKind::Top { .. }, "count") => Some(Part::Count),
        (AggregateKind::Top { k, .. }, part) => {
            let count = part.parse().ok().filter(|n| (1..=*k).contains(n))?;
            part.starts_with(|first: char| first.is_ascii_digit()).then_some(Part::First(count))
        }
        (AggregateKind::Quantile { .. }, "count") => Some(Part::Count),
        (AggregateKind::Quantile { .. }, "sum") => Some(Part::Sum),
        (AggregateKind::Quantile { .. }, "avg" | "mean") => Some(Part::Mean),
        (AggregateKind::Quantile { .. }, "min") => Some(Part::Min),
        (AggregateKind::Quantile { .. }, "max") => Some(Part::Max),
        (AggregateKind::Quantile { .. }, "folded") => Some(Part::Folded),
        (AggregateKind::Quantile { .. }, part) => {
            let digits = part.strip_prefix('p').filter(|d| !d.starts_with(['+', '-']))?;
            let percent: f64 = digits.parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(Part::Quantile(percent / 100.0))
        }
        _ => None,
    }
}

/// A compiled formula over the outputs of a summary.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// A literal.
    Number(f64),
    /// An output, by its place in a list that the evaluation is handed.
    Output(Output),
    /// `-x`
    Negate(Box<Formula>),
    /// `a + b` and so on.
    Binary(Box<Formula>, Arithmetic, Box<Formula>),
    /// `coalesce(…)`: the first that is not null.
    Coalesce(Vec<Formula>),
    /// `nullif(a, b)`: null where they are equal.
    NullIf(Box<Formula>, Box<Formula>),
    /// `abs(x)`, `round(x)`, …
    Apply(Function, Box<Formula>),
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, null where the divisor is 0
    Divide,
    /// `%`, null where the divisor is 0
    Remainder,
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Function {
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Ln,
}

impl Formula {
    /// Parses and compiles `sql` over the aggregates of `summary`, which are those of `fields`.
    ///
    /// # Errors
    /// A sentence on what is not understood.
    pub fn compile(sql: &str, summary: &Summary, fields: &[Field]) -> Result<Self, String> {
        let is_aggregate = |name: &str| summary.aggregate(name).is_some();
        let formula = compile(&parse_sql(sql, limits::MAX_FORMULA_BYTES, is_aggregate)?, summary)?;
        formula.check_types(summary, fields).map(|()| formula)
    }

    /// Refuses aggregates that are a text or a truth value: the column would always be null.
    fn check_types(&self, summary: &Summary, fields: &[Field]) -> Result<(), String> {
        let mut all = Vec::new();
        self.aggregates(&mut all);
        for aggregate in all.into_iter().map(|at| &summary.aggregates[at]) {
            // These alone have the type of their field.
            if let AggregateKind::Min(field)
            | AggregateKind::Max(field)
            | AggregateKind::Last(field) = aggregate.kind
                && let kind @ (FieldType::String | FieldType::Bool) = fields[field].kind
            {
                return Err(format!("{} is a {kind}, not a number", aggregate.name));
            }
        }
        Ok(())
    }

    /// Appends the aggregates that it needs.
    pub fn aggregates(&self, all: &mut Vec<usize>) {
        match self {
            Self::Number(_) => {}
            Self::Output(output) => all.push(output.aggregate),
            Self::Negate(x) | Self::Apply(_, x) => x.aggregates(all),
            Self::Binary(a, _, b) | Self::NullIf(a, b) => {
                a.aggregates(all);
                b.aggregates(all);
            }
            Self::Coalesce(list) => list.iter().for_each(|f| f.aggregates(all)),
        }
    }

    /// The value, or null where an operand is null or the result is not a number.
    pub fn evaluate(&self, output: &impl Fn(Output) -> Option<f64>) -> Option<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Output(which) => output(*which)?,
            Self::Negate(x) => -x.evaluate(output)?,
            Self::Binary(left, operator, right) => {
                let (a, b) = (left.evaluate(output)?, right.evaluate(output)?);
                match operator {
                    Arithmetic::Add => a + b,
                    Arithmetic::Subtract => a - b,
                    Arithmetic::Multiply => a * b,
                    Arithmetic::Divide => a / b,
                    Arithmetic::Remainder => a % b,
                }
            }
            Self::Coalesce(all) => all.iter().find_map(|f| f.evaluate(output))?,
            Self::NullIf(a, b) => {
                let value = a.evaluate(output)?;
                if b.evaluate(output) == Some(value) {
                    return None;
                }
                value
            }
            Self::Apply(function, x) => {
                let x = x.evaluate(output)?;
                match function {
                    Function::Abs => x.abs(),
                    Function::Round => x.round(),
                    Function::Floor => x.floor(),
                    Function::Ceil => x.ceil(),
                    Function::Sqrt => x.sqrt(),
                    Function::Ln => x.ln(),
                }
            }
        };
        // -0 would print as "-0" in a file; infinities and NaN are undefined.
        value.is_finite().then_some(value + 0.0)
    }
}

fn compile(expr: &Expr, summary: &Summary) -> Result<Formula, String> {
    let boxed = |e: &Expr| compile(e, summary).map(Box::new);
    Ok(match expr {
        Expr::Nested(inner) => compile(inner, summary)?,
        Expr::Identifier(name) => number(summary, &name.value)?,
        Expr::CompoundIdentifier(parts) => {
            let parts: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
            number(summary, &parts.join("."))?
        }
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => {
                let number = Number::read(text).ok_or_else(|| format!("{text} is not a number"))?;
                Formula::Number(number.to_f64())
            }
            other => return Err(format!("{other} is not a number")),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Formula::Negate(boxed(expr)?),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => compile(expr, summary)?,
        Expr::BinaryOp { left, op, right } => {
            let operator = match op {
                BinaryOperator::Plus => Arithmetic::Add,
                BinaryOperator::Minus => Arithmetic::Subtract,
                BinaryOperator::Multiply => Arithmetic::Multiply,
                BinaryOperator::Divide => Arithmetic::Divide,
                BinaryOperator::Modulo => Arithmetic::Remainder,
                other => return Err(format!("{other} is not one of + - * / %")),
            };
            Formula::Binary(boxed(left)?, operator, boxed(right)?)
        }
        Expr::Function(call) => compile_call(call, summary)?,
        other => {
            return Err(format!(
                "{other} is not understood; numbers, aggregates, + - * / %, parentheses and the \
                 functions coalesce, nullif, abs, round, floor, ceil, sqrt, ln are"
            ));
        }
    })
}

/// The output of a name, which must be a number.
fn number(summary: &Summary, name: &str) -> Result<Formula, String> {
    let output = Output::find(summary, name)?;
    if output.is_list(summary) {
        return Err(format!("{name} is a list of values, not a number"));
    }
    Ok(Formula::Output(output))
}

fn compile_call(call: &sqlparser::ast::Function, summary: &Summary) -> Result<Formula, String> {
    let name = call.name.to_string().to_lowercase();
    let mut arguments = function_arguments(call)?
        .into_iter()
        .map(|a| compile(a, summary))
        .collect::<Result<Vec<_>, _>>()?;
    let function = match name.as_str() {
        "coalesce" if !arguments.is_empty() => return Ok(Formula::Coalesce(arguments)),
        "nullif" if arguments.len() == 2 => {
            let (b, a) = (arguments.remove(1), arguments.remove(0));
            return Ok(Formula::NullIf(Box::new(a), Box::new(b)));
        }
        "abs" => Function::Abs,
        "round" => Function::Round,
        "floor" => Function::Floor,
        "ceil" => Function::Ceil,
        "sqrt" => Function::Sqrt,
        "ln" => Function::Ln,
        _ => {
            return Err(format!(
                "{name}() is not a function with {} arguments; expected coalesce(…), nullif(a, b), \
                 abs, round, floor, ceil, sqrt or ln",
                arguments.len()
            ));
        }
    };
    match arguments.len() {
        1 => Ok(Formula::Apply(function, Box::new(arguments.remove(0)))),
        n => Err(format!("{name}() takes one argument, not {n}")),
    }
}
