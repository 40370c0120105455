//! The servers that were asked, and what they answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::net::redirect::{Origins, mark};

const PORT: u16 = 53;
/// Longer than any resolver waits for one server.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who would have been asked.
pub(super) struct Servers {
    /// None where the kernel keeps no table of connections that can be asked.
    origins: Option<Mutex<Origins>>,
    configured: Vec<IpAddr>,
}

impl Servers {
    pub(super) fn new(configured: Vec<IpAddr>) -> Self {
        Self { origins: Origins::open().ok().map(Mutex::new), configured }
    }

    /// The server that a datagram was meant for; else the first one that the target is told to ask.
    pub(super) fn of_datagram(&self, from: SocketAddr, here: SocketAddr) -> Option<SocketAddr> {
        let known = self.origins.as_ref().and_then(|origins| {
            let mut origins = origins.lock().unwrap_or_else(PoisonError::into_inner);
            origins.of_datagram(from, here).ok().flatten()
        });
        known.or_else(|| Some(SocketAddr::new(*self.configured.first()?, PORT)))
    }
}

/// The servers that a process is told to ask, as its own `resolv.conf` names them.
pub(super) fn configured(pid: i32) -> Vec<IpAddr> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/root/etc/resolv.conf")).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|address| address.trim().parse().ok()).collect()
}

/// Asks a server, and gives its answer as it is.
pub(super) async fn over_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::from_std(std::net::UdpSocket::from(ours(server, SocketType::DGRAM)?))?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = timeout(PATIENCE, socket.recv(&mut answer)).await??;
        // Another id is not an answer to this question, whoever sent it.
        if answer.get(..2) == question.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// Connects to a server.
pub(super) async fn over_tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(ours(server, SocketType::STREAM)?.into());
    timeout(PATIENCE, socket.connect(server)).await?
}

/// A socket whose packets are not led back to us.
fn ours(server: SocketAddr, kind: SocketType) -> io::Result<std::os::fd::OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    mark(&socket)?;
    Ok(socket)
}
