//! What goes to one side.

use std::io;

use crate::http::ends::Deliver;

/// How much is kept at most before it is sent.
const KEPT_MAX: usize = 64 * 1024;

/// What goes to one side. Keeps what belongs together for one write, until it is flushed: before anything is waited for.
pub(super) struct Output<W> {
    to: W,
    kept: Vec<u8>,
}

impl<W: Deliver> Output<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, kept: Vec::new() }
    }

    /// Adds bytes.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.kept.is_empty() && bytes.len() >= KEPT_MAX / 2 {
            return self.to.deliver(bytes).await;
        }
        self.kept.extend_from_slice(bytes);
        if self.kept.len() >= KEPT_MAX { self.flush().await } else { Ok(()) }
    }

    /// Sends what was added.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        // The memory goes with it: an idle connection keeps none.
        let kept = std::mem::take(&mut self.kept);
        self.to.deliver(&kept).await
    }

    /// Sends what was added, and then the end.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.to.end().await
    }
}
