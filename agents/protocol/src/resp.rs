//! The protocol of Redis, RESP2 and RESP3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! [`Scanner`] finds where each value ends and keeps nothing; [`ValueReader`] keeps and decodes values; [`CommandReader`] reads
//! what clients send, of which it holds just enough to know the command and its keys.

mod command;
mod keys;
mod scan;
mod value;

pub use command::{Command, CommandReader, HELD_MAX};
pub use scan::{DEPTH_MAX, LINE_MAX, Scan, Scanner};
pub use value::{Value, ValueReader};

/// What came is not RESP, or more than is read. Nothing after it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// No value begins with this byte.
    #[error("not the protocol of Redis: no value begins with byte 0x{0:02x}")]
    Type(u8),
    /// A length or number that is none.
    #[error("not the protocol of Redis: a length that is no number")]
    Number,
    /// A line or a text does not end with carriage return and line feed.
    #[error("not the protocol of Redis: a line that does not end as lines do")]
    End,
    /// Values within values, too many.
    #[error("more than {DEPTH_MAX} values within one another")]
    Depth,
    /// A line without end.
    #[error("a line of more than {LINE_MAX} bytes")]
    Line,
    /// The value is longer than its reader may keep.
    #[error("a value of more than {0} bytes")]
    TooLong(usize),
}
