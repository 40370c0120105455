//! The layer that understands commands and replies of Redis.

use std::io;

use crate::engine::Connection;

/// A toxic that acts on commands and replies.
pub trait Act: Send + Sync {}

/// Relays one connection to its end.
pub(crate) async fn relay(connection: &mut Connection) -> io::Result<()> {
    connection.pass_through().await
}
