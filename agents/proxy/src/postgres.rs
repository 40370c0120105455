//! The layer that understands statements and results of PostgreSQL, by simple queries and by the extended protocol.
//!
//! A statement that shall fail is not answered here: the server is asked for something in its place that cannot be (a statement or
//! portal that does not exist), so that it fails itself, its transaction with it, and skips what follows up to the next `Sync`, as it
//! does for every error. Only the words of its error are then exchanged. So order, pipelines and states are the server's own.
//!
//! Which statement a prepared one or a portal stands for is kept from the connection's beginning. Encrypted connections pass unseen.

pub(crate) mod delay;
pub(crate) mod error;
mod kinds;
mod results;
mod statements;

use std::io;

use chaos_core::clock::Mono;
use chaos_core::literal::Percent;

use crate::engine::{Chance, Connection};
use crate::messages;
use results::Poisoned;
use statements::Statements;

/// A toxic that acts on statements and results.
pub trait Act: Send + Sync {
    /// What befalls a query or the execution of a statement. Asked once, when it is the first of its connection that waits; again
    /// when the toxic is adjusted.
    fn statement(&self, asked: &Asked<'_>) -> Verdict;
}

/// A statement, as a toxic sees it.
pub struct Asked<'a> {
    /// The kinds of its statements ([`chaos_protocol::postgres::statements`]): a simple query may hold several.
    pub kinds: &'a [&'static str],
    /// When it arrived.
    pub arrived: Mono,
    /// For draws: the same for the same statement of the same connection.
    pub chance: Chance,
}

/// What befalls a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// It goes on at this time at the earliest.
    NotBefore(Mono),
    /// It fails.
    Error {
        /// With this code.
        sqlstate: String,
        /// And this message.
        message: String,
    },
}

/// Every connection, unless a share is given.
fn all() -> Percent {
    Percent::HUNDRED
}

/// Relays one connection to its end.
pub(crate) async fn relay(connection: &mut Connection) -> io::Result<()> {
    let poisoned = Poisoned::default();
    let live = connection.live.another();
    let mut statements = Statements::new(&poisoned, live.connection());
    let Connection { client, upstream, to_client, to_upstream, clock, .. } = connection;
    tokio::try_join!(messages::relay(&mut statements, client, to_upstream, live, clock), results::relay(upstream, to_client, &poisoned))?;
    Ok(())
}
