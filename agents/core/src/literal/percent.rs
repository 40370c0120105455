//! A share of a hundred, exactly: `34%` `99.95%`.

use std::fmt;
use std::str::FromStr;

use super::LiteralError;
use super::decimal::{self, Decimal};
use super::serial::literal;

const WHOLE: u32 = 1_000_000_000;

/// A percentage from 0% to 100%, exact to seven decimals (it is stored as parts of a thousand million).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const HUNDRED: Self = Self(WHOLE);

    /// A whole number of percent; more than 100 is 100.
    #[must_use]
    pub const fn whole(percent: u8) -> Self {
        if percent >= 100 { Self::HUNDRED } else { Self(percent as u32 * (WHOLE / 100)) }
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// This share of `n` things, rounded down, exactly: 34% of 3 is 1, 33% of 3 is 0.
    #[must_use]
    pub fn of(self, n: u64) -> u64 {
        let amount = u128::from(n) * u128::from(self.0) / u128::from(WHOLE);
        u64::try_from(amount).unwrap_or(n)
    }

    /// The parts of a thousand million that it is: 34% is 340,000,000.
    #[must_use]
    pub const fn parts_per_billion(self) -> u32 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let Some(number) = text.strip_suffix('%') else {
            let hint = if decimal::is_number(text) { format!("`{text}%`") } else { "for example `34%`".into() };
            let message =
                if decimal::is_number(text) { "a percentage needs its unit".to_owned() } else { format!("`{text}` is not a percentage") };
            return Err(LiteralError::new(message, hint));
        };
        let number = number.trim_end_matches(' ');
        if number.starts_with('-') {
            return Err(LiteralError::new("a percentage is never negative", "from `0%` to `100%`"));
        }
        let exact =
            Decimal::parse(number).ok_or_else(|| LiteralError::new(format!("`{text}` is not a percentage"), "for example `34%`"))?;
        match exact.times(u128::from(WHOLE / 100)) {
            Some(parts) if parts <= u128::from(WHOLE) => Ok(Self(u32::try_from(parts).unwrap_or(WHOLE))),
            Some(_) => Err(LiteralError::new("a percentage is at most 100%", "from `0%` to `100%`")),
            None => Err(LiteralError::new("a percentage has at most seven decimals", "for example `99.95%`")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, u128::from(self.0), 7)?;
        f.write_str("%")
    }
}

literal!(
    Percent,
    "percent",
    r"^(100(\.0{1,7})?|[0-9]{1,2}(\.[0-9]{1,7})?) ?%$",
    ["34%", "99.95%"],
    "A percentage from 0% to 100%, in exact decimals."
);
