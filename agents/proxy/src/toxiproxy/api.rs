//! The API's own listener: HTTP/1.1 on TCP or on a Unix socket.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::collection::{ApiError, Collection};
use super::guard::refused;
use super::routes::{Answer, answer};
use crate::http::decoded;
use crate::serve::ServiceError;

/// The largest body that is read.
const BODY_MAX: usize = 1024 * 1024;

/// How long a connection may say nothing before the next request (Toxiproxy: `IdleTimeout`).
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiAddress {
    /// An address of this machine.
    Tcp(SocketAddr),
    /// A Unix socket: only this user may enter.
    Unix(PathBuf),
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The API, listening.
pub struct Api {
    listener: Listener,
    token: Option<Arc<str>>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn bind(address: &ApiAddress) -> io::Result<Self> {
        Ok(match address {
            ApiAddress::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            ApiAddress::Unix(path) => Self::Unix(bind_unix(path)?, path.clone()),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Api {
    /// Listens. Must be called on a runtime.
    ///
    /// # Errors
    /// If it cannot; or if others than this machine could reach it and there is no token.
    pub fn bind(address: &ApiAddress, token: Option<String>) -> Result<Self, ServiceError> {
        if let (ApiAddress::Tcp(address), None) = (address, &token)
            && !address.ip().is_loopback()
        {
            return Err(ServiceError::Unguarded(*address));
        }
        let listener = Listener::bind(address).map_err(|error| ServiceError::Api { address: address.clone(), error })?;
        Ok(Self { listener, token: token.map(Arc::from) })
    }

    /// Where it listens: the port is the one that the kernel gave, if none was asked for.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map(|a| format!("http://{a}")).unwrap_or_default(),
            Listener::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Serves until it is dropped.
    pub async fn serve(self, collection: Arc<Mutex<Collection>>) -> Infallible {
        loop {
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| self.spawn(stream, &collection)),
                Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| self.spawn(stream, &collection)),
            };
            if accepted.is_err() {
                // Out of descriptors, or the like: it passes.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn spawn(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, collection: &Arc<Mutex<Collection>>) {
        let (token, collection) = (self.token.clone(), Arc::clone(collection));
        let service = service_fn(move |request| {
            let (token, collection) = (token.clone(), Arc::clone(&collection));
            async move { Ok::<_, Infallible>(written(respond(request, token.as_deref(), &collection).await)) }
        });
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(SILENCE_MAX);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What a dead process left there is replaced; what lives is not.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn respond(request: Request<Incoming>, token: Option<&str>, collection: &Mutex<Collection>) -> Answer {
    if let Some(why) = refused(request.headers(), token) {
        return Answer::text(403, why);
    }
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Answer::error(&ApiError::bad_body(error)),
    };
    let path: Vec<String> = head.uri.path().trim_matches('/').split('/').map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut collection = collection.lock().unwrap_or_else(PoisonError::into_inner);
    answer(&mut collection, head.method.as_str(), &path, &body)
}

fn written(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    if !answer.kind.is_empty() {
        response = response.header("content-type", answer.kind);
    }
    response.body(Full::new(answer.body.into())).unwrap_or_default()
}
