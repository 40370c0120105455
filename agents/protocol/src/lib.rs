//! Wire formats, pure: what others sent is read from bytes, what we send is written to bytes, and nobody here touches a socket.
//!
//! | module | reads | for |
//! |---|---|---|
//! | [`resp`] | Redis commands and replies (RESP2, RESP3) | `redis` probe, `redis.*` |
//! | [`sse`] | event streams, and the chunks of language models in them | `sse` probe, `stream.*` |
//! | [`dns`] | DNS messages | `dns` probe, `net.dns` |
//! | [`postgres`] | frames of both sides, kinds of statement | `postgres.*` |
//! | [`http1`] | heads and bodies of HTTP/1.1, to the byte | `http.*`, `stream.*`, `s3.*` |
//! | [`grpc`] | length-prefixed messages, the health protocol | `grpc` probe |
//!
//! Every reader takes whatever came, in whatever pieces, and gives the same for all of them: `read(&mut bytes)` moves `bytes`
//! past what it took and answers with one thing, or with nothing once all is taken. Call it until then. None panics on any
//! input, and each keeps at most what its `*_MAX` constants say.

pub mod dns;
pub mod grpc;
pub mod http1;
pub mod postgres;
pub mod resp;
pub mod sse;

/// A part of a stream of messages, for whoever passes messages on and wants to know of each, soon, what it is: the beginning
/// of a message is held until that is known, and the rest of a long one goes by without being kept.
///
/// The bytes of all pieces, one after the other, are the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a, H> {
    /// A message begins.
    Begins {
        /// What it is.
        head: H,
        /// Its bytes so far.
        bytes: Vec<u8>,
        /// Are those all of it?
        ends: bool,
    },
    /// The message that began goes on.
    GoesOn {
        /// Its next bytes.
        bytes: &'a [u8],
        /// Is this the end of it?
        ends: bool,
    },
}

/// Takes the first `n` bytes (at most all) off the front.
fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(n.min(bytes.len()));
    *bytes = rest;
    taken
}
