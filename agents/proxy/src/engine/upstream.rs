//! What a proxy stands before.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

use chaos_core::literal::Address;
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::clock::Clock;
use super::limits::is_exhausted;
use crate::control::{place, state};

/// How often, and how long apart, a connection is tried again when this process has run out of something.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// So many proxies behind one another are followed.
const LONGEST_WAY: usize = 16;

/// What a proxy stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// One address. A name is looked up for each connection.
    Fixed(Address),
    /// Wherever the client wanted to go before the kernel redirected it.
    Original {
        /// The ports that are redirected.
        ports: Vec<u16>,
        /// The mark that the proxy's own connections bear, by which the redirect spares them.
        mark: u32,
    },
}

impl Upstream {
    /// Connects. Waits where this process has run out of descriptors: others end, and this one goes on.
    pub(super) async fn connect(&self, client: &TcpStream, clock: &Clock) -> io::Result<TcpStream> {
        for _ in 0..TRIES {
            match self.once(client).await {
                Err(error) if is_exhausted(&error) => clock.sleep(PAUSE).await,
                done => return done.and_then(|upstream| not_ourselves(upstream, client)),
            }
        }
        not_ourselves(self.once(client).await?, client)
    }

    /// Would a proxy that listens there stand before itself? Each of its connections would make another, without end.
    ///
    /// A name is looked up only where the ports are the same; one that is not known yet may still become known.
    pub(super) fn is(&self, listen: SocketAddr) -> bool {
        let Self::Fixed(to) = self else { return false };
        to.port() == listen.port()
            && (to.host(), to.port()).to_socket_addrs().is_ok_and(|mut all| all.any(|to| reaches(to.ip().to_canonical(), listen.ip())))
    }

    /// The proxies of this user through which what is sent to the upstream would come back to where a proxy listens; none: it does not.
    ///
    /// The last proxy of a ring is the one that is refused. Names and proxies that are not there yet lead nowhere.
    pub(super) fn comes_back_to(&self, listen: SocketAddr) -> Option<Vec<String>> {
        let Self::Fixed(first) = self else { return None };
        let (mut way, mut to) = (Vec::new(), first.clone());
        while way.len() < LONGEST_WAY {
            let at = (to.host(), to.port()).to_socket_addrs().ok()?.next()?;
            let everywhere = if at.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { IpAddr::from([0; 16]) };
            let there = [at.ip(), everywhere].into_iter().find_map(|ip| state(&place(SocketAddr::new(ip, at.port()))).ok())?;
            to = there.upstream.as_ref()?.parse().ok()?;
            way.push(there.listen);
            if Self::Fixed(to.clone()).is(listen) {
                return Some(way);
            }
        }
        None
    }

    async fn once(&self, client: &TcpStream) -> io::Result<TcpStream> {
        match self {
            Self::Fixed(to) => match to.host().parse() {
                Ok(ip) => TcpStream::connect(SocketAddr::new(ip, to.port())).await,
                Err(_) => first_of(lookup_host((to.host(), to.port())).await?).await,
            },
            Self::Original { mark, .. } => {
                let to = original(client)?;
                if to == client.local_addr()? {
                    return Err(io::Error::other("this connection was not redirected"));
                }
                let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                set_mark(&socket, *mark)?;
                socket.connect(to).await
            }
        }
    }
}

/// Is it plain, before any name is looked up, that a proxy would stand before itself?
pub(crate) fn is_itself(listen: &Address, upstream: &Address) -> bool {
    let ip = |address: &Address| match address.host() {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse().ok(),
    };
    let same = || ip(upstream).zip(ip(listen)).is_some_and(|(to, listen)| reaches(to.to_canonical(), listen));
    listen.port() == upstream.port() && listen.port() != 0 && (listen.host() == upstream.host() || same())
}

/// Is a socket that listens at `listen` reached by `to`, if the ports are the same?
fn reaches(to: IpAddr, listen: IpAddr) -> bool {
    let listen = listen.to_canonical();
    let every = match listen {
        // Every address of this machine; those that are not of the loopback are known only once one of them is connected to.
        IpAddr::V4(all) => all.is_unspecified() && to.is_ipv4(),
        IpAddr::V6(all) => all.is_unspecified(),
    };
    // To connect to "any" address is to connect to the loopback.
    to == listen || every && to.is_loopback() || to.is_unspecified() && (every || listen.is_loopback() && listen.is_ipv4() == to.is_ipv4())
}

/// Whatever was looked up, and wherever a listening socket is reached: who connects to where the client did, connects to this proxy.
fn not_ourselves(upstream: TcpStream, client: &TcpStream) -> io::Result<TcpStream> {
    let (to, here) = (upstream.peer_addr()?, client.local_addr()?);
    if to.port() == here.port() && to.ip().to_canonical() == here.ip().to_canonical() {
        return Err(io::Error::other("the proxy stands before itself"));
    }
    Ok(upstream)
}

async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Where a redirected connection was going (`SO_ORIGINAL_DST`).
fn original(client: &TcpStream) -> io::Result<SocketAddr> {
    Ok(match client.local_addr()? {
        SocketAddr::V4(_) => ip_original_dst(client)?.into(),
        SocketAddr::V6(_) => ipv6_original_dst(client)?.into(),
    })
}

#[allow(unsafe_code)]
fn set_mark(socket: &impl AsFd, mark: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let length = libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(4);
    // SAFETY: the descriptor is borrowed for the call, and the value is a `u32` of the length given, which is what SO_MARK reads.
    let done =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, std::ptr::from_ref(&mark).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_before_itself_is_known_by_its_addresses() {
        let itself = |listen: &str, upstream: &str| is_itself(&listen.parse().expect("an address"), &upstream.parse().expect("an address"));
        assert!(itself("127.0.0.1:80", "localhost:80"));
        assert!(itself("store:80", "store:80"));
        assert!(itself("0.0.0.0:80", "127.0.0.2:80"));
        assert!(itself("[::]:80", "127.0.0.1:80"));
        assert!(itself("127.0.0.1:80", "0.0.0.0:80"));
        assert!(!itself("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!itself("127.0.0.1:80", "localhost:81"));
        assert!(!itself("0.0.0.0:80", "10.1.2.3:80"), "of another machine, as far as anybody knows");
    }

    #[tokio::test]
    async fn whoever_connects_to_where_the_client_did_connects_to_itself() {
        let ours = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = ours.local_addr().expect("its address");
        let _client = TcpStream::connect(at).await.expect("it connects");
        let (client, _) = ours.accept().await.expect("it is accepted");
        let upstream = TcpStream::connect(at).await.expect("it connects");
        assert!(not_ourselves(upstream, &client).is_err());
        let upstream = TcpStream::connect(other.local_addr().expect("its address")).await.expect("it connects");
        assert!(not_ourselves(upstream, &client).is_ok());
    }
}
