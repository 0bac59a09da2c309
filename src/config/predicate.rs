//! Filters (`where`): SQL conditions, parsed by a SQL library and compiled once, with types
//! checked, to a small tree that `partition` evaluates over whole columns.
//!
//! SQL's three-valued logic holds: a comparison with null is neither true nor false.

use std::cmp::Ordering;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::number::Number;
use super::sql::parse_sql;
use super::{Field, FieldType, suggestion};
use crate::limits;

/// A compiled condition. Fields are named by their place in `Schema::fields`.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// true, false or unknown.
    Constant(Option<bool>),
    /// The value of a bool field.
    Field(usize),
    /// Whether a field is null.
    IsNull(usize),
    /// Two operands compared.
    Compare(Comparison, Ordered),
    /// A string field against a pattern.
    Like(usize, Like),
    /// Both.
    And(Vec<Predicate>),
    /// Either.
    Or(Vec<Predicate>),
    /// The opposite; unknown stays unknown.
    Not(Box<Predicate>),
    /// Whether a condition is true, false or unknown; never unknown itself.
    Is(Box<Predicate>, Option<bool>),
}

/// Operands of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// UTF-8, compared byte by byte.
    Text(Operand<Box<[u8]>>, Operand<Box<[u8]>>),
    /// Ints and decimals, brought to one scale: a field's values are multiplied by its factor.
    Exact(Operand<i128, i128>, Operand<i128, i128>),
    /// A float and any number, of which the nearest float is taken, as SQL does and as the field
    /// would hold it: a field's values have so many decimals.
    Float(Operand<f64, u8>, Operand<f64, u8>),
}

/// A field or a literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand<T, F = ()> {
    /// A field by its place, with the factor that its values need.
    Field(usize, F),
    /// A literal.
    Literal(T),
}

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ordered {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Ordered {
    /// Whether an ordering satisfies the comparison.
    #[inline]
    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// A `LIKE` pattern: `%` is any text, `_` any one character, `\` makes the next one plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    parts: Vec<LikePart>,
    ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LikePart {
    Character(char),
    AnyCharacter,
    AnyText,
}

impl Like {
    fn compile(pattern: &str, ignore_case: bool) -> Self {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            parts.push(match c {
                '%' => LikePart::AnyText,
                '_' => LikePart::AnyCharacter,
                '\\' => LikePart::Character(characters.next().unwrap_or('\\')),
                c => LikePart::Character(c),
            });
        }
        Self { parts, ignore_case }
    }

    /// Whether a text matches, in time proportional to text × pattern at worst.
    pub fn matches(&self, text: &str) -> bool {
        // On a mismatch, let the last `%` take one character more and try again from there.
        let mut rest = text.chars();
        let mut at = 0;
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let matched = match (self.parts.get(at), rest.clone().next()) {
                (Some(LikePart::AnyText), _) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                    continue;
                }
                (None, None) => return true,
                (Some(LikePart::AnyCharacter), Some(_)) => true,
                (Some(LikePart::Character(p)), Some(c)) => self.same(*p, c),
                _ => false,
            };
            if matched {
                rest.next();
                at += 1;
                continue;
            }
            let Some((after, from)) = &mut retry else { return false };
            if from.next().is_none() {
                return false;
            }
            at = *after;
            rest = from.clone();
        }
    }

    fn same(&self, a: char, b: char) -> bool {
        a == b || self.ignore_case && a.to_lowercase().eq(b.to_lowercase())
    }
}

impl Predicate {
    /// Parses and compiles a condition over the fields.
    ///
    /// # Errors
    /// A sentence on what is not understood or does not fit together.
    pub fn compile(sql: &str, fields: &[Field]) -> Result<(String, Self), String> {
        let is_field = |name: &str| fields.iter().any(|f| f.name == name);
        let expr = parse_sql(sql, limits::MAX_FILTER_BYTES, is_field)?;
        Ok((expr.to_string(), Compiler { fields }.condition(&expr)?))
    }

