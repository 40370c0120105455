//! A small HTTP/1 server that does what a test tells it to, and says how often it was asked and connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with one request: its number, from 0.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// 200 with a small JSON body, the connection kept.
    Answer,
    /// The same, so much later.
    After(Duration),
    /// The same, then the connection is closed without saying so before.
    AnswerAndClose,
    /// Nothing, until the client goes away.
    Hang,
    /// The connection is closed after so long, without an answer.
    Close(Duration),
}

/// Counts of what has happened.
#[derive(Default)]
pub(crate) struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
    /// Connections that the client has closed.
    pub left: AtomicUsize,
}

/// Serves on a port of its own for as long as the runtime lives.
pub(crate) async fn serve(then: impl Fn(usize) -> Then + Send + Sync + 'static) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let (counts, then) = (Arc::clone(&seen), Arc::new(then));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counts.connections.fetch_add(1, Ordering::SeqCst);
            let (counts, then) = (Arc::clone(&counts), Arc::clone(&then));
            tokio::spawn(async move {
                let _ = connection(stream, &counts, &*then).await;
            });
        }
    });
    (address, seen)
}

async fn connection(mut stream: TcpStream, seen: &Seen, then: &(impl Fn(usize) -> Then + ?Sized)) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                seen.left.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
        }
        head.clear();
        let body = r#"{"outputs": [1, 2]}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        match then(seen.requests.fetch_add(1, Ordering::SeqCst)) {
            Then::Answer => stream.write_all(answer.as_bytes()).await?,
            Then::After(wait) => {
                tokio::time::sleep(wait).await;
                stream.write_all(answer.as_bytes()).await?;
            }
            Then::AnswerAndClose => return stream.write_all(answer.as_bytes()).await,
            Then::Hang => {}
            Then::Close(wait) => {
                tokio::time::sleep(wait).await;
                return Ok(());
            }
        }
    }
}
