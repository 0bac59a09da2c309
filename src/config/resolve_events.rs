//! Resolving what an event is and what is summed up of it: `[event]`, `[[field]]`,
//! `[[summary]]`. Names become places in lists; every contradiction is refused here, or in
//! `resolve_aggregates`.

use jiff::tz::TimeZone;
use sqlparser::ast::{Expr, Value};
use toml::Spanned;

use super::number::Number;
use super::record_path::path_steps;
use super::resolve::{micros_or, number_or};
use super::resolve_aggregates::{Columns, aggregate};
use super::sql::{function_arguments, parse_sql};
use super::written::{self, Text};
use super::{
    Derivation, Derived, Field, FieldSource, FieldType, Filter, Formula, Predicate, Problem,
    Schema, Summary, TimeField, TimeFormat, suggestion,
};
use crate::limits;

/// Names that mean something else in files and questions.
const RESERVED: [&str; 1] = ["day"];

/// What a question gets the counters by, so that no summary can be called so.
const STATS: &str = "stats";

pub(super) fn schema(
    event: &Spanned<written::Event>,
    fields: &[Spanned<written::Field>],
    summaries: &[Spanned<written::Summary>],
) -> Result<Schema, Problem> {
    let event_span = event.span();
    let event = event.get_ref();
    let (zone_name, zone) = zone(&event.zone)?;
    let mut schema = Schema {
        time: time_field(event.time.get_ref())?,
        id: event.id.as_ref().map(|id| path(id, "event.id")).transpose()?,
        zone,
        zone_name,
        future_tolerance_us: micros_or(
            &event.future_tolerance,
            "event.future_tolerance",
            0,
            3_600_000_000,
        )?,
        fields: Vec::with_capacity(fields.len()),
        summaries: Vec::with_capacity(summaries.len()),
    };
    if fields.len() > limits::MAX_FIELDS || summaries.len() > limits::MAX_SUMMARIES {
        let (f, s) = (limits::MAX_FIELDS, limits::MAX_SUMMARIES);
        return Err(Problem::new(event_span, "", format!("more than {f} fields or {s} summaries")));
    }
    for written in fields {
        let time_name = event.time.get_ref().field.get_ref();
        let field = field(written.get_ref(), &schema.fields, time_name)?;
        if schema.fields.iter().any(|f| f.name == field.name) {
            let key = format!("field.{}", field.name);
            return Err(Problem::new(written.get_ref().name.span(), key, "is defined twice"));
        }
        schema.fields.push(field);
    }
    refuse_values_above_others(&schema, fields, event.time.get_ref())?;
    for written in summaries {
        let summary = summary(written.get_ref(), &schema.fields)?;
        if schema.summaries.iter().any(|s| s.name == summary.name) {
            let key = format!("summary.{}", summary.name);
            return Err(Problem::new(written.get_ref().name.span(), key, "is defined twice"));
        }
        schema.summaries.push(summary);
    }
    if schema.summaries.is_empty() {
        return Err(Problem::new(event_span, "summary", "no [[summary]]; expected at least one"));
    }
    Ok(schema)
}

/// Refuses two paths of which one leads through the other: what is there is either a value or
/// an object with values in it, so that no event could have both.
fn refuse_values_above_others(
    schema: &Schema,
    fields: &[Spanned<written::Field>],
    time: &written::Time,
) -> Result<(), Problem> {
    let mut values = vec![("event.time.field".to_owned(), &schema.time.path, time.field.span())];
    for (field, written) in schema.fields.iter().zip(fields) {
        if let FieldSource::Record(path) = &field.source {
            let written = written.get_ref();
            let from = written.from.as_ref().unwrap_or(&written.name);
            values.push((format!("field.{}.from", field.name), path, from.span()));
        }
    }
    // In order, what leads through a path comes right behind it.
    values.sort_by_key(|(_, path, _)| *path);
    for pair in values.windows(2) {
        let [(above, upper, _), (key, lower, span)] = pair else { continue };
        if lower.len() > upper.len() && lower.starts_with(upper) {
            let message = format!(
                "it lies within {above} = \"{}\", which cannot be a value and an object at once; \
                 a dot that belongs to a name is written \\.",
                upper.join(".")
            );
            return Err(Problem::new(span.clone(), key, message));
        }
    }
    Ok(())
}