    /// Appends the fields that it reads.
    pub fn fields(&self, all: &mut Vec<usize>) {
        match self {
            Self::Constant(_) => {}
            Self::Field(field) | Self::IsNull(field) | Self::Like(field, _) => all.push(*field),
            Self::Compare(comparison, _) => comparison.fields(all),
            Self::And(list) | Self::Or(list) => list.iter().for_each(|p| p.fields(all)),
            Self::Not(inner) | Self::Is(inner, _) => inner.fields(all),
        }
    }
}

impl Comparison {
    fn fields(&self, all: &mut Vec<usize>) {
        match self {
            Self::Text(a, b) => all.extend([a.field(), b.field()].into_iter().flatten()),
            Self::Exact(a, b) => all.extend([a.field(), b.field()].into_iter().flatten()),
            Self::Float(a, b) => all.extend([a.field(), b.field()].into_iter().flatten()),
        }
    }
}

impl<T, F> Operand<T, F> {
    fn field(&self) -> Option<usize> {
        match self {
            Self::Field(field, _) => Some(*field),
            Self::Literal(_) => None,
        }
    }
}

/// A literal or a field, before the other side of a comparison is known.
enum Side {
    Null,
    Text(String),
    Number(Number),
    Bool(bool),
    Field(usize, FieldType),
}

struct Compiler<'a> {
    fields: &'a [Field],
}

