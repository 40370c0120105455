//! HTTP between a client and its upstream: HTTP/1.1 (`text`) and HTTP/2 (`frames`), one connection to one connection.
//!
//! What no toxic meets passes as it came: HTTP/1.1 byte for byte (letter case, spaces, sizes of chunks, trailers, pipelining,
//! 100-continue), HTTP/2 frame by frame. What turns out to be no HTTP, and whatever follows an upgrade, passes as raw bytes.
//!
//! Toxics see exchanges, not connections: which they mean is said by [`Select`], what they do by [`Act`]. Those of HTTP itself stand
//! here, one file each; those of event streams in `stream`, those of object stores in `s3`.

pub(crate) mod abort;
mod act;
mod content;
pub(crate) mod delay;
mod ends;
mod events;
mod exchange;
mod frames;
mod message;
pub(crate) mod replace;
mod select;
pub(crate) mod status;
mod text;
pub(crate) mod truncate;

pub use act::{Act, Course, Limit, OnEvent, OnRequest, OwnAnswer, Place, Replace};
pub(crate) use message::decoded;
pub use message::{AnswerHead, Fields, RequestHead};
pub use select::{Meant, Select};

use std::io;

use crate::engine::{Connection, Finish};
use crate::toxic::Ending;
use ends::Socket;
use exchange::Guide;

/// What a client of HTTP/2 sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The layer of HTTP: relays one connection to its end.
///
/// # Errors
/// Never: what a side did to its end is done to the other's.
pub async fn relay(connection: &mut Connection) -> io::Result<()> {
    let Connection { client, upstream, to_client, to_upstream, live, clock, .. } = connection;
    let guide = Guide::new(live.another(), clock.clone());
    let (mut asked, mut told) = (Vec::new(), Vec::new());
    // Both kinds of HTTP begin with what the client says. Whoever else speaks first speaks something else, and is heard.
    let sides = loop {
        if asked.len() >= PREFACE.len() || !PREFACE.starts_with(&asked) {
            break Ok(0);
        }
        tokio::select! {
            biased;
            read = client.read(&mut asked) => if !matches!(read, Ok(1..)) { break read },
            read = upstream.read(&mut told) => break read,
        }
    };
    let ending = if sides.is_err() {
        Some(Ending::Reset)
    } else if told.is_empty() && asked.starts_with(PREFACE) {
        frames::relay(Socket::new(client, to_client, asked), Socket::new(upstream, to_upstream, Vec::new()), guide).await
    } else {
        text::relay((client, asked, to_client.as_ref()), (upstream, told, to_upstream.as_ref()), guide).await
    };
    if let Some(ending) = ending {
        to_client.finish(Finish::Whole(ending));
    }
    Ok(())
}