fn zone(written: &Option<Text>) -> Result<(String, TimeZone), Problem> {
    let Some(text) = written else { return Ok(("UTC".to_owned(), TimeZone::UTC)) };
    let name = text.get_ref();
    TimeZone::get(name).map(|zone| (name.clone(), zone)).map_err(|_| {
        let message = format!("\"{name}\" is not an IANA time zone such as UTC or Europe/Berlin");
        Problem::new(text.span(), "event.zone", message)
    })
}

fn time_field(written: &written::Time) -> Result<TimeField, Problem> {
    let format = match written.format.get_ref().as_str() {
        "unix_s" => TimeFormat::UnixSeconds,
        "unix_ms" => TimeFormat::UnixMillis,
        "unix_us" => TimeFormat::UnixMicros,
        "rfc3339" => TimeFormat::Rfc3339,
        pattern if pattern.contains('%') => {
            check_pattern(pattern).map_err(|e| {
                Problem::new(written.format.span(), "event.time.format", format!("{pattern}: {e}"))
            })?;
            TimeFormat::Pattern(pattern.to_owned())
        }
        other => {
            let message = format!(
                "\"{other}\" is not one of unix_s, unix_ms, unix_us, rfc3339 or a strptime pattern \
                 such as %Y-%m-%d %H:%M:%S"
            );
            return Err(Problem::new(written.format.span(), "event.time.format", message));
        }
    };
    Ok(TimeField { path: path(&written.field, "event.time.field")?, format })
}

/// A pattern is sound if what it prints can be read back, as the same time: `%I` without `%p`
/// would put the afternoon into the morning.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let afternoon = jiff::civil::date(2026, 11, 20).at(13, 45, 0, 0);
    let sample = afternoon.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?;
    let printed = jiff::fmt::strtime::format(pattern, &sample).map_err(|e| e.to_string())?;
    let parsed = jiff::fmt::strtime::parse(pattern, &printed).map_err(|e| e.to_string())?;
    if parsed.iana_time_zone().is_some() {
        return Err("names of zones are not read; use %z for an offset, or event.zone".to_owned());
    }
    let read = parsed.to_datetime().map_err(|e| e.to_string())?;
    // A pattern may leave out the time of day, which then is midnight.
    if read.date() == afternoon.date() && [0, afternoon.hour()].contains(&read.hour()) {
        return Ok(());
    }
    Err(format!("{afternoon} would be read as {read}"))
}

/// The steps of a path such as `user.id`.
fn path(text: &Text, key: &str) -> Result<Vec<String>, Problem> {
    let steps = path_steps(text.get_ref());
    if steps.len() >= limits::MAX_JSON_DEPTH {
        let (has, most) = (steps.len(), limits::MAX_JSON_DEPTH - 1);
        let message = format!("a path of {has} steps; no event is as deep, {most} are the most");
        return Err(Problem::new(text.span(), key, message));
    }
    if steps.iter().any(String::is_empty) {
        let message = format!("\"{}\" is not a path such as user or user.id", text.get_ref());
        return Err(Problem::new(text.span(), key, message));
    }
    Ok(steps)
}

pub(super) fn check_name(name: &Text, key: &str) -> Result<(), Problem> {
    let text = name.get_ref();
    let sound = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !sound {
        let message = format!(
            "\"{text}\" is not a name: expected a letter or _, then letters, digits and _, at most 63"
        );
        return Err(Problem::new(name.span(), key, message));
    }
    if RESERVED.contains(&text.as_str()) {
        return Err(Problem::new(name.span(), key, format!("\"{text}\" is reserved")));
    }
    Ok(())
}

