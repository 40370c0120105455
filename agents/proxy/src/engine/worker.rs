//! The threads that carry the traffic, each with a runtime, a clock and a read buffer of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::clock::Clock;
use super::connection::{Accepted, serve};
use super::limits::room_for_connections;

/// The workers; a connection stays with the one that it was given to.
pub(crate) struct Workers {
    /// One for each connection that this process has descriptors for: who does not fit waits in the kernel's queue, and is served when
    /// another has ended.
    room: Arc<Semaphore>,
    to: Vec<UnboundedSender<Accepted>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts so many.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let to = (0..count.max(1)).map(worker).collect::<io::Result<_>>()?;
        Ok(Self { room: Arc::new(Semaphore::new(room_for_connections())), to, next: AtomicUsize::new(0) })
    }

    /// Waits until one more connection fits.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
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
