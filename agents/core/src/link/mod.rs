//! The coordinator's side: starts an executor, talks to it, and sees that somebody takes everything back when it dies.
//!
//! ```no_run
//! # async fn example(program: &std::path::Path, state: &std::path::Path, begin: chaos_core::wire::Begin) -> Result<(), chaos_core::link::LinkError> {
//! use chaos_core::link::{ExecutorLink, Heard};
//! use chaos_core::wire::{Reply, Request};
//!
//! let mut link = ExecutorLink::spawn(program, state, begin).await?;
//! link.send(Request::Close).await;
//! let residue = loop {
//!     if let Heard::Reply(Reply::Closed { residue }) = link.next().await {
//!         break residue;
//!     }
//! };
//! # drop(residue); Ok(()) }
//! ```

mod spawn;
mod watch;

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use spawn::Program;

use crate::executor::socket_of_parent;
use crate::wire::{Begin, Reply, Request};

/// How often the executor hears that its coordinator lives.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// The lease of a local run. Closing the socket is the fast path, so silence may be generous: our own `cpu.burn` would
/// trip a short one.
pub const LEASE: Duration = Duration::from_secs(10);

/// A running executor. Dropping it closes the socket, upon which the executor takes everything back.
pub struct ExecutorLink {
    requests: mpsc::UnboundedSender<Request>,
    heard: mpsc::UnboundedReceiver<Heard>,
    survives: String,
    /// Closed when the link is dropped.
    _alive: oneshot::Sender<()>,
}

/// What a link hears.
#[derive(Debug)]
pub enum Heard {
    /// From the executor.
    Reply(Reply),
    /// The executor died or fell silent. A recovering one is being started; [`Heard::Recovered`] follows.
    Lost {
        /// What is known.
        message: String,
    },
    /// What recovery came to: faults are taken back, the system stands. [`Reply::Closed`] follows once that is asked for.
    Recovered {
        /// Slots that are residue; `damage` for what cannot be read of the journal, `journal` where nothing is known of it.
        residue: Vec<String>,
        /// Slots that are taken back: the journal says so. Of any slot in neither list nothing is known.
        reverted: Vec<String>,
        /// In words.
        message: String,
    },
}

/// Why there is no executor. Nothing was injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LinkError {
    /// What was being done, and what happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl LinkError {
    fn new(message: String) -> Self {
        Self { message, hint: None }
    }
}

impl From<io::Error> for LinkError {
    fn from(e: io::Error) -> Self {
        Self::new(format!("start an executor: {e}"))
    }
}

impl ExecutorLink {
    /// Starts `program executor --state-dir STATE`, and waits until it is ready. Its own words go to `executor.log` in the
    /// run's folder. In a container, takes over the executor that started this process: see [`crate::executor::start_coordinator`].
    ///
    /// # Errors
    /// If it cannot be started or refuses; nothing was injected.
    pub async fn spawn(program: &Path, state: &Path, begin: Begin) -> Result<Self, LinkError> {
        let program = Program::new(program, state, &begin);
        if let Some(socket) = socket_of_parent() {
            return Self::begin(socket.into(), watch::Executor::Parent, program, begin).await;
        }
        let (socket, child) = program.start()?;
        Self::begin(socket, watch::Executor::Child(child), program, begin).await
    }

    async fn begin(
        socket: std::os::unix::net::UnixStream,
        executor: watch::Executor,
        program: Program,
        begin: Begin,
    ) -> Result<Self, LinkError> {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let (told, heard) = mpsc::unbounded_channel();
        let (alive, dropped) = oneshot::channel();
        let watch = watch::Watch::new(socket, executor, program, begin.lease.get())?;
        let _ = requests.send(Request::Begin(Box::new(begin)));
        tokio::spawn(watch.run(outgoing, told, dropped));
        let mut link = Self { requests, heard, survives: String::new(), _alive: alive };
        loop {
            match link.next().await {
                Heard::Reply(Reply::Ready { survives }) => {
                    link.survives = survives;
                    return Ok(link);
                }
                Heard::Reply(Reply::Refused { message, hint }) => return Err(LinkError { message, hint }),
                Heard::Lost { message } | Heard::Recovered { message, .. } => return Err(LinkError::new(message)),
                Heard::Reply(_) => {}
            }
        }
    }

    /// What the executor would survive, for the plan: `own session; dies with this container`.
    #[must_use]
    pub fn survives(&self) -> &str {
        &self.survives
    }

    /// Asks for something. What comes of it is heard; that an executor is gone is heard too.
    pub async fn send(&mut self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// What is heard next. For ever silent after [`Reply::Closed`]. Cancel-safe.
    pub async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}
