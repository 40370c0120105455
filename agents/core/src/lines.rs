//! One JSON value a line, over a socket.

use std::io;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// No message is longer; a plan of thousands of injections is a few MiB.
const LONGEST_BYTES: u64 = 64 << 20;

/// Reads messages.
pub(crate) struct Lines<R, T> {
    from: BufReader<R>,
    /// Kept between calls, so that a call may be dropped half-way without losing what it had read.
    line: Vec<u8>,
    message: PhantomData<fn() -> T>,
}

impl<R: AsyncRead + Unpin, T: DeserializeOwned> Lines<R, T> {
    pub(crate) fn new(from: R) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), message: PhantomData }
    }

    /// The next message; none: the other side closed. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<T>> {
        let room = LONGEST_BYTES - self.line.len() as u64;
        (&mut self.from).take(room).read_until(b'\n', &mut self.line).await?;
        if self.line.last() != Some(&b'\n') {
            let what = "a message breaks off or is too long";
            return if self.line.is_empty() { Ok(None) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)) };
        }
        let message = serde_json::from_slice(&self.line);
        self.line.clear();
        message.map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}

/// Writes one message.
pub(crate) async fn send<W: AsyncWrite + Unpin>(to: &mut W, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}
