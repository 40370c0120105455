//! The two ends of a connection as this layer reads and writes them: plain, or through a wrapping such as TLS.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::engine::{Finish, Line, Source};

/// Whence bytes come.
pub(super) trait Receive: Send {
    /// Waits for bytes and appends them; zero at the end. May be given up half-way without losing any.
    fn receive(&mut self, into: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Whither bytes go.
pub(super) trait Deliver: Send {
    /// Sends bytes.
    fn deliver(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
    /// Sends the end.
    fn end(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

impl Receive for &mut Source {
    fn receive(&mut self, into: &mut Vec<u8>) -> impl Future<Output = io::Result<usize>> + Send {
        self.read(into)
    }
}

impl Deliver for &Line {
    fn deliver(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        Line::send(self, bytes)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.finish(Finish::Eof);
        Ok(())
    }
}

/// One half of a wrapping.
pub(super) struct Wrapped<T>(pub(super) T);

thread_local! {
    /// Where a wrapping is read into: one a worker, so that a connection keeps only what it could not pass on.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 16 * 1024].into_boxed_slice());
}

impl<T: AsyncRead + Unpin + Send> Receive for Wrapped<T> {
    async fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
                into.extend_from_slice(buffer.filled());
                Poll::Ready(Ok(buffer.filled().len()))
            })
        })
        .await
    }
}

impl<T: AsyncWrite + Unpin + Send> Deliver for Wrapped<T> {
    async fn deliver(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    async fn end(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Both directions of one end as one stream, for what is wrapped around it.
pub(super) struct Socket<'a> {
    from: &'a mut Source,
    /// Read and not taken yet.
    unread: Vec<u8>,
    taken: usize,
    to: Arc<Line>,
}

impl<'a> Socket<'a> {
    /// `unread` was read from it already.
    pub(super) fn new(from: &'a mut Source, to: &Arc<Line>, unread: Vec<u8>) -> Self {
        Self { from, unread, taken: 0, to: Arc::clone(to) }
    }
}

impl AsyncRead for Socket<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.taken == this.unread.len() {
            let (unread, mut fits) = (&mut this.unread, 0);
            unread.clear();
            ready!(this.from.poll_read(cx, |_, bytes| {
                fits = bytes.len().min(buffer.remaining());
                buffer.put_slice(&bytes[..fits]);
                unread.extend_from_slice(&bytes[fits..]);
            }))?;
            this.taken = 0;
            return Poll::Ready(Ok(()));
        }
        let fits = (this.unread.len() - this.taken).min(buffer.remaining());
        buffer.put_slice(&this.unread[this.taken..this.taken + fits]);
        this.taken += fits;
        if this.taken == this.unread.len() {
            (this.unread, this.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.to.poll_room(cx))?;
        self.to.offer(cx, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.finish(Finish::Eof);
        Poll::Ready(Ok(()))
    }
}
