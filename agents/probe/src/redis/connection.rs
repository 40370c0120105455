//! Connections to Redis: greeted, asked, kept, and left when they are closed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use chaos_protocol::resp::{Command, Value, ValueReader};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::reason;
use crate::resolve::Endpoint;

/// The longest reply that is read.
const REPLY_MAX: usize = 8 * 1024 * 1024;
/// As for HTTP: what one round trip may take beyond twice the time of connecting, before a close counts as the server's answer.
const CROSSING_GRACE: Duration = Duration::from_millis(1);
/// As for HTTP: a connection that was not needed for so long is closed.
const UNUSED_MAX: Duration = Duration::from_secs(10);

/// Who asks.
pub(super) struct Greeting {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// One command and the connections to send it on.
pub(super) struct Client {
    endpoint: Endpoint,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    greeting: Greeting,
    command: Vec<u8>,
    /// The longest unused first; none are kept where each question makes its own.
    kept: Option<Mutex<VecDeque<(Instant, Connection)>>>,
}

/// Why a connection gave no reply.
struct Failure {
    reason: String,
    /// The server had closed it before it saw the command: not a failure of the user.
    crossed: bool,
}

impl Client {
    pub(super) fn new(
        endpoint: Endpoint,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        greeting: Greeting,
        words: &[String],
        fresh: bool,
    ) -> Self {
        let mut command = Vec::new();
        Command::write(&words.iter().map(String::as_bytes).collect::<Vec<_>>(), &mut command);
        Self { endpoint, tls, greeting, command, kept: (!fresh).then(Mutex::default) }
    }

    /// Sends the command and reads its reply.
    pub(super) async fn ask(&self) -> Result<Value, String> {
        while let Some(mut connection) = self.take() {
            if connection.is_closed().await {
                continue;
            }
            match connection.ask(&self.command).await {
                Err(failure) if failure.crossed => break,
                ended => return self.ended(connection, ended),
            }
        }
        let mut connection = self.dial().await?;
        let ended = connection.ask(&self.command).await;
        self.ended(connection, ended)
    }

    fn ended(&self, connection: Connection, ended: Result<Value, Failure>) -> Result<Value, String> {
        if let (Ok(_), Some(kept)) = (&ended, &self.kept) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back((Instant::now(), connection));
            if kept.len() > 1 && kept.front().is_some_and(|(since, _)| since.elapsed() > UNUSED_MAX) {
                kept.pop_front();
            }
        }
        ended.map_err(|f| f.reason)
    }

    fn take(&self) -> Option<Connection> {
        self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).pop_back().map(|(_, connection)| connection)
    }

    async fn dial(&self) -> Result<Connection, String> {
        let began = Instant::now();
        let tcp = self.endpoint.connect().await?;
        let round_trip = began.elapsed();
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some((config, name)) => {
                let shaken = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await;
                Stream::Tls(Box::new(shaken.map_err(|e| format!("TLS: {}", reason::of_io(&e)))?))
            }
        };
        let mut connection = Connection { stream, reader: ValueReader::new(REPLY_MAX), round_trip };
        self.greet(&mut connection).await?;
        Ok(connection)
    }

    /// RESP3 where the server has it, and says who asks.
    async fn greet(&self, connection: &mut Connection) -> Result<(), String> {
        let user = self.greeting.user.as_deref();
        let auth = self.greeting.password.as_deref().map(|password| (user.unwrap_or("default"), password));
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some((user, password)) = auth {
            hello.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
        }
        match connection.send(&hello).await? {
            // Before version 6 there is no such command; behind some proxies, no such version.
            Value::Error(e) if e.starts_with("ERR") || e.starts_with("NOPROTO") => {}
            Value::Error(e) => return Err(e),
            _ => return Ok(()),
        }
        let Some((name, password)) = auth else { return Ok(()) };
        let words: &[&[u8]] =
            if user.is_some() { &[b"AUTH", name.as_bytes(), password.as_bytes()] } else { &[b"AUTH", password.as_bytes()] };
        match connection.send(words).await? {
            Value::Error(e) => Err(e),
            _ => Ok(()),
        }
    }
}

/// One connection. Dropped, it is closed.
struct Connection {
    stream: Stream,
    reader: ValueReader,
    round_trip: Duration,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    async fn send(&mut self, words: &[&[u8]]) -> Result<Value, String> {
        let mut command = Vec::new();
        Command::write(words, &mut command);
        self.ask(&command).await.map_err(|f| f.reason)
    }

    async fn ask(&mut self, command: &[u8]) -> Result<Value, Failure> {
        let sent = Instant::now();
        let soon = self.round_trip * 2 + CROSSING_GRACE;
        match &mut self.stream {
            Stream::Plain(stream) => exchange(stream, &mut self.reader, command, sent, soon).await,
            Stream::Tls(stream) => exchange(stream, &mut self.reader, command, sent, soon).await,
        }
    }

    /// Has the server closed it, or said something that nobody asked for?
    async fn is_closed(&self) -> bool {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        let is_tls = matches!(self.stream, Stream::Tls(_));
        let mut byte = [0];
        poll_fn(|cx| {
            Poll::Ready(match tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
                Poll::Pending => false,
                // TLS has words of its own.
                Poll::Ready(Ok(n)) => n == 0 || !is_tls,
                Poll::Ready(Err(_)) => true,
            })
        })
        .await
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    reader: &mut ValueReader,
    command: &[u8],
    sent: Instant,
    soon: Duration,
) -> Result<Value, Failure> {
    let mut begun = false;
    let closed =
        |e: &io::Error, begun: bool| Failure { reason: reason::of_io(e), crossed: !begun && sent.elapsed() <= soon && is_close(e.kind()) };
    stream.write_all(command).await.map_err(|e| closed(&e, false))?;
    stream.flush().await.map_err(|e| closed(&e, false))?;
    let mut chunk = Vec::with_capacity(8 * 1024);
    loop {
        chunk.clear();
        let n = stream.read_buf(&mut chunk).await.map_err(|e| closed(&e, begun))?;
        if n == 0 {
            return Err(closed(&io::ErrorKind::UnexpectedEof.into(), begun));
        }
        begun = true;
        let mut rest = chunk.as_slice();
        while let Some(value) = reader.read(&mut rest).map_err(|e| Failure { reason: e.to_string(), crossed: false })? {
            // What is pushed was not asked for.
            if !matches!(value, Value::Push(_)) {
                return Ok(value);
            }
        }
    }
}

fn is_close(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(kind, K::UnexpectedEof | K::ConnectionReset | K::BrokenPipe | K::ConnectionAborted)
}
