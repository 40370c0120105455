//! Connections led to a port of this host, with where they were meant to go kept for whoever listens there.
//!
//! The table belongs to the process that listens (RULES 18): when that ends, however it ends, connections go where they always went.
//! So there is no redirect on a kernel whose tables have no owners: what leads to nobody is an outage.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use chaos_core::target::ProcessId;
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};

use super::conntrack::{self, Tuple};
use super::flow::{Family, Protocol};
use super::namespace::Namespace;
use super::netlink::{NetlinkError, Socket};
use super::nftables::{self, At, Chain, Kind, Match, Ownership, Rule, Ruleset, TCP, Then, UDP};

/// Before every other translation of addresses (`NF_IP_PRI_NAT_DST` is -100), so that those still apply to what the listener sends on.
const PRIORITY: i32 = -110;

/// The mark of our own connections (`SO_MARK`), which no redirect of ours leads anywhere. In bits at which neither kube-proxy (0x4000,
/// 0x8000) nor Cilium (0x0f00), Calico (0xffff0000), Tailscale (0xff0000) or the VPC networks of AWS (0x80) look.
pub const MARK: u32 = 0x45;

/// What is led elsewhere, and to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirection<'a> {
    /// The injection's tag: the table's name.
    pub tag: &'a str,
    /// The protocols meant.
    pub transports: &'a [Transport],
    /// Connections to these ports.
    pub ports: &'a [u16],
    /// Which of them.
    pub whose: Whose,
    /// The port that listens for those of IPv4, on the loopback address and, for [`Whose::ToThisHost`], on all others. None: they are left alone.
    pub to_v4: Option<u16>,
    /// The same for those of IPv6.
    pub to_v6: Option<u16>,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Which connections of a network namespace are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those to an address of this host, whoever makes them.
    ToThisHost,
    /// Those that processes of this namespace make, wherever they go.
    FromThisHost,
}

impl Redirection<'_> {
    fn ruleset(&self) -> Ruleset {
        let spared = Rule::new([Match::Mark(MARK)], Then::Accept);
        let output = std::iter::once(spared).chain(self.rules()).collect();
        let mut chains = vec![Chain::base("output", Kind::Translate, At::Output, PRIORITY, output)];
        if self.whose == Whose::ToThisHost {
            chains.push(Chain::base("prerouting", Kind::Translate, At::Prerouting, PRIORITY, self.rules()));
        }
        Ruleset { tag: self.tag.to_owned(), chains }
    }

    fn rules(&self) -> Vec<Rule> {
        let landings = [(Family::Ipv4, self.to_v4), (Family::Ipv6, self.to_v6)];
        let landings = landings.into_iter().filter_map(|(family, port)| Some((family, port?)));
        landings.flat_map(|(family, to)| self.transports.iter().flat_map(move |transport| self.of(family, *transport, to))).collect()
    }

    fn of(&self, family: Family, transport: Transport, to: u16) -> impl Iterator<Item = Rule> {
        let number = match transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        };
        let here = (self.whose == Whose::ToThisHost).then_some(Match::ToThisHost);
        self.ports.iter().map(move |port| {
            let mut when = vec![Match::Family(family), Match::Protocol(number), Match::DestinationPort((*port).into())];
            when.extend(here.clone());
            Rule::new(when, Then::Redirect(to)).counted()
        })
    }

    /// Would the kernel do it, in the network namespace of this thread? Nothing is changed.
    ///
    /// # Errors
    /// What the kernel refuses; [`io::ErrorKind::Unsupported`] where it cannot be bound to the life of a process.
    pub fn rehearse(&self) -> io::Result<()> {
        let mut socket = nftables::open().map_err(told)?;
        match nftables::rehearse(&mut socket, &self.ruleset()).map_err(told)? {
            Ownership::Owned => Ok(()),
            Ownership::Ordinary => {
                let why = "tables of nftables have no owner in this kernel (Linux 5.12 has them): a redirect would outlive who listens";
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
        }
    }

    /// Begins to lead connections to the port, in the network namespace of this thread. Connections that exist are left alone.
    ///
    /// # Errors
    /// As [`Redirection::rehearse`].
    pub fn begin(&self) -> io::Result<Redirected> {
        let mut socket = nftables::open().map_err(told)?;
        nftables::make(&mut socket, &self.ruleset(), Ownership::Owned).map_err(told)?;
        Ok(Redirected { socket, tag: self.tag.to_owned() })
    }
}

fn told(error: NetlinkError) -> io::Error {
    io::Error::new(io::Error::from(error.errno).kind(), error)
}

/// A redirect in force, for as long as this value and its process live.
#[derive(Debug)]
pub struct Redirected {
    socket: Socket,
    tag: String,
}

impl Redirected {
    /// How many connections were led to the port.
    ///
    /// # Errors
    /// If the kernel cannot be asked; [`io::ErrorKind::NotFound`] if the redirect is no more.
    pub fn met(&mut self) -> io::Result<u64> {
        let seen = nftables::seen(&mut self.socket, &self.tag).map_err(told)?;
        seen.map(|seen| seen.packets).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Moves the calling thread, and whatever it starts, into the network namespace of a process, for good. For a program that is to listen
/// there, before it starts any other thread. Needs CAP_SYS_ADMIN, save for the namespace that it lives in.
///
/// # Errors
/// If the process has ended, or its namespace may not be entered.
pub fn enter_namespace_of(process: ProcessId) -> io::Result<()> {
    Namespace::of(process).and_then(|namespace| namespace.enter()).map_err(io::Error::other)
}

impl Drop for Redirected {
    fn drop(&mut self) {
        // The kernel removes it with the socket. But a child that is just being started holds a copy of that for a moment.
        if let Ok(Some(table)) = nftables::named(&mut self.socket, &self.tag) {
            let _ = nftables::remove(&mut self.socket, &table);
        }
    }
}

/// Where a TCP connection that was led here was meant to go.
///
/// # Errors
/// If it was not led here.
pub fn meant_for(connection: impl AsFd, of_v6: bool) -> io::Result<SocketAddr> {
    Ok(if of_v6 { SocketAddr::V6(ipv6_original_dst(connection)?) } else { SocketAddr::V4(ip_original_dst(connection)?) })
}

/// Marks what a socket sends as ours ([`MARK`]). Needs CAP_NET_ADMIN.
///
/// # Errors
/// If that is not allowed.
#[allow(unsafe_code)]
pub fn mark(socket: impl AsFd) -> io::Result<()> {
    let (value, size) = (MARK, u32::try_from(size_of::<u32>()).unwrap_or(4));
    // SAFETY: the descriptor is open; the kernel reads `size` bytes from a value that lives through the call.
    let done = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, (&raw const value).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks the kernel's table of connections where datagrams that were led here were meant to go.
#[derive(Debug)]
pub(crate) struct Origins {
    socket: Socket,
}

impl Origins {
    /// Of the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel has no nfnetlink.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: nftables::open().map_err(told)? })
    }

    /// Where a datagram that `from` sent was meant to go, when it arrived at `here`. `None`: it was not led here.
    ///
    /// # Errors
    /// If the kernel keeps no such table, or cannot be asked (`nf_conntrack_netlink`).
    pub(crate) fn of_datagram(&mut self, from: SocketAddr, here: SocketAddr) -> io::Result<Option<SocketAddr>> {
        let reply = Tuple { protocol: Protocol::Udp, from: here, to: from };
        conntrack::answered_by(&mut self.socket, reply).map(|found| found.map(|entry| entry.original.to)).map_err(told)
    }
}

#[cfg(test)]
mod tests;
