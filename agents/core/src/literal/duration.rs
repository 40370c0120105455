//! How long: `250us` `20ms` `1.5s` `90s` `2m` `1h30m` `1d`.

use std::fmt;
use std::str::FromStr;

use super::LiteralError;
use super::decimal::{self, Decimal};
use super::serial::literal;

const NANOS: [(&str, u128); 6] =
    [("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

/// How long: `250us`, `20ms`, `1.5s`, `2m`, `1h30m`, `1d`. Parts in falling order; never negative; at most 30 days when read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);
    /// The longest duration that a file may name.
    pub const MAX: Self = Self(std::time::Duration::from_secs(30 * 86_400));

    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The duration as the standard library has it.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Is it `0s`?
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if decimal::is_number(text) && !text.starts_with('-') {
            return Err(without_unit(text));
        }
        if text.starts_with('-') && text.len() > 1 {
            return Err(LiteralError::new("a duration is never negative", "for example `200ms`"));
        }
        let nanos = sum_of_parts(text)?;
        let longest = Self::MAX.0.as_nanos();
        match u64::try_from(nanos) {
            Ok(nanos) if u128::from(nanos) <= longest => Ok(Self(std::time::Duration::from_nanos(nanos))),
            _ => Err(LiteralError::new("a duration is at most 30d", "for example `30m`")),
        }
    }
}

fn without_unit(text: &str) -> LiteralError {
    let hint = if text == "0" { "`0s`".to_owned() } else { format!("`{text}ms` or `{text}s`") };
    LiteralError::new("a duration needs its unit", hint)
}

fn sum_of_parts(text: &str) -> Result<u128, LiteralError> {
    let mut rest = text;
    let mut sum: u128 = 0;
    let mut coarsest_left = 0;
    let unclear = || LiteralError::new(format!("`{text}` is not a duration"), "for example `200ms`, `1.5s`, `2m` or `1h30m`");
    if text.is_empty() {
        return Err(unclear());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(unclear)?;
        let number = Decimal::parse(&rest[..end]).ok_or_else(unclear)?;
        let unit_end = rest[end..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |at| end + at);
        let unit = &rest[end..unit_end];
        let at = NANOS.iter().position(|(name, _)| *name == unit).ok_or_else(|| unknown_unit(text, unit))?;
        if at < coarsest_left {
            return Err(LiteralError::new("the parts of a duration fall from large to small", "for example `1h30m`"));
        }
        coarsest_left = at + 1;
        let nanos = number.times(NANOS[at].1).ok_or_else(|| LiteralError::new("a duration is whole nanoseconds", "for example `0.5us`"))?;
        sum = sum.saturating_add(nanos);
        rest = &rest[unit_end..];
    }
    Ok(sum)
}

fn unknown_unit(text: &str, unit: &str) -> LiteralError {
    let meant = match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "usec" | "micros" | "microseconds" => "us",
        _ => {
            return LiteralError::new(format!("`{text}` is not a duration"), "for example `200ms`, `1.5s`, `2m` or `1h30m`");
        }
    };
    LiteralError::new(format!("a duration has no unit `{unit}`"), format!("write `{meant}`: us, ms, s, m, h or d"))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (second, minute) = (1_000_000_000, 60_000_000_000);
        match nanos {
            0 => f.write_str("0s"),
            1..1_000_000 => with_unit(f, nanos, 3, "us"),
            1_000_000..1_000_000_000 => with_unit(f, nanos, 6, "ms"),
            _ if nanos < 2 * minute && !nanos.is_multiple_of(minute) => with_unit(f, nanos, 9, "s"),
            _ => {
                let mut rest = nanos;
                for (unit, size) in &NANOS[..3] {
                    if rest >= *size {
                        write!(f, "{}{unit}", rest / size)?;
                        rest %= size;
                    }
                }
                match rest {
                    0 => Ok(()),
                    _ if rest >= second => with_unit(f, rest, 9, "s"),
                    _ if rest >= 1_000_000 => with_unit(f, rest, 6, "ms"),
                    _ => with_unit(f, rest, 3, "us"),
                }
            }
        }
    }
}

fn with_unit(f: &mut fmt::Formatter<'_>, nanos: u128, places: u32, unit: &str) -> fmt::Result {
    decimal::write(f, nanos, places)?;
    f.write_str(unit)
}

literal!(
    Duration,
    "duration",
    r"^([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us))+$",
    ["200ms", "1.5s", "2m", "1h30m"],
    "A duration: us, ms, s, m, h or d, parts in falling order, at most 30d."
);
