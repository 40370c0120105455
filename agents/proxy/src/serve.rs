//! The data plane as a process: proxies, their control sockets and the API, until somebody ends it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, ProxyConfig};
use crate::toxiproxy::{Api, ApiAddress, ApiError, Collection, Declared};

/// Runs proxies until SIGTERM or SIGINT, and calls `ready` once all of them listen.
///
/// # Errors
/// If one cannot listen, its control socket cannot be made, or `ready` says so; then none is left.
pub fn serve(proxies: Vec<ProxyConfig>, ready: impl FnOnce(&Engine) -> io::Result<()>) -> io::Result<()> {
    let engine = Engine::start()?;
    for config in proxies {
        let listen = config.listen;
        engine.open(config).map_err(|e| io::Error::new(e.kind(), format!("listen on {listen}: {e}")))?;
    }
    waiting(async {
        ready(&engine)?;
        Ok(std::future::pending().await)
    })
}

/// What a service is made of: proxies that have names, and the API by which they are changed.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Its proxies from the beginning.
    pub proxies: Vec<Declared>,
    /// Where its API listens, if it has one.
    pub api: Option<ApiAddress>,
    /// What requests to the API must bear. Not needed where only this machine can send any.
    pub token: Option<String>,
}

/// Why a service cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// One of its proxies cannot stand.
    #[error("{}", named(name, error))]
    Proxy {
        /// Its name.
        name: String,
        /// Why.
        error: ApiError,
    },
    /// Its API would listen to anybody.
    #[error("others than this machine could reach {0}, and the API asks nobody for a name")]
    Unguarded(SocketAddr),
    /// Its API cannot listen.
    #[error("the API at {address}: {error}")]
    Api {
        /// Where.
        address: ApiAddress,
        /// Why.
        error: io::Error,
    },
    /// The process lacks something that every service needs.
    #[error(transparent)]
    Process(#[from] io::Error),
}

/// A proxy of a command is called by its address, which what the system said names already.
fn named(name: &str, error: &ApiError) -> String {
    let error = error.to_string();
    if error.contains(name) { error } else { format!("{name}: {error}") }
}

impl ServiceError {
    /// What the system said.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Proxy { error, .. } => error.kind,
            Self::Unguarded(_) => io::ErrorKind::Other,
            Self::Api { error, .. } | Self::Process(error) => error.kind(),
        }
    }
}

/// Runs a service until SIGTERM or SIGINT. Once everything listens, `ready` is told each proxy by name and address, and the API's.
///
/// # Errors
/// If anything cannot listen; then nothing is left.
pub fn serve_api(service: Service, ready: impl FnOnce(&[(String, String)], Option<String>)) -> Result<(), ServiceError> {
    let mut collection = Collection::new(Engine::start()?);
    let mut listening = Vec::new();
    for proxy in service.proxies {
        let name = proxy.name.clone();
        let listen = collection.add(proxy).map_err(|error| ServiceError::Proxy { name: name.clone(), error })?;
        listening.extend(listen.map(|listen| (name, listen.to_string())));
    }
    waiting(async {
        let Some(address) = service.api else {
            ready(&listening, None);
            return Ok(std::future::pending().await);
        };
        let api = Api::bind(&address, service.token)?;
        ready(&listening, Some(api.address()));
        Ok(api.serve(Arc::new(Mutex::new(collection))).await)
    })
}

/// Does something until SIGTERM or SIGINT.
fn waiting<E: From<io::Error>>(work: impl Future<Output = Result<Infallible, E>>) -> Result<(), E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            done = work => match done? {},
            _ = term.recv() => Ok(()),
            _ = int.recv() => Ok(()),
        }
    })
}
