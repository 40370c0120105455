//! The coordinator's side: starts an executor, talks to it, and sees that somebody takes everything back when it dies.
//!
//! ```no_run
//! # async fn example(begin: chaos_core::wire::Begin, log: &std::path::Path) -> Result<(), chaos_core::link::LinkError> {
//! use chaos_core::link::{ExecutorLink, Heard, Program};
//! use chaos_core::wire::Request;
//!
//! let program = Program::this(None).expect("the path of this program");
//! let mut link = ExecutorLink::spawn(&program, begin, log).await?;
//! link.send(Request::Close);
//! while let Some(heard) = link.next().await {
//!     match heard {
//!         Heard::Reply(reply) => println!("{reply:?}"),
//!         Heard::Slept(by) => println!("the machine slept for {by:?}"),
//!         Heard::Lost { message } => println!("{message}; it is being recovered"),
//!         Heard::Recovered(outcome) => println!("{outcome:?}"),
//!     }
//! }
//! # Ok(()) }
//! ```

mod sleep;
mod spawn;
mod watch;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

pub use sleep::{Clocks, SleepWatch, SystemClocks};
pub use spawn::Program;

use crate::recover::RecoveryReport;
use crate::wire::{Begin, Reply, Request};

/// How often the executor hears that its coordinator lives.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(1);

/// The lease of a local run: closing the socket is the fast path, so that silence may be generous. Our own `cpu.burn`
/// would trip a short one.
pub const LOCAL_LEASE: std::time::Duration = std::time::Duration::from_secs(10);

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
    /// The machine slept for so long: samples across it mean nothing.
    Slept(std::time::Duration),
    /// The executor died or fell silent. A recovering one is being started; [`Heard::Recovered`] follows.
    Lost {
        /// What is known.
        message: String,
    },
    /// What recovery came to. The last thing that is heard.
    Recovered(Result<RecoveryReport, String>),
}

/// Why there is no executor. Nothing was injected.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not be started.
    #[error("start an executor: {0}")]
    Start(#[from] io::Error),
    /// It refused.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It died before it was ready.
    #[error("the executor ended before it was ready: {0}")]
    Ended(String),
}

impl ExecutorLink {
    /// Starts an executor whose own words go to `log`, and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started or refuses; nothing was injected.
    pub async fn spawn(program: &Program, begin: Begin, log: &Path) -> Result<Self, LinkError> {
        let (socket, child) = program.start(log)?;
        Self::begin(socket, watch::Executor::Child(child), program, begin).await
    }

    /// Takes over the executor that started this process, at the other end of `socket`: the first process of a container
    /// is the executor, and its death ends everything in there anyway.
    ///
    /// # Errors
    /// If it refuses; nothing was injected.
    pub async fn adopt(socket: OwnedFd, program: &Program, begin: Begin) -> Result<Self, LinkError> {
        Self::begin(socket.into(), watch::Executor::Parent, program, begin).await
    }

    async fn begin(
        socket: std::os::unix::net::UnixStream,
        executor: watch::Executor,
        program: &Program,
        begin: Begin,
    ) -> Result<Self, LinkError> {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let (told, heard) = mpsc::unbounded_channel();
        let (alive, dropped) = oneshot::channel();
        let watch = watch::Watch::new(socket, executor, program.clone(), &begin)?;
        let _ = requests.send(Request::Begin(Box::new(begin)));
        tokio::spawn(watch.run(outgoing, told, dropped));
        let mut link = Self { requests, heard, survives: String::new(), _alive: alive };
        loop {
            match link.next().await {
                Some(Heard::Reply(Reply::Ready { survives })) => {
                    link.survives = survives;
                    return Ok(link);
                }
                Some(Heard::Reply(Reply::Refused { message, hint })) => return Err(LinkError::Refused { message, hint }),
                Some(Heard::Lost { message }) => return Err(LinkError::Ended(message)),
                Some(Heard::Slept(_) | Heard::Reply(_)) => {}
                Some(Heard::Recovered(_)) | None => return Err(LinkError::Ended("it closed its socket".into())),
            }
        }
    }

    /// What the executor would survive, for the plan: `own session; dies with this container`.
    #[must_use]
    pub fn survives(&self) -> &str {
        &self.survives
    }

    /// Asks for something. What comes of it is heard; an executor that is gone is heard of too.
    pub fn send(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// Somebody who can ask from elsewhere.
    #[must_use]
    pub fn sender(&self) -> mpsc::UnboundedSender<Request> {
        self.requests.clone()
    }

    /// What is heard next; none after [`Reply::Closed`] and the executor's end, or after [`Heard::Recovered`].
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}
