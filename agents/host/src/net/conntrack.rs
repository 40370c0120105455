//! What the kernel remembers of connections (`nf_conntrack`): where their packets were led, and where they were meant to go.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use chaos_core::fault::Reverted;
use rustix::io::Errno;

use super::flow::Protocol;
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{self, Attribute, Attributes, Message, NetlinkError, Reply, Socket};

const SUBSYSTEM: u16 = 1;
const NEW: u16 = SUBSYSTEM << 8;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
/// `struct nfgenmsg`.
const FIXED: usize = 4;

/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_STATUS`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
/// Within a tuple.
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;
/// Within its addresses; those of the destination follow.
const FROM_V4: u16 = 1;
const TO_V4: u16 = 2;
const FROM_V6: u16 = 3;
const TO_V6: u16 = 4;
/// Within its protocol.
const NUMBER: u16 = 1;
const FROM_PORT: u16 = 2;
const TO_PORT: u16 = 3;

/// `IPS_SEEN_REPLY`.
const ANSWERED: u32 = 1 << 1;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Packets from one socket to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// What is carried: TCP or UDP.
    pub(crate) protocol: Protocol,
    /// From there.
    pub(crate) from: SocketAddr,
    /// To there.
    pub(crate) to: SocketAddr,
}

/// A connection, or what is taken for one where the protocol has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As its first packet was sent.
    pub(crate) original: Tuple,
    /// As answers to it are sent: from where it was led, to whom it seems to come from.
    pub(crate) reply: Tuple,
    /// Was it ever answered?
    pub(crate) answered: bool,
}

impl Tuple {
    fn read(tuple: Attributes<'_>) -> Option<Self> {
        let (addresses, ends) = (tuple.within(ADDRESSES), tuple.within(PROTOCOL));
        let protocol = match *ends.get(NUMBER)?.value.first()? {
            TCP => Protocol::Tcp,
            UDP => Protocol::Udp,
            _ => return None,
        };
        let address = |v4: u16, v6: u16| addresses.get(v4).or_else(|| addresses.get(v6)).and_then(address);
        let end = |v4, v6, port| Some(SocketAddr::new(address(v4, v6)?, ends.get(port)?.be16()?));
        Some(Self { protocol, from: end(FROM_V4, FROM_V6, FROM_PORT)?, to: end(TO_V4, TO_V6, TO_PORT)? })
    }

    fn write(self, message: Message, kind: u16) -> Message {
        let number = if self.protocol == Protocol::Tcp { TCP } else { UDP };
        message.nested(kind, |m| {
            let m = m.nested(ADDRESSES, |m| match (self.from.ip(), self.to.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => m.bytes(FROM_V4, &from.octets()).bytes(TO_V4, &to.octets()),
                (IpAddr::V6(from), IpAddr::V6(to)) => m.bytes(FROM_V6, &from.octets()).bytes(TO_V6, &to.octets()),
                _ => m,
            });
            m.nested(PROTOCOL, |m| m.u8(NUMBER, number).be16(FROM_PORT, self.from.port()).be16(TO_PORT, self.to.port()))
        })
    }
}

fn address(attribute: Attribute<'_>) -> Option<IpAddr> {
    <[u8; 4]>::try_from(attribute.value).map(IpAddr::from).ok().or_else(|| <[u8; 16]>::try_from(attribute.value).map(IpAddr::from).ok())
}

impl Entry {
    fn read(reply: &Reply) -> Option<Self> {
        let attributes = reply.attributes(FIXED);
        Some(Self {
            original: Tuple::read(attributes.within(ORIGINAL))?,
            reply: Tuple::read(attributes.within(REPLY))?,
            answered: attributes.get(STATUS).and_then(Attribute::be32).unwrap_or(0) & ANSWERED != 0,
        })
    }
}

fn message(kind: u16, address: IpAddr) -> Message {
    const FAMILIES: [u8; 2] = [2, 10];
    Message::new(kind, 0).fixed(&[FAMILIES[usize::from(address.is_ipv6())], 0, 0, 0])
}

/// The connection whose answers are sent so, if there is one.
///
/// # Errors
/// If the kernel cannot be asked (`nf_conntrack_netlink`).
pub(crate) fn answered_by(socket: &mut Socket, reply: Tuple) -> Result<Option<Entry>, NetlinkError> {
    match socket.request(reply.write(message(GET, reply.from.ip()), REPLY)) {
        Ok(replies) => Ok(replies.iter().find_map(Entry::read)),
        Err(e) if e.errno == Errno::NOENT => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes the kernel forget connections of a namespace: the next packet of such a one is taken for its first. Where nobody has it remember
/// any, nothing is asked, and no module loaded. What cannot be done is told: it passes with time, at most some minutes.
pub(crate) fn forgotten(namespace: &Namespace, which: impl Fn(&Entry) -> bool + Send) -> Reverted {
    match namespace.run(|| forget(which)) {
        Ok(Ok(0)) | Err(NamespaceError::Gone { .. }) => Reverted::default(),
        Ok(Ok(count)) => Reverted::note(format!("{count} connections that it had led astray were forgotten by the kernel")),
        Ok(Err(e)) => astray(&e.to_string()),
        Err(e) => astray(&e.to_string()),
    }
}

fn astray(why: &str) -> Reverted {
    Reverted::note(format!("what began meanwhile may stay astray while it goes on, because the kernel cannot be made to forget it: {why}"))
}

/// What the namespace of this thread remembers, in entries of TCP and UDP. Where it remembers nothing, no module is loaded by asking.
fn remembered() -> Result<Option<(Socket, Vec<Entry>)>, NetlinkError> {
    let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or_default();
    if ["", "0"].contains(&count.trim()) {
        return Ok(None);
    }
    let mut socket = Socket::open(netlink::Protocol::Netfilter)?;
    let replies = socket.list(&Message::new(GET, 0).fixed(&[0; FIXED]))?;
    let entries = replies.iter().filter(|r| r.kind == NEW).filter_map(Entry::read).collect();
    Ok(Some((socket, entries)))
}

/// Where connections to this address are led instead, as far as the namespace of this thread remembers any.
pub(crate) fn stands_for(address: SocketAddr) -> BTreeSet<SocketAddr> {
    // Who may not ask may not filter, and is told so elsewhere.
    let entries = remembered().ok().flatten().map(|(_, entries)| entries).unwrap_or_default();
    let to_it = entries.iter().filter(|e| e.original.to == address && e.reply.from != address);
    to_it.map(|entry| entry.reply.from).collect()
}

fn forget(which: impl Fn(&Entry) -> bool) -> Result<u64, NetlinkError> {
    let Some((mut socket, entries)) = remembered()? else { return Ok(0) };
    let mut forgotten = 0;
    for entry in entries.into_iter().filter(which) {
        match socket.request(entry.original.write(message(DELETE, entry.original.from.ip()), ORIGINAL)) {
            Ok(_) => forgotten += 1,
            Err(e) if e.errno == Errno::NOENT => {}
            Err(e) => return Err(e),
        }
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::testing::elsewhere;

    /// As the address of a service is translated on a node of Kubernetes.
    #[test]
    fn what_stands_for_an_address_is_known_by_open_connections() {
        let Some(there) = elsewhere("what_stands_for_an_address_is_known_by_open_connections") else { return };
        let script = "ip address add 10.96.0.1/32 dev lo && nft add table ip services && \
            nft 'add chain ip services output { type nat hook output priority -100; }' && \
            nft add rule ip services output ip daddr 10.96.0.1 tcp dport 443 dnat to 127.0.0.1:6443";
        let done = there.command("sh").args(["-ec", script]).status().expect("a shell");
        assert!(done.success());
        there.run(|| {
            let service = SocketAddr::from(([10, 96, 0, 1], 443));
            assert_eq!(stands_for(service), BTreeSet::new());
            let listener = TcpListener::bind("127.0.0.1:6443").expect("a listener");
            let _open = TcpStream::connect(service).expect("connected");
            let endpoint = listener.local_addr().expect("its address");
            assert_eq!(stands_for(service), BTreeSet::from([endpoint]));
            assert_eq!(stands_for(endpoint), BTreeSet::new(), "it stands for itself");
        });
    }
}
