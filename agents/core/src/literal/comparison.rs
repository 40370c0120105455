//! What a measured value must be: `>= 99%` `<= 250ms` `== 3`.

use std::fmt;
use std::str::FromStr;

use super::decimal;
use super::serial::literal;
use super::{Duration, LiteralError, Percent, Size};

/// How a measured value is held against an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
    /// `==`
    Equal,
}

impl Operator {
    /// All of them, the longer texts first.
    const ALL: [Self; 5] = [Self::AtLeast, Self::AtMost, Self::Equal, Self::Above, Self::Below];

    /// Does `value` stand in this relation to `operand`? What cannot be compared does not.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, value: &T, operand: &T) -> bool {
        match self {
            Self::AtLeast => value >= operand,
            Self::AtMost => value <= operand,
            Self::Above => value > operand,
            Self::Below => value < operand,
            Self::Equal => value == operand,
        }
    }

    /// As written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
            Self::Equal => "==",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a measured value is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operand {
    /// A share: `99%`.
    Percent(Percent),
    /// A time: `250ms`.
    Duration(Duration),
    /// Bytes: `4 kB`.
    Size(Size),
    /// A count or any other number: `3`.
    Number(f64),
}

impl Operand {
    /// The operand as a plain number: a share from 0 to 1, seconds, bytes, or the number itself.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_number(self) -> f64 {
        match self {
            Self::Percent(percent) => percent.ratio(),
            Self::Duration(duration) => duration.get().as_secs_f64(),
            Self::Size(size) => size.bytes() as f64,
            Self::Number(number) => number,
        }
    }

    /// What kind of thing it is, as a person would say it.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Percent(_) => "a percentage",
            Self::Duration(_) => "a duration",
            Self::Size(_) => "a size",
            Self::Number(_) => "a number",
        }
    }
}

impl FromStr for Operand {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if text.ends_with('%') {
            return text.parse().map(Self::Percent);
        }
        if decimal::is_number(text) {
            let number = text.parse().map_err(|_| LiteralError::new(format!("`{text}` is not a number"), "for example `3`"))?;
            return Ok(Self::Number(number));
        }
        if let Ok(duration) = text.parse() {
            return Ok(Self::Duration(duration));
        }
        if let Ok(size) = text.parse() {
            return Ok(Self::Size(size));
        }
        let unit_of_size = text.trim_end().ends_with('B');
        match (unit_of_size, text.parse::<Duration>()) {
            (false, Err(error)) if text.starts_with(|c: char| c.is_ascii_digit()) => Err(error),
            _ => Err(LiteralError::new(
                format!("`{text}` is nothing to compare with"),
                "a percentage (`99%`), a duration (`250ms`), a size (`4 kB`) or a number",
            )),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => percent.fmt(f),
            Self::Duration(duration) => duration.fmt(f),
            Self::Size(size) => size.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// What a measured value must be: an operator and what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// At least, at most, above, below or equal.
    pub operator: Operator,
    /// To what.
    pub operand: Operand,
}

impl Comparison {
    /// Does a value hold it? In the units of [`Operand::as_number`]: a share from 0 to 1, seconds, bytes, or a count.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.operator.holds(&value, &self.operand.as_number())
    }
}

impl FromStr for Comparison {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let text = text.trim();
        let operator = Operator::ALL.into_iter().find(|operator| text.starts_with(operator.as_str()));
        let Some(operator) = operator else {
            let hint = match text.parse::<Operand>() {
                Ok(operand) => format!("`\">= {operand}\"` or `<= {operand}`"),
                Err(_) => "for example `\">= 99%\"` or `<= 250ms`".into(),
            };
            return Err(LiteralError::new("a comparison begins with >=, <=, >, < or ==", hint));
        };
        let operand = text[operator.as_str().len()..].trim_start().parse()?;
        Ok(Self { operator, operand })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operator, self.operand)
    }
}

literal!(
    Comparison,
    "comparison",
    r"^ *(>=|<=|==|>|<) *-?[0-9].*$",
    [">= 99%", "<= 250ms", "< 1s", "== 3"],
    "A comparison: operator, space, value (`\">= 99%\"`, `<= 250ms`). YAML wants quotes where it begins with `>`."
);
