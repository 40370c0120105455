//! HTTP inside TLS that ends here. Which HTTP it is was agreed on with the handshake (ALPN).

use std::io;

use super::ends::{Duplex, Socket, Wrapped};
use super::exchange::Guide;
use super::{frames, text};
use crate::engine::{Connection, Tls};
use crate::toxic::Ending;

/// Relays one connection, and says how the client is to see it end.
///
/// # Errors
/// If a handshake fails.
pub(super) async fn relay(connection: &mut Connection, tls: &Tls) -> io::Result<Option<Ending>> {
    let Connection { client, upstream, to_client, to_upstream, live, clock, .. } = connection;
    let guide = Guide::new(live.another(), clock.clone());
    let client = tls.acceptor().accept(Socket::new(client, to_client, Vec::new())).await?;
    let chosen = client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let upstream = Socket::new(upstream, to_upstream, Vec::new());
    let upstream: Box<dyn Duplex + '_> = match tls.connector(chosen.as_deref()) {
        Some((connector, name)) => Box::new(connector.connect(name, upstream).await?),
        None => Box::new(upstream),
    };
    if chosen.as_deref() == Some(b"h2") {
        return Ok(frames::relay(client, upstream, guide).await);
    }
    let ((client_in, client_out), (upstream_in, upstream_out)) = (tokio::io::split(client), tokio::io::split(upstream));
    let client = (Wrapped(client_in), Vec::new(), Wrapped(client_out));
    Ok(text::relay(client, (Wrapped(upstream_in), Vec::new(), Wrapped(upstream_out)), guide).await)
}
