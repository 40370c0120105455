//! The layer that understands statements and results of PostgreSQL.

use std::io;

use crate::engine::Connection;

/// A toxic that acts on statements and results.
pub trait Act: Send + Sync {}

/// Relays one connection to its end.
pub(crate) async fn relay(connection: &mut Connection) -> io::Result<()> {
    connection.pass_through().await
}
