//! Networks: all addresses that begin alike.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Family;

/// All addresses that begin with the same bits: `10.0.0.0/8`, `fd00::7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The first so many bits of an address; all of them, where it has not so many.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Self {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.min(width);
        let cut = |number: u128| if bits == 0 { 0 } else { number >> (width - bits) << (width - bits) };
        let address = match address {
            IpAddr::V4(a) => IpAddr::from(u32::try_from(cut(u128::from(u32::from(a)))).unwrap_or(0).to_be_bytes()),
            IpAddr::V6(a) => IpAddr::from(cut(u128::from(a)).to_be_bytes()),
        };
        Self { address, bits }
    }

    /// Its first address.
    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits are the same.
    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    /// Its version.
    pub(crate) fn family(self) -> Family {
        Family::of(self.address)
    }

    /// Is it one address alone?
    pub(crate) fn is_one_address(self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Is this address in it?
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && Self::new(address, self.bits).address == self.address
    }

    /// Have they an address in common?
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let (wide, narrow) = if self.bits <= other.bits { (self, other) } else { (other, self) };
        wide.contains(narrow.address)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::new(address, 128)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one_address() { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.bits) }
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotANetwork {
    /// It is not written as an address: perhaps a name.
    NoAddress,
    /// It is an address with something wrong behind it.
    Wrong(String),
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(|_| NotANetwork::NoAddress);
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Wrong(format!("`{address}` is not an address")))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse::<u8>().ok().filter(|b| *b <= width);
        let bits = bits.ok_or_else(|| NotANetwork::Wrong(format!("an {} network has 0 to {width} bits", Family::of(address))))?;
        let network = Self::new(address, bits);
        if network.address == address {
            Ok(network)
        } else {
            Err(NotANetwork::Wrong(format!("{address} is an address within {network}: which is meant?")))
        }
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not a network")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    #[test]
    fn networks_are_read_and_written() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "fd00::/8", "::/0", "fd00::7"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!("store".parse::<Network>(), Err(NotANetwork::NoAddress));
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "fd00::1/64", "store/24", "10.0.0.0/", "::/129"] {
            assert!(matches!(wrong.parse::<Network>(), Err(NotANetwork::Wrong(_))), "{wrong}");
        }
    }

    #[test]
    fn networks_contain_and_overlap() {
        let here = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(network("10.0.0.0/8").contains(here("10.255.0.1")) && !network("10.0.0.0/8").contains(here("11.0.0.1")));
        assert!(network("::/0").contains(here("fd00::7")) && !network("::/0").contains(here("10.0.0.1")));
        assert!(network("10.0.0.0/8").overlaps(network("10.1.0.0/16")) && network("10.1.0.0/16").overlaps(network("10.0.0.0/8")));
        assert!(!network("10.0.0.0/9").overlaps(network("10.128.0.0/9")));
    }
}
