//! How much in a time: `50 kB/s` `8 Mbit/s` `200/s` `30/m`.

use std::fmt;
use std::str::FromStr;

use super::LiteralError;
use super::decimal::{self, Decimal};
use super::serial::literal;
use super::size;

const BITS: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];

/// The time in which events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A second (`/s`).
    Second,
    /// A minute (`/m`).
    Minute,
    /// An hour (`/h`).
    Hour,
}

impl Period {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }
}

/// How much in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Bytes a second: `50 kB/s`.
    Bytes(u64),
    /// Bits a second: `8 Mbit/s`.
    Bits(u64),
    /// Events in a period: `200/s`, `30/m`.
    Events {
        /// How many.
        count: u64,
        /// In what time.
        per: Period,
    },
}

impl Rate {
    /// Bytes a second, for a rate of bytes or bits (rounded down).
    #[must_use]
    pub const fn bytes_per_second(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Bits(bits) => Some(bits / 8),
            Self::Events { .. } => None,
        }
    }

    /// Events a second, for a rate of events.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn events_per_second(self) -> Option<f64> {
        match self {
            Self::Events { count, per } => Some(count as f64 / per.seconds() as f64),
            _ => None,
        }
    }
}

impl FromStr for Rate {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let unclear = || LiteralError::new(format!("`{text}` is not a rate"), "for example `50 kB/s`, `8 Mbit/s`, `200/s` or `30/m`");
        let (amount, period) = text.split_once('/').ok_or_else(|| {
            if decimal::is_number(text) {
                LiteralError::new("a rate needs its unit", format!("`{text}/s` or `{text} kB/s`"))
            } else {
                unclear()
            }
        })?;
        let per = match period.trim() {
            "s" => Period::Second,
            "m" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(unclear()),
        };
        let (number, unit) = decimal::split_number(amount.trim_end());
        let number = Decimal::parse(number).ok_or_else(unclear)?;
        let whole = |factor: u64| {
            let product = number.times(u128::from(factor)).and_then(|value| u64::try_from(value).ok());
            product.ok_or_else(|| LiteralError::new("a rate is a whole number of bytes, bits or events", "for example `30/m`"))
        };
        if unit.is_empty() {
            return Ok(Self::Events { count: whole(1)?, per });
        }
        if per != Period::Second {
            return Err(LiteralError::new("bytes and bits are counted by the second", format!("`{amount}/s`")));
        }
        let found = |units: &[(&str, u64)]| units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        match (found(&size::UNITS), found(&BITS)) {
            (Some(factor), _) => Ok(Self::Bytes(whole(factor)?)),
            (None, Some(factor)) => Ok(Self::Bits(whole(factor)?)),
            (None, None) => Err(unclear()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => {
                let (count, unit) = size::shortest(*bytes, &size::UNITS);
                write!(f, "{count} {unit}/s")
            }
            Self::Bits(bits) => {
                let (count, unit) = size::shortest(*bits, &BITS);
                write!(f, "{count} {unit}/s")
            }
            Self::Events { count, per } => {
                let per = match per {
                    Period::Second => "s",
                    Period::Minute => "m",
                    Period::Hour => "h",
                };
                write!(f, "{count}/{per}")
            }
        }
    }
}

literal!(
    Rate,
    "rate",
    r"^[0-9]+(\.[0-9]+)?( *(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|bit|kbit|Mbit|Gbit) ?/ ?s|/[smh])$",
    ["50 kB/s", "8 Mbit/s", "200/s", "30/m"],
    "A rate: bytes (`50 kB/s`) or bits (`8 Mbit/s`) a second, or events (`200/s`, `30/m`)."
);
