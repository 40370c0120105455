//! The listening socket: really closed while a toxic refuses connections, without anybody else being able to take its port.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::clock::Clock;
use super::connection::Accepted;
use super::limits::is_exhausted;
use super::live::Live;
use super::proxy::Proxy;
use super::worker::Workers;

/// Connections that may wait to be accepted: thousands arrive at once.
const BACKLOG: i32 = 4096;
/// How long nothing is accepted once this process has run out of descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// Binds and listens.
pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let mut socket = bound(at)?;
    // A port that the kernel chose is given back when listening stops; one that was asked for by its number is kept.
    if at.port() == 0 {
        socket = bound(TcpListener::from(socket.try_clone()?).local_addr()?)?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn bound(at: SocketAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &at)?;
    Ok(socket)
}

/// Accepts until the proxy is closed.
pub(crate) async fn accept(listener: TcpListener, proxy: Arc<Proxy>, workers: Arc<Workers>) -> io::Result<()> {
    let clock = Clock::start()?;
    loop {
        if !proxy.armory.wants_listener_closed() {
            let accepting = registered(listener.try_clone()?)?;
            tokio::select! {
                biased;
                () = proxy.armory.listener_wanted(true) => {}
                () = accept_all(&accepting, &proxy, &workers, &clock) => {}
            }
        }
        // Undone by listening again. What waits to be accepted is reset.
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Read)?;
        // Nobody may bind beside us while we do not listen; connections that are open would keep us from listening without it.
        set_socket_reuseaddr(&listener, false)?;
        proxy.armory.listener_wanted(false).await;
        set_socket_reuseaddr(&listener, true)?;
        while rustix::net::listen(&listener, BACKLOG).is_err() {
            clock.sleep(PAUSE).await;
        }
    }
}

#[allow(unsafe_code)]
fn registered(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` always names the same open descriptor, and closes it only when the `AsyncFd` that owns it, and
    // deregisters it first, is dropped.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.map_err(io::Error::from)
}

async fn accept_all(listener: &AsyncFd<TcpListener>, proxy: &Proxy, workers: &Workers, clock: &Clock) {
    while let Some(room) = workers.room().await {
        let client = loop {
            let Ok(mut ready) = listener.readable().await else { return };
            match ready.try_io(|listener| listener.get_ref().accept()) {
                Ok(Ok((client, _))) => break client,
                Ok(Err(error)) if is_exhausted(&error) => clock.sleep(PAUSE).await,
                // The client has gone already, or there was nobody.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {}
                // What lasts must not keep this thread busy.
                Ok(Err(_)) => clock.sleep(PAUSE).await,
            }
        };
        if client.set_nonblocking(true).is_ok() {
            let number = proxy.armory.connections.fetch_add(1, Ordering::Relaxed);
            let live = Live::new(Arc::clone(&proxy.armory), number);
            workers.give(Accepted {
                client,
                upstream: Arc::clone(&proxy.upstream),
                speaks: proxy.speaks,
                tls: proxy.tls.clone(),
                live,
                room,
            });
        }
    }
}
