//! HTTP between a client and its upstream: HTTP/1.1 (`text`) and HTTP/2 (`frames`), one connection to one connection.
//!
//! What no toxic meets passes as it came: HTTP/1.1 byte for byte (letter case, spaces, sizes of chunks, trailers, pipelining,
//! 100-continue), save that an event stream in chunks has one chunk an event; HTTP/2 stream by stream (head, content and trailers;
//! compression of fields, windows and pings are those of each connection, interim answers do not pass). What turns out to be no HTTP, and whatever follows an upgrade, passes as raw bytes.
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
mod wrapped;

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
    let ending = match connection.tls.clone() {
        // Apart, so that the memory of TLS and HTTP/2 is not kept for connections without.
        Some(tls) => Box::pin(wrapped::relay(connection, &tls)).await.unwrap_or(Some(Ending::Reset)),
        None => plain(connection).await.unwrap_or(Some(Ending::Reset)),
    };
    if let Some(ending) = ending {
        connection.to_client.finish(Finish::Whole(ending));
    }
    Ok(())
}

/// Says how the client is to see it end, where the two sides did not end it themselves.
async fn plain(connection: &mut Connection) -> io::Result<Option<Ending>> {
    let Connection { client, upstream, to_client, to_upstream, live, clock, .. } = connection;
    let guide = Guide::new(live.another(), clock.clone());
    let (mut asked, mut told) = (Vec::new(), Vec::new());
    // Both kinds of HTTP begin with what the client says. Whoever else speaks first speaks something else, and is heard.
    while asked.len() < PREFACE.len() && PREFACE.starts_with(&asked) {
        let more = tokio::select! {
            biased;
            read = client.read(&mut asked) => read? > 0,
            read = upstream.read(&mut told) => read.map(|_| false)?,
        };
        if !more {
            break;
        }
    }
    if told.is_empty() && asked.starts_with(PREFACE) {
        let (client, upstream) = (Socket::new(client, to_client, asked), Socket::new(upstream, to_upstream, Vec::new()));
        return Ok(Box::pin(frames::relay(client, upstream, guide)).await);
    }
    Ok(text::relay((client, asked, to_client.as_ref()), (upstream, told, to_upstream.as_ref()), guide).await)
}
