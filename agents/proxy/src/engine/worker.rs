//! The threads that carry the traffic, each with a runtime, a clock and a read buffer of its own.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::clock::Clock;
use super::connection::{Accepted, serve};

/// The workers; a connection stays with the one that it was given to.
pub(crate) struct Workers {
    to: Vec<UnboundedSender<Accepted>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts so many.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let to = (0..count.max(1)).map(worker).collect::<io::Result<_>>()?;
        Ok(Self { to, next: AtomicUsize::new(0) })
    }

    /// Gives a connection to the next one in turn.
    pub(crate) fn give(&self, accepted: Accepted) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.to.len();
        // A worker ends only with the process.
        let _ = self.to[at].send(accepted);
    }
}

fn worker(number: usize) -> io::Result<UnboundedSender<Accepted>> {
    let (to, from) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || runtime.block_on(work(from)))?;
    Ok(to)
}

async fn work(mut from: UnboundedReceiver<Accepted>) {
    let Ok(clock) = Clock::start() else { return };
    while let Some(accepted) = from.recv().await {
        tokio::spawn(serve(accepted, clock.clone()));
    }
}