fn field(written: &written::Field, before: &[Field], time: &str) -> Result<Field, Problem> {
    let name = written.name.get_ref().clone();
    let key = format!("field.{name}");
    check_name(&written.name, &key)?;
    if let Some(derive) = &written.derive {
        if let Some(extra) = written.from.as_ref().or(written.kind.as_ref()) {
            let message = "a derived field has no from and no type of its own";
            return Err(Problem::new(extra.span(), key, message));
        }
        let (derivation, kind) = derivation(derive.get_ref(), before, time)
            .map_err(|m| Problem::new(derive.span(), format!("{key}.derive"), m))?;
        return Ok(Field { name, kind, source: FieldSource::Derived(derivation) });
    }
    let kind = match &written.kind {
        None => FieldType::String,
        Some(text) => field_type(text.get_ref()).ok_or_else(|| {
            let message = format!(
                "\"{}\" is not one of string, int, decimal(0..18), float, bool",
                text.get_ref()
            );
            Problem::new(text.span(), format!("{key}.type"), message)
        })?,
    };
    let from = path(written.from.as_ref().unwrap_or(&written.name), &format!("{key}.from"))?;
    Ok(Field { name, kind, source: FieldSource::Record(from) })
}

fn field_type(text: &str) -> Option<FieldType> {
    match text {
        "string" => Some(FieldType::String),
        "int" => Some(FieldType::Int),
        "float" => Some(FieldType::Float),
        "bool" => Some(FieldType::Bool),
        other => {
            let scale = other.strip_prefix("decimal(")?.strip_suffix(')')?.trim().parse().ok()?;
            (scale <= 18).then_some(FieldType::Decimal(scale))
        }
    }
}

fn derivation(text: &str, fields: &[Field], time: &str) -> Result<(Derivation, FieldType), String> {
    let is_field = |name: &str| name == time || fields.iter().any(|f| f.name == name);
    let Expr::Function(call) = parse_sql(text, limits::MAX_FORMULA_BYTES, is_field)? else {
        return Err(format!("\"{text}\" is not a call such as hour() or prefix(url, 3)"));
    };
    let name = call.name.to_string().to_lowercase();
    let arguments = function_arguments(&call)?;
    let of_time = match arguments.as_slice() {
        [] => true,
        [Expr::Identifier(only)] => only.value == time,
        _ => false,
    };
    let find = |expr: &Expr| {
        let Expr::Identifier(ident) = expr else { return Err(format!("{expr} is not a field")) };
        fields.iter().position(|f| f.name == ident.value).ok_or_else(|| {
            let known = fields.iter().map(|f| f.name.as_str());
            format!(
                "\"{}\" is not a field defined before; {}",
                ident.value,
                suggestion(&ident.value, known)
            )
        })
    };
    let text_field = |expr: &Expr| match find(expr)? {
        field if fields[field].kind == FieldType::String => Ok(field),
        field => Err(format!("{name}() needs a string, and {expr} is {}", fields[field].kind)),
    };
    match (name.as_str(), arguments.as_slice()) {
        ("day_part", _) if of_time => Ok((Derivation::DayPart, FieldType::String)),
        ("hour", _) if of_time => Ok((Derivation::Hour, FieldType::Int)),
        ("weekday", _) if of_time => Ok((Derivation::Weekday, FieldType::Int)),
        ("lower", [of]) => Ok((Derivation::Lower { field: text_field(of)? }, FieldType::String)),
        ("prefix", [of, count]) => {
            let field = text_field(of)?;
            let characters = literal(count, 0).filter(|n| (1..=4096).contains(n));
            let characters = characters.ok_or("prefix(field, n) needs n between 1 and 4096")?;
            Ok((Derivation::Prefix { field, characters: characters as usize }, FieldType::String))
        }
        ("bucket", [of, width]) => {
            let field = find(of)?;
            // A float has no exact buckets but whole ones, so that the key is an int.
            let (kind, scale) = match fields[field].kind {
                FieldType::Int | FieldType::Float => (FieldType::Int, 0),
                FieldType::Decimal(scale) => (FieldType::Decimal(scale), scale),
                other => return Err(format!("bucket() needs a number, and {of} is {other}")),
            };
            let width = literal(width, scale).filter(|w| *w > 0);
            let width = width.ok_or_else(|| {
                format!("bucket(field, width) needs a width above 0 with at most {scale} decimals")
            })?;
            Ok((Derivation::Bucket { field, width }, kind))
        }
        ("day_part" | "hour" | "weekday", _) => {
            Err(format!("{name}() takes the event's time: {name}() or {name}({time})"))
        }
        _ => Err(format!(
            "{name}() with {} arguments is not one of day_part(), hour(), weekday(), \
             bucket(field, width), lower(field), prefix(field, n)",
            arguments.len()
        )),
    }
}

