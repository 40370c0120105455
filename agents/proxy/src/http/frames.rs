//! HTTP/2 between a client and its upstream: stream by stream, with flow control from end to end.

mod answer;
mod stream;

use bytes::Bytes;
use h2::Reason;
use tokio::task::JoinSet;

use super::exchange::{Exchange, Guide};
use crate::engine::Wire;
use crate::toxic::Ending;
use stream::Stream;

/// What one stream, and all streams of a connection, may have under way unread.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How many streams a client may have open: what common servers allow (nginx 128, hyper 200).
const STREAMS_MAX: u32 = 256;

/// Relays one connection until it is over, and says how the client is to see it end.
pub(super) async fn relay(client: impl Wire, upstream: impl Wire, guide: Guide) -> Option<Ending> {
    let mut server = h2::server::Builder::new();
    server.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    // Extended CONNECT is not announced: nobody knows yet whether the upstream has it, and clients do without.
    server.max_concurrent_streams(STREAMS_MAX);
    let mut to = h2::client::Builder::new();
    to.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).enable_push(false);
    let (client, upstream) = tokio::join!(server.handshake::<_, Bytes>(client), to.handshake::<_, Bytes>(upstream));
    let (Ok(mut client), Ok((requests, mut upstream))) = (client, upstream) else { return Some(Ending::Reset) };
    let mut streams = JoinSet::new();
    let mut upstream_open = true;
    for number in 0.. {
        let accepted = loop {
            tokio::select! {
                accepted = client.accept() => break accepted,
                _ = &mut upstream, if upstream_open => {
                    upstream_open = false;
                    // What is under way has failed or is complete; the client is told to ask elsewhere.
                    client.graceful_shutdown();
                }
                Some(_) = streams.join_next() => {}
            }
        };
        let (request, respond) = match accepted {
            Some(Ok(accepted)) => accepted,
            Some(Err(_)) => return Some(Ending::Reset),
            None => break,
        };
        let (parts, body) = request.into_parts();
        let stream = Stream { exchange: Exchange::new(number, Box::new(parts.clone())), guide: guide.another(), respond };
        streams.spawn(stream.relay(parts, body, requests.clone()));
    }
    None
}

/// Why a stream is over before its end.
struct Broken(Reason);

impl From<h2::Error> for Broken {
    fn from(error: h2::Error) -> Self {
        Self(error.reason().unwrap_or(Reason::INTERNAL_ERROR))
    }
}
