//! Where something listens: `127.0.0.1:8080` `[::1]:8080` `store:6379`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::LiteralError;
use super::ports::port;
use super::serial::literal;

/// A host (name, IPv4 or IPv6 address) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let unclear = || LiteralError::new(format!("`{text}` is not an address"), "for example `127.0.0.1:8080` or `store:6379`");
        if let Some((_, rest)) = text.split_once("://") {
            return Err(LiteralError::new("an address is a host and a port, not a URL", format!("`{}`", rest.trim_end_matches('/'))));
        }
        let (host, port_text) =
            text.rsplit_once(':').ok_or_else(|| LiteralError::new("an address needs its port", format!("`{text}:8080`")))?;
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(unclear)?;
            inner.parse::<Ipv6Addr>().map_err(|_| unclear())?;
            return Ok(Self { host: inner.into(), port: port(port_text)? });
        }
        if host.contains(':') {
            return Err(LiteralError::new("an IPv6 address stands in brackets", "\"[::1]:8080\", in quotes"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(fits) {
            return Err(unclear());
        }
        Ok(Self { host: host.into(), port: port(port_text)? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

literal!(
    Address,
    "address",
    r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
    ["127.0.0.1:8080", "[::1]:8080", "store:6379"],
    "An address: host and port (`127.0.0.1:8080`); IPv6 in brackets, hence in quotes (`\"[::1]:8080\"`)."
);
