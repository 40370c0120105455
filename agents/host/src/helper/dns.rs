//! `chaos helper dns`: answers chosen names in a network namespace, and has the servers that were asked answer all others.
//!
//! It owns the table that leads questions to it (RULES 18), so its death heals: the next question goes where it always went.

mod forward;
mod server;
mod tally;

pub(crate) use tally::{Tally, tally_of};

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, UdpSocket};

use super::{Order, lifeline};
use crate::net::lie::Lie;
use crate::net::namespace::Namespace;
use crate::net::redirect::{Redirection, Transport, Whose};
use forward::Servers;
use server::Server;

/// `--namespace JSON --lie JSON`: answers for as long as it lives.
pub(super) fn run(order: &Order) -> io::Result<()> {
    let namespace: Namespace = read(order, "namespace")?;
    let lie: Lie = read(order, "lie")?;
    let tag = order.more.get("tag").and_then(|t| t.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    // What the target itself would ask, read before we are anywhere else.
    let configured = forward::configured(namespace.process.pid);
    // The first thread: every other is born in the namespace.
    namespace.enter().map_err(io::Error::other)?;
    lifeline::watch(order.deadline, |_| {});
    as_many_descriptors_as_may_be();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(answer(tag, lie, Servers::new(configured)))
}

fn read<T: DeserializeOwned>(order: &Order, key: &str) -> io::Result<T> {
    let text = order.more.get(key).and_then(|t| t.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    serde_json::from_str(text).map_err(io::Error::from)
}

async fn answer(tag: &str, lie: Lie, servers: Servers) -> io::Result<()> {
    let tally = Tally::new()?;
    let v4 = Landing::bind(Ipv4Addr::LOCALHOST.into()).await?;
    // Without IPv6 nobody can ask over it.
    let v6 = Landing::bind(Ipv6Addr::LOCALHOST.into()).await.ok();
    let led = redirection(tag, Some(v4.port), v6.as_ref().map(|l| l.port)).begin()?;
    tally.begin()?;
    let server = Arc::new(Server::new(lie, servers, tally));
    for landing in [Some(v4), v6].into_iter().flatten() {
        tokio::spawn(Arc::clone(&server).serve_datagrams(landing.datagrams));
        tokio::spawn(Arc::clone(&server).serve_connections(landing.connections));
    }
    // For ever: the watchers of the lifeline end the process, and with it the table.
    std::future::pending::<()>().await;
    drop(led);
    Ok(())
}

/// The questions that are led here.
pub(crate) fn redirection(tag: &str, to_v4: Option<u16>, to_v6: Option<u16>) -> Redirection<'_> {
    const PORTS: &[u16] = &[53];
    const TRANSPORTS: &[Transport] = &[Transport::Udp, Transport::Tcp];
    Redirection { tag, transports: TRANSPORTS, ports: PORTS, whose: Whose::FromThisHost, to_v4, to_v6 }
}

/// Where questions of one version of the internet protocol arrive: the same port for UDP and TCP.
struct Landing {
    port: u16,
    datagrams: UdpSocket,
    connections: TcpListener,
}

impl Landing {
    async fn bind(address: std::net::IpAddr) -> io::Result<Self> {
        const TRIES: usize = 20;
        let mut tried = 0;
        loop {
            tried += 1;
            let connections = TcpListener::bind(SocketAddr::new(address, 0)).await?;
            let port = connections.local_addr()?.port();
            match UdpSocket::bind(SocketAddr::new(address, port)).await {
                Ok(datagrams) => return Ok(Self { port, datagrams, connections }),
                Err(e) if tried == TRIES => return Err(e),
                Err(_) => {}
            }
        }
    }
}

/// Each question that is passed on holds one.
fn as_many_descriptors_as_may_be() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, fewer questions are passed on at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
