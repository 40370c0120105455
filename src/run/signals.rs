//! What a person or the system says to a run: Ctrl-C once stops and takes everything back, twice hurries; the others
//! do likewise. None of them ever skips a revert.

use chaos_core::event::AbortedBy;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal, as the run understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Stop, and take everything back.
    Stop(AbortedBy, &'static str),
    /// Ctrl-Z: a run is not paused while faults act; refused.
    Pause,
}

/// The signals of this process.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
    suspend: Signal,
}

impl Signals {
    /// Starts to listen. From here on none of them kills the program.
    ///
    /// # Errors
    /// If the system refuses handlers.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            suspend: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::Stop(AbortedBy::Person, "Ctrl-C"),
            _ = self.quit.recv() => Heard::Stop(AbortedBy::Person, "Ctrl-\\"),
            _ = self.terminate.recv() => Heard::Stop(AbortedBy::Signal, "SIGTERM"),
            _ = self.hangup.recv() => Heard::Stop(AbortedBy::Signal, "SIGHUP (terminal closed)"),
            _ = self.suspend.recv() => Heard::Pause,
        }
    }
}
