//! The layer that understands commands and replies of Redis.
//!
//! ```text
//! client ──▶ commands: each asks what is armed, waits ──▶ upstream
//!                │ what will be answered, in order
//!                ▼
//! client ◀── replies: the upstream's, or what stands in its place ◀── upstream
//! ```
//! A pipeline keeps its order, whatever happens to one of its commands. Inside of `MULTI` … `EXEC` commands pass: the server only
//! queues them. What is pushed (RESP3) passes. After `SUBSCRIBE`, `MONITOR` or `CLIENT REPLY`, and where it is not Redis, bytes pass.

mod commands;
pub(crate) mod delay;
pub(crate) mod error;
pub(crate) mod null;
mod replies;
mod select;
pub(crate) mod stale;
pub(crate) mod throttle;
mod turns;

use std::io;
use std::sync::Arc;

use chaos_core::clock::Mono;
use chaos_core::literal::Percent;
use chaos_protocol::resp::Command;
use tokio::sync::Notify;

use crate::engine::{Chance, Connection};
use crate::messages;
use commands::Commands;
use replies::Pending;
pub use turns::Turn;

/// A toxic that acts on commands and replies.
pub trait Act: Send + Sync {
    /// What befalls a command. Asked once, when it is the first of its connection that waits; again when the toxic is adjusted.
    fn command(&self, asked: &Asked<'_>) -> Verdict;

    /// The reply to a command that is watched, and what is answered in its place. `command` tells apart whatever may be answered
    /// differently: its bytes, the database, the version of the protocol.
    fn reply(&self, _command: &[u8], _reply: &[u8], _now: Mono) -> Option<Vec<u8>> {
        None
    }
}

/// A command, as a toxic sees it.
pub struct Asked<'a> {
    /// The command.
    pub command: &'a Command,
    /// When it arrived.
    pub arrived: Mono,
    /// Is the connection in RESP3?
    pub resp3: bool,
    /// For draws: the same for the same command of the same connection.
    pub chance: Chance,
    /// Told when a turn of its connection may have come.
    pub called: &'a Arc<Notify>,
}

/// What befalls a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// It goes on at this time at the earliest.
    NotBefore(Mono),
    /// It goes on when it has its turn, and never if its client closes before.
    Turn(Arc<Turn>),
    /// It never reaches the server; this is the reply.
    Reply(Vec<u8>),
    /// It goes on, and [`Act::reply`] is asked about its reply.
    Watch,
}

/// Every connection, unless a share is given.
fn all() -> Percent {
    Percent::HUNDRED
}

/// Relays one connection to its end.
pub(crate) async fn relay(connection: &mut Connection) -> io::Result<()> {
    let pending = Pending::default();
    let (live, watching) = (connection.live.another(), connection.live.another());
    let mut commands = Commands::new(&pending, live.connection());
    let Connection { client, upstream, to_client, to_upstream, clock, .. } = connection;
    tokio::try_join!(
        messages::relay(&mut commands, client, to_upstream, live, clock),
        replies::relay(upstream, to_client, &pending, watching)
    )?;
    Ok(())
}
