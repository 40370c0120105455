//! HTTP/1.1 on the wire (RFC 9112), for one who stands between: where a message begins and ends, and nothing is lost of how it was written.
//!
//! - [`Head`] keeps the very bytes of a message's head; what is not changed is passed on as it came, to the letter case and the space.
//! - [`Framing`] says how the body ends; [`Body`] follows it through the bytes without keeping any.

mod body;
mod framing;
mod head;

pub use body::{Body, Piece};
pub use framing::Framing;
pub use head::{HEAD_MAX, Head};

/// What is not HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The head goes on for longer than [`HEAD_MAX`].
    #[error("the head of a message is longer than {HEAD_MAX} bytes")]
    Long,
    /// The first line is no request and no status line.
    #[error("the first line is no request line and no status line")]
    FirstLine,
    /// A line of the head is no field.
    #[error("a line of the head has no colon")]
    Field,
    /// `Content-Length` is no number, or several that differ.
    #[error("Content-Length is no single number")]
    Length,
    /// The size of a chunk is no hexadecimal number.
    #[error("the size of a chunk is no hexadecimal number")]
    Chunk,
}

#[cfg(test)]
mod tests;
