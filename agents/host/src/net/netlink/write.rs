//! Messages as they are sent: a header, a fixed part, and attributes, each at a multiple of four bytes.

use super::{ALIGNMENT, HEADER, NESTED};

/// One message being built. What is too long for its 16-bit length is noted, and refused when the message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    overlong: bool,
}

impl Message {
    /// A message of a kind (`RTM_NEWLINK`), with flags beside `NLM_F_REQUEST` and `NLM_F_ACK`, which whoever sends it adds.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        Self { kind, flags, body: Vec::new(), overlong: false }
    }

    /// The fixed part that follows the header: `ifinfomsg`, `tcmsg`, `nfgenmsg`.
    #[must_use]
    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// An attribute of bytes as they are.
    #[must_use]
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.attribute(kind, |m| m.body.extend_from_slice(value));
        self
    }

    /// A byte.
    #[must_use]
    pub(crate) fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    /// 16 bits in this machine's order.
    #[must_use]
    pub(crate) fn u16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// 32 bits in this machine's order.
    #[must_use]
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// 64 bits in this machine's order.
    #[must_use]
    pub(crate) fn u64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// 16 bits in the order of the network, as nfnetlink wants them.
    #[must_use]
    pub(crate) fn be16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// 32 bits in the order of the network, as nfnetlink wants them.
    #[must_use]
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// 64 bits in the order of the network, as nfnetlink wants them.
    #[must_use]
    pub(crate) fn be64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Text, with the zero that ends it.
    #[must_use]
    pub(crate) fn text(mut self, kind: u16, value: &str) -> Self {
        self.attribute(kind, |m| {
            m.body.extend_from_slice(value.as_bytes());
            m.body.push(0);
        });
        self
    }

    /// Attributes within an attribute, marked as such (`NLA_F_NESTED`).
    #[must_use]
    pub(crate) fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.attribute(kind | NESTED, |m| {
            let filled = fill(Self { kind: m.kind, flags: m.flags, body: std::mem::take(&mut m.body), overlong: m.overlong });
            (m.body, m.overlong) = (filled.body, filled.overlong);
        });
        self
    }

    /// Is there an attribute that its length cannot tell?
    #[must_use]
    pub(crate) fn is_overlong(&self) -> bool {
        self.overlong
    }

    /// The whole, header first, padded to a multiple of four.
    #[must_use]
    pub(crate) fn encode(&self, more_flags: u16, sequence: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.body.len() + ALIGNMENT);
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&(self.flags | more_flags).to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        // The kernel knows who sends.
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.extend_from_slice(&self.body);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out
    }

    fn attribute(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.body.len();
        self.body.extend_from_slice(&[0; 2]);
        self.body.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        match u16::try_from(self.body.len() - start) {
            Ok(length) => self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.overlong = true,
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(ALIGNMENT), 0);
    }
}
