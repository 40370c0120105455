//! What comes from one side.

use std::io;

use chaos_protocol::http1::{Head, Malformed};

use crate::http::ends::Receive;

/// What comes from one side: bytes that were read and are not taken yet.
pub(super) struct Input<R> {
    from: R,
    bytes: Vec<u8>,
    taken: usize,
    /// Of the next head: how much was searched for its end in vain.
    searched: usize,
}

impl<R: Receive> Input<R> {
    pub(super) fn new(from: R, read: Vec<u8>) -> Self {
        Self { from, bytes: read, taken: 0, searched: 0 }
    }

    /// What was read and not taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Takes so many bytes.
    pub(super) fn take(&mut self, n: usize) {
        self.taken += n;
        if self.taken >= self.bytes.len() {
            // Memory is for what waits, and nothing does.
            (self.bytes, self.taken) = (Vec::new(), 0);
        }
    }

    /// What was taken is unread again, before what else is.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(self.unread());
        (self.bytes, self.taken) = (bytes, 0);
    }

    /// Reads more; false at the end. May be given up and asked again.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        Ok(self.from.receive(&mut self.bytes).await? > 0)
    }

    /// Waits until the side breaks off, and says how; reads at most so much ahead to see it. One that has only ended may still wait
    /// for what it asked. May be given up.
    pub(super) async fn breaks(&mut self, ahead: usize) -> io::Error {
        while self.unread().len() < ahead {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return error,
            }
        }
        std::future::pending().await
    }

    /// Something unread; false at the end.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        Ok(!self.unread().is_empty() || self.fill().await?)
    }

    /// The next head; `None` where it ends before one begins. What is no head stays unread.
    pub(super) async fn head(&mut self) -> io::Result<Result<Option<Head>, Malformed>> {
        loop {
            match Head::read(&self.bytes[self.taken..], &mut self.searched) {
                Ok(Some((head, length))) => {
                    self.take(length);
                    return Ok(Ok(Some(head)));
                }
                Err(error) => return Ok(Err(error)),
                Ok(None) if self.fill().await? => {}
                Ok(None) if self.unread().is_empty() => return Ok(Ok(None)),
                Ok(None) => return Ok(Err(Malformed::FirstLine)),
            }
        }
    }
}