impl Compiler<'_> {
    fn condition(&self, expr: &Expr) -> Result<Predicate, String> {
        let inner = |e: &Expr| self.condition(e);
        let is = |e: &Expr, what| Ok(Predicate::Is(Box::new(self.condition(e)?), what));
        let unless = |negated: bool, p: Predicate| if negated { not(p) } else { p };
        match expr {
            Expr::Nested(e) => inner(e),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(inner(expr)?)),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                self.chain(expr, &BinaryOperator::And).map(Predicate::And)
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                self.chain(expr, &BinaryOperator::Or).map(Predicate::Or)
            }
            Expr::BinaryOp { left, op, right } => self.compare(left, ordered(op)?, right),
            Expr::IsNull(e) => self.is_null(e),
            Expr::IsNotNull(e) => Ok(not(self.is_null(e)?)),
            Expr::IsTrue(e) => is(e, Some(true)),
            Expr::IsNotTrue(e) => is(e, Some(true)).map(not),
            Expr::IsFalse(e) => is(e, Some(false)),
            Expr::IsNotFalse(e) => is(e, Some(false)).map(not),
            Expr::IsUnknown(e) => is(e, None),
            Expr::IsNotUnknown(e) => is(e, None).map(not),
            Expr::InList { expr, list, negated } => {
                let equal = list.iter().map(|item| self.compare(expr, Ordered::Equal, item));
                Ok(unless(*negated, Predicate::Or(equal.collect::<Result<_, _>>()?)))
            }
            Expr::Between { expr, negated, low, high } => {
                let from = self.compare(expr, Ordered::GreaterOrEqual, low)?;
                let to = self.compare(expr, Ordered::LessOrEqual, high)?;
                Ok(unless(*negated, Predicate::And(vec![from, to])))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                Ok(unless(*negated, self.like(expr, pattern, false)?))
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                Ok(unless(*negated, self.like(expr, pattern, true)?))
            }
            Expr::Identifier(_) | Expr::Value(_) => match self.side(expr)? {
                Side::Bool(b) => Ok(Predicate::Constant(Some(b))),
                Side::Null => Ok(Predicate::Constant(None)),
                Side::Field(field, FieldType::Bool) => Ok(Predicate::Field(field)),
                _ => Err(format!("{expr} is not a condition (true or false)")),
            },
            other => Err(format!(
                "{other} is not understood as a condition; = <> < <= > >=, and, or, not, in, \
                 between, like, ilike, is [not] null, is [not] true are"
            )),
        }
    }

    /// The conditions of `a and b and c`, in order. The parser nests them to the left; a list
    /// is evaluated without a call for each.
    fn chain(&self, mut expr: &Expr, chained: &BinaryOperator) -> Result<Vec<Predicate>, String> {
        let mut parts = Vec::new();
        while let Expr::BinaryOp { left, op, right } = expr
            && op == chained
        {
            parts.push(self.condition(right)?);
            expr = left;
        }
        parts.push(self.condition(expr)?);
        parts.reverse();
        Ok(parts)
    }

    fn is_null(&self, expr: &Expr) -> Result<Predicate, String> {
        match self.side(expr) {
            Ok(Side::Field(field, _)) => Ok(Predicate::IsNull(field)),
            Ok(side) => Ok(Predicate::Constant(Some(matches!(side, Side::Null)))),
            Err(_) => Ok(Predicate::Is(Box::new(self.condition(expr)?), None)),
        }
    }

    fn like(&self, expr: &Expr, pattern: &Expr, ignore_case: bool) -> Result<Predicate, String> {
        match (self.side(expr)?, self.side(pattern)?) {
            (Side::Field(field, FieldType::String), Side::Text(pattern)) => {
                Ok(Predicate::Like(field, Like::compile(&pattern, ignore_case)))
            }
            (_, Side::Null) => Ok(Predicate::Constant(None)),
            _ => Err(format!("like needs a string field and a pattern, not {expr}, {pattern}")),
        }
    }

    fn side(&self, expr: &Expr) -> Result<Side, String> {
        match expr {
            Expr::Nested(inner) => self.side(inner),
            Expr::Identifier(name) => self.field(&name.value),
            Expr::Value(value) => match &value.value {
                Value::Null => Ok(Side::Null),
                Value::Boolean(b) => Ok(Side::Bool(*b)),
                Value::Number(text, _) => Number::read(text)
                    .map(Side::Number)
                    .ok_or_else(|| format!("{text} is not a number")),
                Value::SingleQuotedString(text) => Ok(Side::Text(text.clone())),
                other => Err(format!("{other} is not understood as a literal")),
            },
            Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => {
                let Side::Number(number) = self.side(expr)? else {
                    return Err(format!("{op}{expr} is not a number"));
                };
                let is_minus = *op == UnaryOperator::Minus;
                Ok(Side::Number(if is_minus { number.negated() } else { number }))
            }
            other => Err(format!("{other} is neither a field nor a literal")),
        }
    }

    fn field(&self, name: &str) -> Result<Side, String> {
        let found = self.fields.iter().position(|f| f.name == name);
        found.map(|at| Side::Field(at, self.fields[at].kind)).ok_or_else(|| {
            let known = self.fields.iter().map(|f| f.name.as_str());
            format!("\"{name}\" is not a field; {}", suggestion(name, known))
        })
    }

    fn compare(&self, left: &Expr, how: Ordered, right: &Expr) -> Result<Predicate, String> {
        let mismatch = || format!("{left} and {right} are of different types");
        let (a, b) = (self.side(left)?, self.side(right)?);
        if matches!(a, Side::Null) || matches!(b, Side::Null) {
            return Ok(Predicate::Constant(None));
        }
        if let (Some(a), Some(b)) = (bool_side(&a), bool_side(&b)) {
            return compare_bools(a, how, b);
        }
        if let (Some(a), Some(b)) = (text_side(&a), text_side(&b)) {
            return Ok(Predicate::Compare(Comparison::Text(a, b), how));
        }
        if let (Side::Number(a), Side::Number(b)) = (&a, &b) {
            return Ok(Predicate::Constant(Some(how.holds(a.cmp(b)))));
        }
        let comparison = numbers(&a, &b).ok_or_else(mismatch)?;
        Ok(Predicate::Compare(comparison, how))
    }
}

fn not(predicate: Predicate) -> Predicate {
    Predicate::Not(Box::new(predicate))
}

