//! Port numbers: `6379` `8001-8003` `80, 443`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::LiteralError;
use super::serial::literal;

/// A list of ports and ranges of ports, each from 1 to 65535.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// Is this one of them?
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }

    /// Every port, in the order written.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().cloned().flatten()
    }
}

impl FromStr for Ports {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        text.split(',').map(|part| range(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, LiteralError> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first.trim())?, port(last.trim())?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(LiteralError::new(format!("`{text}` runs backwards"), format!("`{last}-{first}`")));
    }
    Ok(first..=last)
}

/// One port: 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, LiteralError> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(LiteralError::new(format!("`{text}` is not a port"), "for example `6379`, `8001-8003` or `80, 443`"));
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(LiteralError::new(format!("there is no port {text}"), "ports are 1 to 65535")),
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

literal!(
    Ports,
    "ports",
    r"^ *[0-9]{1,5}( *- *[0-9]{1,5})?( *, *[0-9]{1,5}( *- *[0-9]{1,5})?)* *$",
    ["6379", "8001-8003", "80, 443"],
    "Ports: one, a range, or a list (`80, 443`), each 1 to 65535."
);
