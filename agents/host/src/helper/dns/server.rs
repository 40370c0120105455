//! Questions as they arrive, over UDP and TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Tally;
use super::forward::{Servers, over_tcp, over_udp};
use crate::net::lie::{Lie, Said};
use crate::net::redirect::meant_for;

/// Questions that are passed on, and connections, at once. What comes beyond is lost, as it is on a busy server.
const AT_ONCE: usize = 512;
/// What every resolver can take in a datagram (RFC 1035).
const DATAGRAM: usize = 512;
/// A connection on which nothing is asked for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// Without descriptors, connections wait in the queue of the kernel.
const BREATH: Duration = Duration::from_millis(50);

/// Answers falsely, or has others answer.
pub(super) struct Server {
    lie: Lie,
    servers: Servers,
    tally: Tally,
    room: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(lie: Lie, servers: Servers, tally: Tally) -> Self {
        Self { lie, servers, tally, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    fn said(&self, question: &[u8], most: usize) -> Said {
        self.tally.asked();
        let said = self.lie.answer_to(question, most);
        if said != Said::Truth {
            self.tally.answered();
        }
        said
    }

    pub(super) async fn serve_datagrams(self: Arc<Self>, socket: UdpSocket) {
        let Ok(here) = socket.local_addr() else { return };
        let socket = Arc::new(socket);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            // An error is of an answer that could not be delivered; the next question is another matter.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            match self.said(&buffer[..length], DATAGRAM) {
                Said::Silence => {}
                Said::Bytes(answer) => drop(socket.send_to(&answer, from).await),
                Said::Truth => {
                    let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { continue };
                    let Some(server) = self.servers.of_datagram(from, here) else { continue };
                    let (question, socket) = (buffer[..length].to_vec(), Arc::clone(&socket));
                    tokio::spawn(async move {
                        // A server that does not answer is not answered for.
                        if let Ok(answer) = over_udp(server, &question).await {
                            let _ = socket.send_to(&answer, from).await;
                        }
                        drop(room);
                    });
                }
            }
        }
    }

    pub(super) async fn serve_connections(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((connection, from)) = listener.accept().await else {
                sleep(BREATH).await;
                continue;
            };
            let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { continue };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                // Whoever asks sees what went wrong: the connection is closed.
                let _ = server.serve(connection, from).await;
                drop(room);
            });
        }
    }

    /// One question after the other, as they come on one connection.
    async fn serve(&self, mut connection: TcpStream, from: SocketAddr) -> io::Result<()> {
        let meant = meant_for(&connection, from.is_ipv6())?;
        let mut upstream: Option<TcpStream> = None;
        loop {
            let question = timeout(IDLE, message(&mut connection)).await??;
            match self.said(&question, usize::from(u16::MAX)) {
                Said::Silence => {}
                Said::Bytes(answer) => connection.write_all(&chaos_protocol::dns::framed(&answer)).await?,
                Said::Truth => {
                    let mut server = match upstream.take() {
                        Some(server) => server,
                        None => over_tcp(meant).await?,
                    };
                    server.write_all(&chaos_protocol::dns::framed(&question)).await?;
                    let answer = timeout(IDLE, message(&mut server)).await??;
                    connection.write_all(&chaos_protocol::dns::framed(&answer)).await?;
                    upstream = Some(server);
                }
            }
        }
    }
}

/// The next message of a connection: its length in two bytes, and itself.
async fn message(connection: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = connection.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    connection.read_exact(&mut bytes).await?;
    Ok(bytes)
}
