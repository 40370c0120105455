//! What a connection receives at one end. Nothing is kept for a connection that is idle: reads go through one buffer a worker.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::line::{Finish, Line};
use crate::toxic::Ending;

/// What one read brings at most.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What a connection receives at one end.
pub struct Source(OwnedReadHalf);

impl Source {
    pub(crate) fn new(from: OwnedReadHalf) -> Self {
        Self(from)
    }

    /// Waits for bytes and appends them; zero: the other side sends no more. May be dropped half-way without losing any.
    ///
    /// # Errors
    /// If the connection broke. A layer passes that on: it returns the error.
    pub async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            self.poll_read(cx, |_, bytes| {
                into.extend_from_slice(bytes);
                bytes.len()
            })
        })
        .await
    }

    /// Reads what is there into the worker's buffer and hands it on.
    pub(crate) fn poll_read<T>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut Context<'_>, &[u8]) -> T) -> Poll<io::Result<T>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok(take(cx, buffer.filled())))
        })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.0.as_ref()
    }
}

/// Copies everything from a source into a line, its end and its breaking included.
///
/// # Errors
/// Never for what the sides do; if the line has ended, nothing is left to do.
pub async fn copy(from: &mut Source, to: &Line) -> io::Result<()> {
    poll_fn(|cx| poll_copy(from, to, cx)).await;
    Ok(())
}

fn poll_copy(from: &mut Source, to: &Line, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        if ready!(to.poll_room(cx)).is_err() {
            return Poll::Ready(());
        }
        let read = from.poll_read(cx, |cx, bytes| {
            to.offer(cx, bytes);
            bytes.len()
        });
        match ready!(read) {
            Ok(0) => to.finish(Finish::Eof),
            Ok(_) => continue,
            Err(_) => to.finish(Finish::Whole(Ending::Reset)),
        }
        return Poll::Ready(());
    }
}
