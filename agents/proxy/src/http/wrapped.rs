//! HTTP inside TLS that ends here. Which HTTP it is was agreed on with the handshake (ALPN).

use std::io;

use super::ends::{Socket, Wrapped};
use super::exchange::Guide;
use super::{frames, text};
use crate::engine::{Connection, Inside, Tls};
use crate::toxic::Ending;

/// Relays one connection, and says how the client is to see it end.
///
/// # Errors
/// If a handshake fails.
pub(super) async fn relay(connection: &mut Connection, tls: &Tls) -> io::Result<Option<Ending>> {
    let Connection { client, upstream, to_client, to_upstream, live, clock, .. } = connection;
    let guide = Guide::new(live.another(), clock.clone());
    let client = Socket::new(client, to_client, Vec::new());
    let upstream = Socket::new(upstream, to_upstream, Vec::new());
    let Inside { client, upstream, is_http2 } = tls.wrap(client, upstream).await?;
    if is_http2 {
        return Ok(frames::relay(client, upstream, guide).await);
    }
    let ((client_in, client_out), (upstream_in, upstream_out)) = (tokio::io::split(client), tokio::io::split(upstream));
    let client = (Wrapped(client_in), Vec::new(), Wrapped(client_out));
    Ok(text::relay(client, (Wrapped(upstream_in), Vec::new(), Wrapped(upstream_out)), guide).await)
}
