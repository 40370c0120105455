//! The data plane as a process: proxies, their control sockets and the API, until somebody ends it.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, ProxyConfig};
use crate::toxiproxy::{Api, ApiAddress, Collection, Declared};

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

/// Runs a service until SIGTERM or SIGINT. Once everything listens, `ready` is told each proxy by name and address, and the API's.
///
/// # Errors
/// If anything cannot listen; then nothing is left.
pub fn serve_api(service: Service, ready: impl FnOnce(&[(String, String)], Option<String>)) -> io::Result<()> {
    let mut collection = Collection::new(Engine::start()?);
    let mut listening = Vec::new();
    for proxy in service.proxies {
        let name = proxy.name.clone();
        let listen = collection.add(proxy).map_err(|e| io::Error::new(e.kind, format!("{name}: {e}")))?;
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
fn waiting(work: impl Future<Output = io::Result<Infallible>>) -> io::Result<()> {
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
