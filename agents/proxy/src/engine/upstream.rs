//! What a proxy stands before.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use chaos_core::literal::Address;
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::clock::Clock;
use super::limits::is_exhausted;

/// How often, and how long apart, a connection is tried again when this process has run out of something.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

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
                done => return done,
            }
        }
        self.once(client).await
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