/// A number literal as an integer scaled by 10^scale, if it is one exactly.
fn literal(expr: &Expr, scale: u8) -> Option<i64> {
    let Expr::Value(value) = expr else { return None };
    let Value::Number(text, _) = &value.value else { return None };
    Number::read(text)?.scaled(scale)
}

pub(super) fn filter(
    text: &Option<Text>,
    fields: &[Field],
    key: &str,
) -> Result<Option<Filter>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let (sql, predicate) = Predicate::compile(text.get_ref(), fields)
        .map_err(|m| Problem::new(text.span(), format!("{key}.where"), m))?;
    Ok(Some(Filter { sql, predicate }))
}

fn summary(written: &written::Summary, fields: &[Field]) -> Result<Summary, Problem> {
    let name = written.name.get_ref().clone();
    let key = format!("summary.{name}");
    check_name(&written.name, &key)?;
    if name == STATS {
        let message = format!("{{\"get\":\"{STATS}\"}} asks for the counters; rename it");
        return Err(Problem::new(written.name.span(), key, message));
    }
    let dimensions = dimensions(&written.dimensions, fields, &format!("{key}.dimensions"))?;
    if written.aggregates.is_empty() || written.aggregates.len() > limits::MAX_AGGREGATES {
        let message = format!("expected 1 to {} aggregates", limits::MAX_AGGREGATES);
        return Err(Problem::new(written.name.span(), format!("{key}.aggregates"), message));
    }
    let mut summary = Summary {
        filter: filter(&written.filter, fields, &key)?,
        name,
        dimensions,
        aggregates: Vec::new(),
        derived: Vec::new(),
        retain_days: None,
    };
    if written.retain_days.is_some() {
        let days = number_or(&written.retain_days, &format!("{key}.retain_days"), 1..=100_000, 0)?;
        summary.retain_days = Some(days as u32);
    }
    let mut columns = Columns::new(&summary, fields);
    for written in &written.aggregates {
        let (span, written) = (written.get_ref().name.span(), written.get_ref());
        let resolved = aggregate(written, fields, &key)?;
        columns.add_aggregate(&resolved, span, &key)?;
        summary.aggregates.push(resolved);
    }
    for derived in &written.derived {
        let derived = derived.get_ref();
        let key = format!("{key}.derived.{}", derived.name.get_ref());
        check_name(&derived.name, &key)?;
        let formula = Formula::compile(derived.sql.get_ref(), &summary, fields)
            .map_err(|m| Problem::new(derived.sql.span(), format!("{key}.sql"), m))?;
        columns.add(derived.name.get_ref(), derived.name.span(), &key)?;
        let (name, sql) = (derived.name.get_ref().clone(), derived.sql.get_ref().clone());
        summary.derived.push(Derived { name, sql, formula });
    }
    Ok(summary)
}

fn dimensions(written: &[Text], fields: &[Field], key: &str) -> Result<Vec<usize>, Problem> {
    let mut dimensions = Vec::with_capacity(written.len());
    for name in written {
        let at = find_field(name, fields, key)?;
        let problem = |message: String| Err(Problem::new(name.span(), key, message));
        if dimensions.contains(&at) {
            return problem(format!("\"{}\" is named twice", name.get_ref()));
        }
        if fields[at].kind == FieldType::Float {
            return problem(format!(
                "\"{}\" is a float, which cannot be a dimension; use a decimal or bucket()",
                name.get_ref()
            ));
        }
        if dimensions.len() == limits::MAX_DIMENSIONS {
            return problem(format!("more than {} dimensions", limits::MAX_DIMENSIONS));
        }
        dimensions.push(at);
    }
    Ok(dimensions)
}

pub(super) fn find_field(name: &Text, fields: &[Field], key: &str) -> Result<usize, Problem> {
    fields.iter().position(|f| f.name == *name.get_ref()).ok_or_else(|| {
        let known = fields.iter().map(|f| f.name.as_str());
        let hint = suggestion(name.get_ref(), known);
        Problem::new(name.span(), key, format!("\"{}\" is not a field; {hint}", name.get_ref()))
    })
}
