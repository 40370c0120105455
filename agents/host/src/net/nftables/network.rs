//! Addresses and ports as rules compare them.

use std::net::IpAddr;

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The first so many bits of an address; all of them, where it has not so many.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Self {
        Self { address, bits: bits.min(if address.is_ipv4() { 32 } else { 128 }) }
    }

    pub(super) fn address(self) -> IpAddr {
        self.address
    }

    pub(super) fn is_one_address(self) -> bool {
        usize::from(self.bits) == self.mask().len() * 8
    }

    /// Ones for the bits that count.
    pub(super) fn mask(self) -> Vec<u8> {
        let length: u8 = if self.address.is_ipv4() { 4 } else { 16 };
        (0..length).map(|byte| 0xFFu8.checked_shl(u32::from(8 - self.bits.saturating_sub(byte * 8).min(8))).unwrap_or(0)).collect()
    }

    /// Its bits, and zeroes behind them.
    pub(super) fn bytes(self) -> Vec<u8> {
        let whole = match self.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        whole.into_iter().zip(self.mask()).map(|(byte, mask)| byte & mask).collect()
    }
}

/// Ports from one to another, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ports {
    /// The first.
    pub(crate) from: u16,
    /// The last.
    pub(crate) to: u16,
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self { from: port, to: port }
    }
}
