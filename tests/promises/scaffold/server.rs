//! Something to ask: a small HTTP server whose every answer a test decides.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200.
    Well,
    /// 503.
    Bad,
}

type Decide = dyn Fn() -> Answer + Send + Sync;

/// Answers on a free port of this host until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn new(decide: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (closed, decide): (Arc<AtomicBool>, Arc<Decide>) = (Arc::default(), Arc::new(decide));
        let seen = Arc::clone(&closed);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let decide = Arc::clone(&decide);
                std::thread::spawn(move || serve(&stream, &*decide));
            }
        });
        Self { address, closed }
    }

    /// Answers well, always.
    pub(crate) fn well() -> Self {
        Self::new(|| Answer::Well)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, decide: &Decide) {
    let mut lines = BufReader::new(stream).lines();
    let mut out = stream;
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            continue;
        }
        let (status, body) = match decide() {
            Answer::Well => ("200 OK", "well"),
            Answer::Bad => ("503 Service Unavailable", "bad"),
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
