//! From a host to addresses, without ever blocking the prober or piling up threads behind a dead name server.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::reason;

/// Lookups of one question that may wait for the name server at once.
const LOOKUPS_MAX: usize = 4;

/// Where a probe connects to. A name is looked up for every new connection: its failure is a failure of the user.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    host: Arc<str>,
    port: u16,
    known: Option<SocketAddr>,
    lookups: Arc<Semaphore>,
}

impl Endpoint {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            known: host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port)),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    /// A new connection, to the first address that takes it. Small messages leave at once (no Nagle).
    pub(crate) async fn connect(&self) -> Result<TcpStream, String> {
        let mut last = format!("no address for {}", self.host);
        for address in self.addresses().await? {
            match connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }

    /// Its addresses: the one that is written, or what the resolver of this host says. The permit goes with the thread, not with this future, which may be dropped:
    /// so at most [`LOOKUPS_MAX`] threads ever wait.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = self.known {
            return Ok(vec![address]);
        }
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(|e| e.to_string())?;
        let (host, port) = (Arc::clone(&self.host), self.port);
        tokio::task::spawn_blocking(move || {
            let found = (&*host, port).to_socket_addrs();
            drop(permit);
            found.map(Iterator::collect).map_err(|e| format!("look up {host}: {e}"))
        })
        .await
        .map_err(|e| e.to_string())?
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| reason::of_io(&e))?;
    stream.set_nodelay(true).map_err(|e| reason::of_io(&e))?;
    Ok(stream)
}
