//! When a part has to stop: on a signal, or because its supervisor is gone.
//!
//! A supervised part must not outlive its supervisor, however that one ended. Two nets:
//!
//! - the *lifeline*: standard input is a pipe whose other end only the supervisor holds, so that the
//!   kernel closes it at the supervisor's death. It works across every kind of death, but a frozen
//!   part does not notice;
//! - the *parent-death signal*: SIGKILL by the kernel, which a frozen part obeys as well.

use std::{io, os::fd::AsFd};

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    signal::unix::{Signal as Listener, SignalKind, signal},
};

use crate::failure::Failure;

/// The signals that end a part in good order.
pub(crate) struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hangup: Listener,
}

impl Signals {
    /// Begins to listen; from here on the signals no longer kill the process by themselves.
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Resolves at the first signal that asks this process to stop.
    pub(crate) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Everything that may ask a part to stop.
pub(crate) struct Stop {
    signals: Signals,
    lifeline: Option<pipe::Receiver>,
}

impl Stop {
    /// Begins to listen for signals and, for a supervised part, for the supervisor's end.
    pub(crate) fn new(supervised: bool) -> Result<Self, Failure> {
        let lifeline = supervised
            .then(|| {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)
            })
            .transpose()
            .map_err(Failure::Lifeline)?;
        Ok(Self { signals: Signals::new()?, lifeline })
    }

    /// Resolves when this part has to stop.
    pub(crate) async fn asked(&mut self) {
        match &mut self.lifeline {
            None => self.signals.received().await,
            Some(lifeline) => tokio::select! {
                () = self.signals.received() => {}
                () = cut(lifeline) => {}
            },
        }
    }
}

/// Resolves when the other end of the pipe is closed. Nothing is ever written to it.
async fn cut(lifeline: &mut pipe::Receiver) {
    let mut byte = [0];
    while let Ok(1) = lifeline.read(&mut byte).await {}
}
