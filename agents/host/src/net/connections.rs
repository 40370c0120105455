//! The TCP connections of a namespace, listed and destroyed through `sock_diag`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;

use super::link;
use super::netlink::{Message, NetlinkError, Protocol, Socket};

const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
const TCP: u8 = 6;
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
/// ESTABLISHED, and those that one side has closed: FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT. A bit each, by number.
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8;
/// `struct inet_diag_sockid`.
const ID: usize = 48;

/// One side of a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The address of this side.
    pub(crate) local: SocketAddr,
    /// The address of the other.
    pub(crate) remote: SocketAddr,
    /// Its number, never given again until the next boot.
    pub(crate) cookie: u64,
    family: u8,
    id: [u8; ID],
}

impl Connection {
    /// Of `struct inet_diag_msg`.
    fn read(body: &[u8]) -> Option<Self> {
        let family = *body.first()?;
        let id: [u8; ID] = *body.get(4..)?.first_chunk()?;
        let port = |at: usize| u16::from_be_bytes([id[at], id[at + 1]]);
        let address = |at: usize| {
            let bytes: [u8; 16] = *id.get(at..)?.first_chunk()?;
            let [a, b, c, d, ..] = bytes;
            // A socket of version 6 that carries version 4 is told as what it carries.
            Some(if family == FAMILIES[0] { IpAddr::from([a, b, c, d]) } else { Ipv6Addr::from(bytes).to_canonical() })
        };
        Some(Self {
            local: SocketAddr::new(address(4)?, port(0)),
            remote: SocketAddr::new(address(20)?, port(2)),
            cookie: u64::from_ne_bytes(*id.get(40..)?.first_chunk()?),
            family,
            id,
        })
    }
}

/// All established connections of the namespace of this thread, each side that is here.
///
/// # Errors
/// If the kernel cannot list them.
pub(crate) fn established() -> Result<Vec<Connection>, NetlinkError> {
    let mut socket = Socket::open(Protocol::SocketDiagnosis)?;
    let mut all = Vec::new();
    for family in FAMILIES {
        let replies = socket.list(&Message::new(BY_FAMILY, 0).fixed(&request(family, STATES, &[0; ID])))?;
        all.extend(replies.iter().filter_map(|reply| Connection::read(&reply.body)));
    }
    Ok(all)
}

/// Can this kernel destroy connections at all (`CONFIG_INET_DIAG_DESTROY`), and may we? Asked of one that does not exist, of which it says
/// so to everybody.
///
/// # Errors
/// If it cannot, or we may not (CAP_NET_ADMIN).
pub(crate) fn can_destroy() -> Result<(), NetlinkError> {
    link::may_change(&mut Socket::open(Protocol::Route)?)?;
    let mut nobody = [0; ID];
    nobody[40..].fill(0xFE);
    let mut socket = Socket::open(Protocol::SocketDiagnosis)?;
    match socket.request(Message::new(DESTROY, 0).fixed(&request(FAMILIES[0], u32::MAX, &nobody))) {
        Err(e) if e.errno == Errno::NOENT => Ok(()),
        other => other.map(drop),
    }
}

/// Destroys connections: their processes are told at once, the other side by a reset. Gives how many it destroyed; whatever ended meanwhile is
/// not among them.
///
/// # Errors
/// What the kernel refuses.
pub(crate) fn destroy<'a>(
    connections: impl IntoIterator<Item = &'a Connection>,
    mut go_on: impl FnMut() -> bool,
) -> Result<u64, NetlinkError> {
    let mut socket = Socket::open(Protocol::SocketDiagnosis)?;
    let mut destroyed = 0;
    for connection in connections {
        if !go_on() {
            break;
        }
        match socket.request(Message::new(DESTROY, 0).fixed(&request(connection.family, u32::MAX, &connection.id))) {
            Ok(_) => destroyed += 1,
            Err(e) if e.errno == Errno::NOENT => {}
            Err(e) => return Err(e),
        }
    }
    Ok(destroyed)
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    [&[family, TCP, 0, 0][..], &states.to_ne_bytes(), id].concat()
}

#[cfg(test)]
mod tests;
