//! Values in conditions, as they were written: a number stays text, because a float between
//! would lose the digits beyond its fifteen, and then another key would be looked up.

use std::fmt;

use serde::de::Error as _;
use serde_json::value::RawValue;
use serde_json::{Error, Number, Value};

/// One value that a dimension may have.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// No value.
    Null,
    /// true or false.
    Bool(bool),
    /// The text of a JSON number.
    Number(String),
    /// Text.
    Text(String),
}

/// The values of one dimension that are taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Literals {
    /// One.
    One(Literal),
    /// Any of a list.
    Any(Vec<Literal>),
}

impl Literal {
    fn read(json: &RawValue) -> Result<Self, Error> {
        let text = json.get();
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => Self::Bool(serde_json::from_str(text)?),
            Some(b'n') => Self::Null,
            Some(b'[' | b'{') => {
                return Err(Error::custom(format!("{text} is no value of a dimension")));
            }
            _ => Self::Number(text.to_owned()),
        })
    }
}

impl Literals {
    /// Reads a value or a list of values.
    ///
    /// # Errors
    /// Where there is an object, or a list within a list.
    pub fn read(json: &RawValue) -> Result<Self, Error> {
        if !json.get().starts_with('[') {
            return Literal::read(json).map(Self::One);
        }
        let list: Vec<&RawValue> = serde_json::from_str(json.get())?;
        list.into_iter().map(Literal::read).collect::<Result<_, _>>().map(Self::Any)
    }
}

/// As JSON.
impl fmt::Display for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(text) => out.write_str(text),
            Self::Text(text) => write!(out, "{}", Value::from(text.as_str())),
        }
    }
}

/// Whether a text is a JSON number and nothing else, not even a space around it.
pub fn is_number(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_whitespace())
        && serde_json::from_str::<Number>(text).is_ok()
}
