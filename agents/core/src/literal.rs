//! What stands as one word in an experiment file: durations, percentages, sizes, rates, ports, addresses, patterns, comparisons and names.
//!
//! Each literal parses from text ([`FromStr`](std::str::FromStr)), prints as the shortest literal that parses back to the same value
//! ([`Display`](std::fmt::Display)), is that text in JSON, and carries a JSON Schema with a `pattern`, `examples` and a `format` word
//! (`duration`, `percent`, …) by which the reader of experiment files chooses the parser.
//!
//! ```
//! use chaos_core::literal::{Duration, Percent};
//! let held: Duration = "1m30s".parse().unwrap();
//! assert_eq!(held.to_string(), "90s");
//! let share: Percent = "34%".parse().unwrap();
//! assert_eq!(share.of(3), 1);
//! ```

mod address;
mod comparison;
mod decimal;
mod duration;
mod error;
mod name;
mod pattern;
mod percent;
mod ports;
mod rate;
mod serial;
mod size;

pub use address::Address;
pub use comparison::{Comparison, Operand, Operator};
pub use duration::Duration;
pub use error::LiteralError;
pub use name::{Name, Slug};
pub use pattern::Pattern;
pub use percent::Percent;
pub use ports::Ports;
pub use rate::{Period, Rate};
pub use size::{Size, SizeOrPercent};

/// What kind of literal with a unit this text is, as a person would say it: `200 kB` is *a size*.
///
/// ```
/// assert_eq!(chaos_core::literal::kind_of("200 kB"), Some("a size"));
/// assert_eq!(chaos_core::literal::kind_of("hello"), None);
/// ```
#[must_use]
pub fn kind_of(text: &str) -> Option<&'static str> {
    if text.parse::<Duration>().is_ok() {
        Some("a duration")
    } else if text.parse::<Percent>().is_ok() {
        Some("a percentage")
    } else if text.parse::<Size>().is_ok() {
        Some("a size")
    } else if text.parse::<Rate>().is_ok() {
        Some("a rate")
    } else if text.parse::<Comparison>().is_ok() {
        Some("a comparison")
    } else if decimal::is_number(text) {
        Some("a bare number")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
