//! The values that a probe's answer holds and that `good:` speaks of.

use std::time::Duration;

use serde_json::Value as Json;

/// The type of a field, known when the file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// `true` or `false`.
    Bool,
    /// A 64-bit float.
    Number,
    /// Text.
    Text,
    /// A length of time.
    Duration,
    /// Bytes.
    Size,
    /// A share.
    Percent,
    /// A list.
    List,
    /// A map.
    Map,
    /// Parsed JSON: checked when evaluated.
    Any,
}

impl FieldType {
    /// As a person would say it: *a number*.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Percent => "a percentage",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any JSON",
        }
    }
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// A length of time.
    Duration(Duration),
    /// Bytes.
    Size(u64),
    /// Parsed JSON, lists and maps included.
    Any(Json),
}

impl FieldValue {
    /// As a number for objectives such as `min of ready`: durations in seconds, sizes in bytes; else nothing.
    #[must_use]
    pub fn as_measure(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Duration(d) => Some(d.as_secs_f64()),
            #[allow(clippy::cast_precision_loss, reason = "sizes above 2^53 bytes do not occur")]
            Self::Size(bytes) => Some(*bytes as f64),
            Self::Any(json) => json.as_f64(),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}
