//! Where a proxy listens, as `--listen` says it.

use std::fmt;
use std::str::FromStr;

use chaos_core::literal::{Address, LiteralError};

/// An address whose host may be left out (`:6390`: every address of this machine), and whose port may be 0 (the kernel gives one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listening(String);

impl Listening {
    /// Does the kernel give the port?
    pub(super) fn is_anywhere(&self) -> bool {
        self.0.ends_with(":0")
    }
}

impl FromStr for Listening {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LiteralError::new(
                "an address needs its host",
                format!("`127.0.0.1:{text}`, or `:{text}` for every address of this machine"),
            ));
        }
        let host = if text.starts_with(':') { "[::]" } else { "" };
        let (address, port) = text.strip_suffix(":0").map_or((text, ""), |address| (address, ":1"));
        format!("{host}{address}{port}").parse::<Address>()?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_host_or_port_are_meant() {
        for text in ["127.0.0.1:6390", "127.0.0.1:0", "localhost:0", "[::1]:80", ":6390", ":0"] {
            assert_eq!(text.parse::<Listening>().map(|l| l.to_string()).as_deref(), Ok(text), "{text}");
        }
        for text in ["", "foo", "127.0.0.1:99999", "127.0.0.1", "::1:80", "x:00", "6390"] {
            assert!(text.parse::<Listening>().is_err(), "{text}");
        }
    }
}
