//! Messages as they come: read without trust. Whatever is cut off or says a wrong length ends the reading; nothing panics.

use super::{ALIGNMENT, HEADER, NESTED, NETWORK_ORDER};

/// One message out of what was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What it is: `RTM_NEWLINK`.
    pub(crate) kind: u16,
    /// `NLM_F_…`.
    pub(crate) flags: u16,
    /// Which request it answers.
    pub(crate) sequence: u32,
    /// All behind the header.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The messages in one datagram. `None`: it is cut off or says a wrong length.
    #[must_use]
    pub(crate) fn all(mut datagram: &[u8]) -> Option<Vec<Self>> {
        let mut out = Vec::new();
        while !datagram.is_empty() {
            let length = usize::try_from(u32_at(datagram, 0)?).ok().filter(|l| *l >= HEADER)?;
            let body = datagram.get(HEADER..length)?.to_vec();
            out.push(Self { kind: u16_at(datagram, 4)?, flags: u16_at(datagram, 6)?, sequence: u32_at(datagram, 8)?, body });
            datagram = datagram.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        }
        Some(out)
    }

    /// The attributes behind a fixed part of so many bytes.
    #[must_use]
    pub(crate) fn attributes(&self, fixed: usize) -> Attributes<'_> {
        Attributes::new(self.body.get(fixed.next_multiple_of(ALIGNMENT)..).unwrap_or_default())
    }
}

/// Attributes, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// In these bytes.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first of a kind.
    #[must_use]
    pub(crate) fn get(self, kind: u16) -> Option<Attribute<'a>> {
        { self }.find(|a| a.kind == kind)
    }

    /// Those within the first of a kind; none where there is no such attribute.
    #[must_use]
    pub(crate) fn within(self, kind: u16) -> Self {
        self.get(kind).map_or(Self::new(&[]), Attribute::nested)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & !(NESTED | NETWORK_ORDER);
        let Some(value) = self.rest.get(4..length) else {
            self.rest = &[];
            return None;
        };
        self.rest = self.rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Attribute { kind, value })
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// What it is, without the flags.
    pub(crate) kind: u16,
    /// Its bytes.
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// 16 bits in this machine's order.
    #[must_use]
    pub(crate) fn u16(self) -> Option<u16> {
        u16_at(self.value, 0)
    }

    /// 32 bits in this machine's order.
    #[must_use]
    pub(crate) fn u32(self) -> Option<u32> {
        u32_at(self.value, 0)
    }

    /// 64 bits in this machine's order.
    #[must_use]
    pub(crate) fn u64(self) -> Option<u64> {
        u64_at(self.value, 0)
    }

    /// 16 bits in the order of the network.
    #[must_use]
    pub(crate) fn be16(self) -> Option<u16> {
        self.u16().map(u16::from_be)
    }

    /// 32 bits in the order of the network.
    #[must_use]
    pub(crate) fn be32(self) -> Option<u32> {
        self.u32().map(u32::from_be)
    }

    /// 64 bits in the order of the network.
    #[must_use]
    pub(crate) fn be64(self) -> Option<u64> {
        self.u64().map(u64::from_be)
    }

    /// Text, up to the zero that ends it. `None`: not UTF-8.
    #[must_use]
    pub(crate) fn text(self) -> Option<&'a str> {
        let end = self.value.iter().position(|b| *b == 0).unwrap_or(self.value.len());
        std::str::from_utf8(self.value.get(..end)?).ok()
    }

    /// The attributes within.
    #[must_use]
    pub(crate) fn nested(self) -> Attributes<'a> {
        Attributes::new(self.value)
    }
}

/// 16 bits of this machine's order at a place.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// 32 bits of this machine's order at a place.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// 64 bits of this machine's order at a place.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}
