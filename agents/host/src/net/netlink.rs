//! Netlink: the kernel's own way to be asked about networks. A small codec and a socket; no `tc`, no `nft`, no `ip`.

mod read;
mod socket;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use read::{Attribute, Attributes, Reply, u16_at, u32_at};
pub(crate) use socket::{Protocol, Socket};
pub(crate) use write::Message;

use rustix::io::Errno;

/// Everything begins at a multiple of this.
const ALIGNMENT: usize = 4;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `NLA_F_NESTED`.
pub(crate) const NESTED: u16 = 0x8000;
/// `NLA_F_NET_BYTEORDER`.
const NETWORK_ORDER: u16 = 0x4000;

/// `NLM_F_EXCL`: an existing one is an error.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: made where it does not exist.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_ECHO`: what was found or made is told to whoever asked, too.
pub(crate) const ECHO: u16 = 0x8;
/// `NLM_F_APPEND`: put behind those that exist.
pub(crate) const APPEND: u16 = 0x800;

/// Why the kernel refused, or could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetlinkError {
    /// Its number.
    pub(crate) errno: Errno,
    /// Its words, where it has any: `Specified qdisc kind is unknown`.
    pub(crate) text: Option<String>,
}

impl NetlinkError {
    pub(crate) fn words(errno: Errno, text: &str) -> Self {
        Self { errno, text: Some(text.to_owned()) }
    }
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> Self {
        Self { errno, text: None }
    }
}

impl std::fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text} ({})", self.errno),
            None => write!(f, "{}", self.errno),
        }
    }
}

impl std::error::Error for NetlinkError {}
