//! The way to one replica: HTTP/1.1 connections, kept alive and used one request at a time.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::web;

/// Idle connections kept to one replica.
const IDLE_MAX: usize = 32;

type Connection = SendRequest<Full<Bytes>>;

/// Why a replica did not answer. (That it is merely slow is for the caller to notice: give up by
/// dropping the future, and the connection with the late answer is dropped with it.)
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke: {0}")]
    Exchange(#[source] hyper::Error),
    #[error("{0}")]
    Body(String),
}

/// A replica's address with the connections to it.
pub(crate) struct Upstream {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Upstream {
    /// Nothing is connected before the first request.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// Where the replica listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks over a connection kept alive, or over a new one where there is none. A kept connection
    /// that turns out to be broken proves nothing about the replica, so the next one is tried;
    /// inferences change nothing, so asking twice is harmless.
    pub(crate) async fn ask(&self, method: Method, path: &'static str, body: Bytes) -> Result<(StatusCode, Bytes), Broken> {
        while let Some(connection) = self.take() {
            let answer = self.exchange(connection, method.clone(), path, body.clone()).await;
            if !matches!(answer, Err(Broken::Exchange(_))) {
                return answer;
            }
        }
        self.ask_anew(method, path, body).await
    }

    /// Asks over a new connection.
    pub(crate) async fn ask_anew(&self, method: Method, path: &'static str, body: Bytes) -> Result<(StatusCode, Bytes), Broken> {
        let stream = TcpStream::connect(self.address).await.map_err(Broken::Connect)?;
        stream.set_nodelay(true).map_err(Broken::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Broken::Exchange)?;
        // Ends when the sender is dropped or the replica hangs up.
        tokio::spawn(async { drop(connection.await) });
        self.exchange(sender, method, path, body).await
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        method: Method,
        path: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Broken> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = http::Uri::from_static(path);
        if let Ok(host) = header::HeaderValue::from_str(&self.address.to_string()) {
            request.headers_mut().insert(header::HOST, host);
        }
        connection.ready().await.map_err(Broken::Exchange)?;
        let answer = connection.send_request(request).await.map_err(Broken::Exchange)?;
        let status = answer.status();
        let body = web::read(answer.into_body()).await.map_err(Broken::Body)?;
        self.keep(connection);
        Ok((status, body))
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_closed())
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX && !connection.is_closed() {
            idle.push(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
