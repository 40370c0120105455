//! Connections: dialled, asked, kept alive, closed.

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

type Body = Full<Bytes>;

/// What one round trip may take beyond twice the time of connecting, before a close counts as an answer of the server.
const CROSSING_GRACE: Duration = Duration::from_millis(1);
/// A kept connection that was not needed for so long is closed: what an outage left over does not stay for ever.
const UNUSED_MAX: Duration = Duration::from_secs(10);

/// Makes new connections to one server.
pub(super) struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) http2: bool,
}

impl Dialer {
    pub(super) async fn dial(&self) -> Result<Connection, String> {
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
pub(super) struct Connection {
    sender: Sender,
    round_trip: Duration,
    driver: Arc<Driver>,
}

/// Why a connection gave no answer.
pub(super) struct Failure {
    pub(super) reason: String,
    /// The server had closed the connection before it saw the question: not a failure of the user.
    pub(super) crossed: bool,
}

impl Connection {
    /// Waits until a kept connection can be asked again; false: it has been closed.
    pub(super) async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(s) => s.ready().await.is_ok(),
            Sender::Two(s) => s.ready().await.is_ok(),
        }
    }

    /// Asks, up to the head of the answer.
    ///
    /// A close that *crossed* the question on its way shows within one round trip after sending. A later one is the
    /// server dying while it worked, which a user would have felt.
    pub(super) async fn ask(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
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
pub(super) fn of_hyper(error: &hyper::Error) -> String {
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
pub(super) struct Kept(Mutex<VecDeque<(Instant, Connection)>>);

impl Kept {
    /// A connection to ask on. A shared one stays here as well.
    pub(super) fn take(&self) -> Option<Connection> {
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
    pub(super) fn put(&self, connection: Connection) {
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
    pub(super) fn forget(&self, connection: &Connection) {
        if matches!(connection.sender, Sender::One(_)) {
            return;
        }
        self.lock().retain(|(_, kept)| !Arc::ptr_eq(&kept.driver, &connection.driver));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Connection)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
