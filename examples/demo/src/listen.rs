//! Listening sockets with a backlog that survives a freeze.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::failure::Failure;

/// Connections that the kernel may accept on behalf of a process that is not looking. Generous, so
/// that a frozen part goes on *looking* alive for minutes, as real servers do.
const BACKLOG: u32 = 4096;

/// How long to wait after a failed accept (out of descriptors, most often) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Opens a listening socket.
pub(crate) fn open(address: SocketAddr) -> Result<TcpListener, Failure> {
    bind(address).map_err(|source| Failure::Listen { address, source })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts the next connection, however long that takes.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for the acknowledgement of the ones before.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
