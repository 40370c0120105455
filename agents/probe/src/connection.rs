//! HTTP connections: dialled, asked, kept alive, closed.
//!
//! ```text
//! ask ── kept connection? ──▶ exchange ──▶ answer complete ──▶ keep the connection
//!   └─ none, closed meanwhile, or `fresh` ──▶ dial ─┘
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::reason;
use crate::resolve::Endpoint;

/// What is sent.
pub(crate) type Body = Full<Bytes>;

/// What one round trip may take beyond twice the time of connecting, before a close counts as an answer of the server.
const CROSSING_GRACE: Duration = Duration::from_millis(1);
/// A kept connection that was not needed for so long is closed: what an outage left over does not stay for ever.
const UNUSED_MAX: Duration = Duration::from_secs(10);

/// The connections of one question: each asking takes a kept one, or makes one.
pub(crate) struct Client {
    dialer: Dialer,
    kept: Option<Kept>,
}

impl Client {
    /// Connections are used again unless each asking shall have a fresh one.
    pub(crate) fn new(dialer: Dialer, fresh: bool) -> Self {
        Self { dialer, kept: (!fresh).then(Kept::default) }
    }

    /// Asks, up to the head of the answer. The rest of it is read while the connection is held, and then it can be kept.
    pub(crate) async fn ask(&self, request: impl Fn() -> Request<Body>) -> Result<(Response<Incoming>, Held<'_>), String> {
        while let Some(mut connection) = self.kept.as_ref().and_then(Kept::take) {
            if !connection.is_ready().await {
                continue;
            }
            match self.exchange(connection, request()).await {
                Err(failure) if failure.crossed => break,
                ended => return ended.map_err(|f| f.reason),
            }
        }
        let connection = self.dialer.dial().await?;
        self.exchange(connection, request()).await.map_err(|f| f.reason)
    }

    async fn exchange(&self, connection: Connection, request: Request<Body>) -> Result<(Response<Incoming>, Held<'_>), Failure> {
        let mut held = Held { connection: Some(connection), kept: self.kept.as_ref() };
        let response = held.connection().ask(request).await?;
        Ok((response, held))
    }
}

/// A connection while it is asked. Only a complete answer lets it live on: an error or a timeout closes it.
pub(crate) struct Held<'a> {
    connection: Option<Connection>,
    kept: Option<&'a Kept>,
}

impl Held<'_> {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("held until kept")
    }

    /// The answer is complete: the connection may be asked again.
    pub(crate) fn keep(mut self) {
        if let (Some(kept), Some(connection)) = (self.kept, self.connection.take()) {
            kept.put(connection);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let (Some(kept), Some(connection)) = (self.kept, &self.connection) {
            kept.forget(connection);
        }
    }
}

/// Makes new connections to one server.
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(crate) http2: bool,
}

impl Dialer {
    pub(crate) async fn dial(&self) -> Result<Connection, String> {
        let began = Instant::now();
        let tcp = self.endpoint.connect().await?;
        let round_trip = began.elapsed();
        let (sender, driver) = match &self.tls {
            None => self.shake_hands(tcp).await?,
            Some((config, name)) => {
                let tls = TlsConnector::from(Arc::clone(config))
                    .connect(name.clone(), tcp)
                    .await
                    .map_err(|e| format!("TLS: {}", reason::of_io(&e)))?;
                if self.http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err("the server does not speak HTTP/2".into());
                }
                self.shake_hands(tls).await?
            }
        };
        Ok(Connection { sender, round_trip, driver: Arc::new(driver) })
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<(Sender, Driver), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(|e| of_hyper(&e))?;
            Ok((Sender::Two(sender), Driver::spawn(connection)))
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(|e| of_hyper(&e))?;
            Ok((Sender::One(sender), Driver::spawn(connection)))
        }
    }
}

/// The task that moves a connection's bytes. Dropping it closes the connection.
struct Driver(AbortHandle);

impl Driver {
    /// How a connection ends shows in the answers that it owes; its own result says no more.
    fn spawn<F>(connection: F) -> Self
    where
        F: Future<Output = hyper::Result<()>> + Send + 'static,
    {
        Self(tokio::spawn(connection).abort_handle())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// One connection. Dropped, it is closed: nothing of a question that was given up lives on.
pub(crate) struct Connection {
    sender: Sender,
    round_trip: Duration,
    driver: Arc<Driver>,
}

/// Why a connection gave no answer.
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// The server had closed the connection before it saw the question: not a failure of the user.
    pub(crate) crossed: bool,
}

impl Connection {
    /// Waits until a kept connection can be asked again; false: it has been closed.
    pub(crate) async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(s) => s.ready().await.is_ok(),
            Sender::Two(s) => s.ready().await.is_ok(),
        }
    }

    /// Asks, up to the head of the answer.
    ///
    /// A close that *crossed* the question on its way shows within one round trip after sending. A later one is the
    /// server dying while it worked, which a user would have felt.
    pub(crate) async fn ask(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let sent = Instant::now();
        let answer = match &mut self.sender {
            Sender::One(s) => s.try_send_request(request).await,
            Sender::Two(s) => s.try_send_request(request).await,
        };
        answer.map_err(|failed| {
            let soon = sent.elapsed() <= self.round_trip * 2 + CROSSING_GRACE;
            let unseen = failed.message().is_some();
            let error = failed.into_error();
            Failure { crossed: unseen || (soon && is_close(&error)), reason: of_hyper(&error) }
        })
    }
}

fn is_close(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || reason::of_cause(error).is_some_and(|r| r == "connection reset")
}

/// A hyper error in the words of a sample's reason.
pub(crate) fn of_hyper(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return "connection closed before the answer was complete".into();
    }
    if error.is_parse() {
        return "the answer is not HTTP".into();
    }
    reason::of_cause(error).unwrap_or_else(|| error.to_string())
}

/// The connections that wait for the next question, the longest unused first.
///
/// HTTP/1 keeps one for each question that was in flight at once, so never more than the prober allows. HTTP/2 keeps
/// one that all questions share.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<(Instant, Connection)>>);

impl Kept {
    /// A connection to ask on. A shared one stays here as well.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut kept = self.lock();
        loop {
            let (since, connection) = kept.pop_back()?;
            match &connection.sender {
                Sender::One(s) if !s.is_closed() => return Some(connection),
                Sender::Two(s) if !s.is_closed() => {
                    let shared = Connection {
                        sender: Sender::Two(s.clone()),
                        round_trip: connection.round_trip,
                        driver: Arc::clone(&connection.driver),
                    };
                    kept.push_back((since, connection));
                    return Some(shared);
                }
                _ => {}
            }
        }
    }

    /// Keeps a connection whose answer is complete.
    pub(crate) fn put(&self, connection: Connection) {
        let mut kept = self.lock();
        if matches!(connection.sender, Sender::One(_)) || kept.is_empty() {
            kept.push_back((Instant::now(), connection));
        }
        if kept.len() > 1 && kept.front().is_some_and(|(since, _)| since.elapsed() > UNUSED_MAX) {
            kept.pop_front();
        }
    }

    /// Stops sharing this connection: a question on it was given up, and the next one shall not inherit its fate.
    /// Questions still in flight on it go on.
    pub(crate) fn forget(&self, connection: &Connection) {
        if matches!(connection.sender, Sender::One(_)) {
            return;
        }
        self.lock().retain(|(_, kept)| !Arc::ptr_eq(&kept.driver, &connection.driver));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Connection)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
