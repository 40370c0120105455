//! The data plane: listening sockets, workers, and a line for each direction of each connection.
//!
//! ```text
//!            listener ── gives connections in turn to ──▶ workers (a thread, a runtime, a clock each)
//! client ──▶ Source ──▶ layer of what the proxy speaks ──▶ Line ──▶ upstream
//!        ◀── Line   ◀──        (bytes or messages)     ◀── Source ◀──
//! ```
//!
//! Both directions of a connection are one task. Toxics on messages act in the layer, toxics on bytes in the lines, toxics on whole
//! connections around both. Every change of what is in force wakes every connection.

mod chance;
mod clock;
mod connection;
mod down;
mod limits;
mod line;
mod listener;
mod live;
mod proxy;
mod queue;
mod source;
mod tls;
mod upstream;
mod worker;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

pub use chance::{Chance, seed_of};
pub use clock::{Alarm, Clock};
pub use connection::Connection;
pub use down::nobody_at;
pub use line::{Finish, Line};
pub use live::{Live, Unreachable};
pub(crate) use proxy::MOST_TOXICS;
pub use proxy::Proxy;
pub use source::{Source, copy};
pub use tls::Tls;
pub(crate) use tls::{Inside, Wire};
pub use upstream::Upstream;
pub(crate) use upstream::is_itself;

use crate::control;
use crate::toxic::Speaks;
use live::Armory;
use worker::Workers;

/// What a proxy is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Where it listens; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// What it stands before.
    pub upstream: Upstream,
    /// What it speaks.
    pub speaks: Speaks,
}

/// A running data plane. Dropping it ends every proxy and its connections.
pub struct Engine {
    workers: Arc<Workers>,
    runtime: Handle,
    _stop: tokio::sync::oneshot::Sender<()>,
    proxies: Mutex<Vec<Arc<Proxy>>>,
}

impl Engine {
    /// Starts the threads; no proxy yet. Raises this process's limit of open files as far as it goes.
    ///
    /// # Errors
    /// If no thread or runtime can be made.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("proxy-control".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { workers: Arc::new(Workers::start(cores)?), runtime: handle, _stop: stop, proxies: Mutex::default() })
    }

    /// Opens a proxy: it listens, and can be controlled, when this returns.
    ///
    /// # Errors
    /// If its address cannot be listened on or is its upstream too, or its control socket cannot be made.
    pub fn open(&self, config: ProxyConfig) -> io::Result<Arc<Proxy>> {
        self.open_with(config, None)
    }

    /// The same, where TLS ends at the proxy.
    ///
    /// # Errors
    /// As [`open`](Self::open); and if the proxy does not speak HTTP.
    pub fn open_with(&self, config: ProxyConfig, tls: Option<Tls>) -> io::Result<Arc<Proxy>> {
        if tls.is_some() && !config.speaks.is_http() {
            let message = format!("TLS ends only at a proxy that speaks http, sse or s3; this one speaks {}", config.speaks.word());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = listener::listen(config.listen)?;
        if config.upstream.is(listener.local_addr()?) {
            let message = "its upstream is its own address: the proxy would stand before itself";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if let Some(way) = config.upstream.comes_back_to(listener.local_addr()?) {
            let message = format!("its upstream leads back to it, through {}: connections would go round for ever", way.join(", then "));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let second = match &config.upstream {
            // A host without IPv6 has no connections of it.
            Upstream::Original { .. } => listener::listen((Ipv6Addr::UNSPECIFIED, 0).into()).ok(),
            Upstream::Fixed(_) => None,
        };
        let proxy = Arc::new(Proxy {
            listen: listener.local_addr()?,
            listen_v6: second.as_ref().and_then(|second| second.local_addr().ok()),
            upstream: Arc::new(config.upstream),
            speaks: config.speaks,
            tls: tls.map(Arc::new),
            armory: Arc::new(Armory::new()),
            tasks: Mutex::default(),
        });
        let mut tasks = {
            let _runtime = self.runtime.enter();
            vec![control::serve(&proxy)?]
        };
        for listener in std::iter::once(listener).chain(second) {
            let (accepting, workers) = (Arc::clone(&proxy), Arc::clone(&self.workers));
            tasks.push(self.runtime.spawn(async move {
                tokio::select! {
                    () = accepting.armory.closed() => {}
                    _ = listener::accept(listener, Arc::clone(&accepting), workers) => {}
                }
            }));
        }
        *proxy.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&proxy));
        Ok(proxy)
    }

    /// Closes a proxy and ends its connections. Its address is free when this returns.
    pub fn close(&self, proxy: &Arc<Proxy>) {
        proxy.armory.close();
        proxy.wait_until_closed();
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).retain(|p| !Arc::ptr_eq(p, proxy));
    }

    /// Every open proxy.
    #[must_use]
    pub fn proxies(&self) -> Vec<Arc<Proxy>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for proxy in self.proxies() {
            self.close(&proxy);
        }
    }
}
