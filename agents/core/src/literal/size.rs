//! How many bytes: `512 B` `4 kB` `2 MB` `64 KiB` `2 GiB`.

use std::fmt;
use std::str::FromStr;

use super::decimal::{self, Decimal};
use super::serial::literal;
use super::{LiteralError, Percent};

pub(super) const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes. Powers of 1000: `kB`, `MB`, `GB`, `TB`; powers of 1024: `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if text.starts_with('-') && text.len() > 1 {
            return Err(LiteralError::new("a size is never negative", "for example `64 KiB`"));
        }
        let (number, unit) = decimal::split_number(text);
        let number = Decimal::parse(number)
            .ok_or_else(|| LiteralError::new(format!("`{text}` is not a size"), "for example `512 B`, `4 kB` or `64 KiB`"))?;
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(text, unit));
        };
        let bytes = number.times(u128::from(*unit)).ok_or_else(|| LiteralError::new("a size is whole bytes", "for example `512 B`"))?;
        u64::try_from(bytes).map(Self).map_err(|_| LiteralError::new("a size is at most 16 million TB", "for example `2 GiB`"))
    }
}

fn unknown_unit(text: &str, unit: &str) -> LiteralError {
    let number = text[..text.len() - unit.len()].trim_end();
    match unit {
        "" => LiteralError::new("a size needs its unit", format!("`{number} B`, `{number} kB` or `{number} KiB`")),
        "K" | "k" | "KB" | "kb" | "Kb" => ambiguous(number, unit, "kB", "KiB"),
        "M" | "m" | "mb" | "Mb" => ambiguous(number, unit, "MB", "MiB"),
        "G" | "g" | "gb" | "Gb" => ambiguous(number, unit, "GB", "GiB"),
        "T" | "t" | "tb" | "Tb" => ambiguous(number, unit, "TB", "TiB"),
        "b" => LiteralError::new("a size has no unit `b`", format!("`{number} B`")),
        _ => LiteralError::new(format!("`{text}` is not a size"), "for example `512 B`, `4 kB` (4,000 bytes) or `64 KiB` (65,536 bytes)"),
    }
}

fn ambiguous(number: &str, unit: &str, decimal: &str, binary: &str) -> LiteralError {
    LiteralError::new(
        format!("a size has no unit `{unit}`"),
        format!("`{number} {decimal}` (powers of 1000) or `{number} {binary}` (powers of 1024)"),
    )
}

/// The shortest way to write so many of the smallest unit; among equals the larger unit.
pub(super) fn shortest<'a>(value: u64, units: &[(&'a str, u64)]) -> (u64, &'a str) {
    let exact = units.iter().filter(|(_, size)| value != 0 && value.is_multiple_of(*size));
    let texts = exact.map(|(unit, size)| (value / size, *unit));
    let smallest = units.last().map_or("", |(unit, _)| *unit);
    texts.min_by_key(|(count, _)| count.to_string().len()).unwrap_or((value, smallest))
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = shortest(self.0, &UNITS);
        write!(f, "{count} {unit}")
    }
}

literal!(
    Size,
    "size",
    r"^[0-9]+(\.[0-9]+)? *(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$",
    ["512 B", "4 kB", "64 KiB", "2 GiB"],
    "A size: B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)."
);

/// A number of bytes, or a share of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SizeOrPercent {
    /// So many bytes.
    Size(Size),
    /// This share of the whole.
    Percent(Percent),
}

impl SizeOrPercent {
    /// The number of bytes, where the whole has `whole` bytes; shares are rounded down.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Size(size) => size.bytes(),
            Self::Percent(percent) => percent.of(whole),
        }
    }
}

impl FromStr for SizeOrPercent {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if text.ends_with('%') {
            return text.parse().map(Self::Percent);
        }
        if decimal::is_number(text) {
            return Err(LiteralError::new("a size or percentage needs its unit", format!("`{text} MB` or `{text}%`")));
        }
        text.parse().map(Self::Size)
    }
}

impl fmt::Display for SizeOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

literal!(
    SizeOrPercent,
    "size-or-percent",
    r"^([0-9]+(\.[0-9]+)? *(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)|(100(\.0{1,7})?|[0-9]{1,2}(\.[0-9]{1,7})?) ?%)$",
    ["512 MiB", "90%"],
    "A size (`512 MiB`) or a percentage of the whole (`90%`)."
);
