//! The frames of PostgreSQL, protocol 3 (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
//!
//! [`FrameReader`] parts what a client or a server sends into frames; [`frontend`] says what a client's frame means, and
//! [`statements`] of what kind the statements of a query are. Encrypted connections are told by [`PostgresError::Encrypted`].

mod frame;
pub mod frontend;
mod message;
mod statement;

pub use frame::{Frame, FrameReader, HELD_MAX, Side};
pub use message::{ErrorFields, error_response};
pub use statement::{STATEMENT_KINDS, statements};

/// What came is not PostgreSQL's protocol. Nothing after it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// TLS begins here.
    #[error("the connection is encrypted")]
    Encrypted,
    /// A length that cannot be.
    #[error("not the protocol of PostgreSQL: a frame of {0} bytes")]
    Length(u32),
}