fn ordered(operator: &BinaryOperator) -> Result<Ordered, String> {
    Ok(match operator {
        BinaryOperator::Eq => Ordered::Equal,
        BinaryOperator::NotEq => Ordered::NotEqual,
        BinaryOperator::Lt => Ordered::Less,
        BinaryOperator::LtEq => Ordered::LessOrEqual,
        BinaryOperator::Gt => Ordered::Greater,
        BinaryOperator::GtEq => Ordered::GreaterOrEqual,
        other => return Err(format!("{other} is not understood in a condition")),
    })
}

fn bool_side(side: &Side) -> Option<Predicate> {
    match side {
        Side::Bool(b) => Some(Predicate::Constant(Some(*b))),
        Side::Field(field, FieldType::Bool) => Some(Predicate::Field(*field)),
        _ => None,
    }
}

/// `a = b` of two conditions in terms of and, or, not, so that null stays unknown.
fn compare_bools(a: Predicate, how: Ordered, b: Predicate) -> Result<Predicate, String> {
    let both = Predicate::And(vec![a.clone(), b.clone()]);
    let neither = Predicate::And(vec![not(a), not(b)]);
    let equal = Predicate::Or(vec![both, neither]);
    match how {
        Ordered::Equal => Ok(equal),
        Ordered::NotEqual => Ok(not(equal)),
        _ => Err("true and false can be compared with = and <> only".to_owned()),
    }
}

fn text_side(side: &Side) -> Option<Operand<Box<[u8]>>> {
    match side {
        Side::Text(text) => Some(Operand::Literal(text.as_bytes().into())),
        Side::Field(field, FieldType::String) => Some(Operand::Field(*field, ())),
        _ => None,
    }
}

/// A comparison of numbers of which one at least is a field's.
fn numbers(a: &Side, b: &Side) -> Option<Comparison> {
    let is_float = |side: &Side| matches!(side, Side::Field(_, FieldType::Float));
    if is_float(a) || is_float(b) {
        return Some(Comparison::Float(float_operand(a)?, float_operand(b)?));
    }
    let (a, b) = match (a, b) {
        (Side::Number(number), field) => {
            let scale = decimals(field)?;
            (Operand::Literal(number.doubled(scale)), exact_operand(field, 2)?)
        }
        (field, Side::Number(number)) => {
            let scale = decimals(field)?;
            (exact_operand(field, 2)?, Operand::Literal(number.doubled(scale)))
        }
        (a, b) => {
            let (x, y) = (decimals(a)?, decimals(b)?);
            let factor = |from: u8| 10i128.pow(u32::from(x.max(y) - from));
            (exact_operand(a, factor(x))?, exact_operand(b, factor(y))?)
        }
    };
    Some(Comparison::Exact(a, b))
}

/// Decimal places of a field whose values are exact.
fn decimals(side: &Side) -> Option<u8> {
    match side {
        Side::Field(_, FieldType::Int) => Some(0),
        Side::Field(_, FieldType::Decimal(scale)) => Some(*scale),
        _ => None,
    }
}

fn exact_operand(side: &Side, factor: i128) -> Option<Operand<i128, i128>> {
    match side {
        Side::Field(field, _) => Some(Operand::Field(*field, factor)),
        _ => None,
    }
}

fn float_operand(side: &Side) -> Option<Operand<f64, u8>> {
    match side {
        Side::Number(number) => Some(Operand::Literal(number.to_f64())),
        Side::Field(field, FieldType::Float) => Some(Operand::Field(*field, 0)),
        Side::Field(field, _) => Some(Operand::Field(*field, decimals(side)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_as_sql_does() {
        let like = |pattern: &str, text: &str| Like::compile(pattern, false).matches(text);
        assert!(like("%", "") && like("a%", "abc") && like("%c", "abc") && like("a_c", "aäc"));
        assert!(like("%b%b%", "abcb") && !like("%b%b%", "abc") && !like("a", "ab"));
        assert!(like(r"100\%", "100%") && !like(r"100\%", "1000"));
        assert!(Like::compile("ÄB%", true).matches("äbc"));
    }
}
