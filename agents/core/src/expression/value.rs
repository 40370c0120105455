//! What samples are made of.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::literal::{Duration, Size};
use crate::probe::Answer;
use crate::value::FieldValue;

/// A sample, as an expression sees it.
pub trait Fields {
    /// The value of the field of this name; `None` where the sample has no such field.
    fn field(&self, name: &str) -> Option<&FieldValue>;
}

impl Fields for Answer {
    fn field(&self, name: &str) -> Option<&FieldValue> {
        self.get(name)
    }
}

/// What a quantity measures. Quantities of one unit can be compared, added and divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Plain numbers.
    Number,
    /// Nanoseconds (whole ones are exact up to 104 days).
    Duration,
    /// Bytes.
    Size,
    /// Parts of a thousand million.
    Percent,
}

/// A value while evaluating: quantities in one form, JSON scalars taken out of JSON.
#[derive(Debug, Clone)]
pub(super) enum Computed<'a> {
    Null,
    Bool(bool),
    Quantity(Unit, f64),
    Text(Cow<'a, str>),
    List(Vec<Computed<'a>>),
    /// Arrays and objects only.
    Json(&'a Json),
}

impl<'a> From<&'a Json> for Computed<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Quantity(Unit::Number, number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }
}

impl<'a> From<&'a FieldValue> for Computed<'a> {
    fn from(value: &'a FieldValue) -> Self {
        match value {
            FieldValue::Bool(value) => Self::Bool(*value),
            FieldValue::Number(number) => Self::Quantity(Unit::Number, *number),
            FieldValue::Text(text) => Self::Text(Cow::Borrowed(text)),
            FieldValue::Duration(duration) => quantity_of_duration((*duration).into()),
            FieldValue::Size(bytes) => quantity_of_size(Size::from_bytes(*bytes)),
            FieldValue::Any(json) => Self::from(json),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn quantity_of_duration<'a>(duration: Duration) -> Computed<'a> {
    Computed::Quantity(Unit::Duration, duration.get().as_nanos() as f64)
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn quantity_of_size<'a>(size: Size) -> Computed<'a> {
    Computed::Quantity(Unit::Size, size.bytes() as f64)
}

impl Computed<'_> {
    /// As a person would say what kind of thing it is.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Quantity(Unit::Number, _) => "a number",
            Self::Quantity(Unit::Duration, _) => "a duration",
            Self::Quantity(Unit::Size, _) => "a size",
            Self::Quantity(Unit::Percent, _) => "a percentage",
            Self::Text(_) => "a text",
            Self::List(_) | Self::Json(Json::Array(_)) => "a list",
            Self::Json(_) => "a map",
        }
    }
}
