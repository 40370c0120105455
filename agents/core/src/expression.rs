//! When a sample is good: `status == 200 && size(body.outputs) > 0`.
//!
//! A strict subset of CEL with one number type and literals with units (`latency < 300ms`). An expression is checked for names and types
//! when the file is read, and bounded: 1,024 bytes, 32 deep, 10,000 steps. Evaluating never fails: what cannot be answered makes the
//! sample bad, with a reason for a person.
//!
//! ```
//! use chaos_core::expression::Expression;
//! use chaos_core::probe::Answer;
//! use chaos_core::value::{FieldType, FieldValue};
//!
//! let good = Expression::parse("status == 200", &[("status", FieldType::Number)]).unwrap();
//! let answer = Answer::new().with("status", FieldValue::Number(503.0));
//! assert_eq!(good.is_good(&answer).unwrap_err(), "status == 200 was false: status is 503");
//! ```

mod check;
mod evaluate;
mod parse;
mod reason;
mod token;
mod tree;
mod value;

use std::fmt;

pub use value::Fields;

use crate::value::FieldType;

/// The longest expression, in bytes.
pub const LONGEST: usize = 1024;
/// How deep parentheses, calls and operators may nest.
pub const DEEPEST: usize = 32;
/// How many steps one evaluation may take.
pub const STEPS: usize = 10_000;

/// A question about one sample that is answered with good or bad. Known by its text: two expressions of the same text are equal.
#[derive(Clone)]
pub struct Expression {
    text: String,
    root: tree::Node,
    references: Vec<String>,
}

impl Expression {
    /// Reads an expression about samples that have these fields.
    ///
    /// # Errors
    /// When the text is no expression, names a field that is not there, or puts together what does not belong together.
    pub fn parse(text: &str, fields: &[(&str, FieldType)]) -> Result<Self, ExpressionError> {
        let mut root = parse::parse(text)?;
        let references = check::check(text, &mut root, Some(fields))?;
        Ok(Self { text: text.to_owned(), root, references })
    }

    /// Reads an expression that was checked before, taking every name for a field.
    ///
    /// # Errors
    /// When the text is no expression at all.
    pub fn parse_unchecked(text: &str) -> Result<Self, ExpressionError> {
        let mut root = parse::parse(text)?;
        let references = check::check(text, &mut root, None)?;
        Ok(Self { text: text.to_owned(), root, references })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The fields of a sample that it reads, each once.
    #[must_use]
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// Does it read this field?
    #[must_use]
    pub fn reads(&self, field: &str) -> bool {
        self.references.iter().any(|name| name == field)
    }

    /// Is a sample with these fields good?
    ///
    /// # Errors
    /// When it is bad: why, in a few words for a person (`no field outputs`, `status == 200 was false: status is 503`).
    pub fn is_good(&self, fields: &dyn Fields) -> Result<(), String> {
        evaluate::is_good(&self.text, &self.root, fields)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl serde::Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_unchecked(&text).map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Expression {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expression".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "expression",
            "minLength": 1,
            "maxLength": LONGEST,
            "description": "Is this sample good? An expression over the fields of the probe's samples.",
            "examples": ["status == 200 && size(body.outputs) > 0", "latency < 300ms"],
        })
    }
}

/// Why a text is not an expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// Where the wrong words begin, in bytes from the start of the text.
    pub offset: usize,
    /// How many bytes of the text are wrong; at least 1 (past the end for what is missing there).
    pub length: usize,
    /// What is wrong, without full stop.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
    /// The name that no field has, when that is the mistake.
    pub unknown_name: Option<String>,
}

impl ExpressionError {
    fn new((start, end): (usize, usize), message: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self { offset: start, length: end.saturating_sub(start).max(1), message: message.into(), hint: hint.into(), unknown_name: None }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{} (hint: {hint})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ExpressionError {}

#[cfg(test)]
mod tests;
