//! The layer that understands requests and responses of HTTP/1.1 and HTTP/2, event streams and objects among them.

use std::io;

use crate::engine::Connection;

/// A toxic that acts on requests and responses.
pub trait Act: Send + Sync {}

/// Relays one connection to its end.
pub(crate) async fn relay(connection: &mut Connection) -> io::Result<()> {
    connection.pass_through().await
}
