//! DNS messages (RFC 1035; AAAA RFC 3596, SRV RFC 2782): queries read, answers built and read.
//!
//! Names are compressed when written and expanded when read; a pointer may only point backward, so no message can lead in a
//! circle. Over TCP a message follows its length in two bytes ([`framed`], [`unframe`]).

mod message;
mod name;
mod record;

pub use message::{Flags, Message, Question, framed, rcode_name, unframe};
pub use name::Name;
pub use record::{Data, Record, RecordType};

/// The longest message that is read or written, as TCP carries it.
pub const MESSAGE_MAX: usize = 65_535;

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// It ends before it is over.
    #[error("a DNS message that ends too soon")]
    Short,
    /// A name longer than 255 bytes, a label longer than 63 or empty, or a pointer that does not point backward.
    #[error("a DNS message with a name that is none")]
    Name,
    /// A record whose data does not fit its type.
    #[error("a DNS message with a record that is none")]
    Record,
    /// It would be longer than [`MESSAGE_MAX`].
    #[error("a DNS message of more than {MESSAGE_MAX} bytes")]
    Long,
}

/// Reads from the front; knows the whole message, into which names point.
struct Cursor<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DnsError> {
        let end = self.at.checked_add(n).ok_or(DnsError::Short)?;
        let taken = self.whole.get(self.at..end).ok_or(DnsError::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, DnsError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, DnsError> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, DnsError> {
        self.take(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
}
