//! The proxy's side of its control socket.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chaos_core::clock::Boot;
use rustix::process::geteuid;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::place::{self, place_of};
use super::{Answer, Ask, LONGEST_LINE, State};
use crate::engine::{MOST_TOXICS, Proxy};

/// How many may speak at once: whoever armed a toxic keeps its connection, and others are still to be heard.
const MOST: usize = 2 * MOST_TOXICS;

/// A connection that holds no toxic and says nothing for so long makes room for others.
const IDLE: Duration = Duration::from_secs(60);

/// After this long somebody listens on a socket that was made, or nobody ever will.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(60);

/// The socket of a proxy; its file goes with it.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl ControlSocket {
    /// Binds the socket of a proxy. Whoever listens at the address owns the name: what a dead process left there is replaced.
    fn bind(proxy: &Proxy) -> io::Result<Self> {
        clear(&place::made()?);
        let path = place_of(proxy);
        if path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket()) {
            std::fs::remove_file(&path)?;
        }
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what killed proxies left. One that has just been made may not be listened on yet.
fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        let nobody = || std::os::unix::net::UnixStream::connect(entry.path()).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if age.is_some_and(|age| age > SETTLED) && nobody() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Serves a proxy's control socket until the proxy is closed. Must be called on a runtime.
pub(crate) fn serve(proxy: &Arc<Proxy>) -> io::Result<JoinHandle<()>> {
    let socket = ControlSocket::bind(proxy)
        .map_err(|e| io::Error::new(e.kind(), format!("make the control socket {}: {e}", place_of(proxy).display())))?;
    let proxy = Arc::clone(proxy);
    Ok(tokio::spawn(async move {
        let closing = Arc::clone(&proxy);
        tokio::select! {
            () = closing.closed() => {}
            () = accept(&socket, proxy) => {}
        }
        drop(socket);
    }))
}

async fn accept(socket: &ControlSocket, proxy: Arc<Proxy>) {
    debug_assert!(socket.path().is_absolute());
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        // One too many waits until another has gone.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match socket.listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move {
                    Session { proxy, armed: Vec::new(), idle: IDLE }.serve(stream).await;
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// This user, or root.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}

/// One connection. What it armed goes with it.
struct Session {
    proxy: Arc<Proxy>,
    armed: Vec<Held>,
    /// [`IDLE`], or less in a test.
    idle: Duration,
}

/// A toxic that a connection holds.
struct Held {
    id: String,
    until: Option<Boot>,
}

impl Session {
    async fn serve(&mut self, stream: UnixStream) {
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::new(from);
        while let Some(line) = self.line(&mut from).await {
            let answer = match serde_json::from_slice(&line) {
                Ok(ask) => self.answer(ask),
                Err(error) => Answer::Refused { message: format!("not understood: {error}"), hint: None },
            };
            let Ok(mut text) = serde_json::to_vec(&answer) else { return };
            text.push(b'\n');
            if to.write_all(&text).await.is_err() {
                return;
            }
        }
    }

    /// The next line; none: the other side closed, or does not speak as it should. Ends what has had its time meanwhile.
    async fn line(&mut self, from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let mut rest = (&mut *from).take((LONGEST_LINE - line.len()) as u64);
            let read = rest.read_until(b'\n', &mut line);
            // Dropped half-way, reading has kept what it read in `line`.
            match tokio::time::timeout(self.next_end(), read).await {
                Ok(Ok(1..)) if line.last() == Some(&b'\n') => return Some(line),
                Ok(_) => return None,
                Err(_) if self.armed.is_empty() => return None,
                Err(_) => self.end(),
            }
        }
    }

    /// How long until something has had its time, or until nobody is waited for any longer. Boot time runs on while the machine sleeps and this timer does not: look often.
    fn next_end(&self) -> Duration {
        let first = self.armed.iter().filter_map(|held| held.until).min();
        let nothing = if self.armed.is_empty() { self.idle } else { Duration::MAX };
        first.map_or(nothing, |first| first.from_now().clamp(Duration::from_millis(1), Duration::from_secs(1)))
    }

    fn end(&mut self) {
        let (now, proxy) = (Boot::now(), &self.proxy);
        self.armed.retain(|held| {
            let lives = held.until.is_none_or(|until| until > now);
            if !lives {
                proxy.disarm(&held.id);
            }
            lives
        });
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        let done = match ask {
            Ask::State => return Answer::State(State::of(&self.proxy)),
            Ask::Arm { id, kind, with, until } => self.proxy.arm(&id, &kind, &with).map(|()| self.armed.push(Held { id, until })),
            Ask::Adjust { id, with } => self.proxy.adjust(&id, &with),
            Ask::Disarm { id } => {
                self.proxy.disarm(&id);
                self.armed.retain(|held| held.id != id);
                Ok(())
            }
        };
        match done {
            Ok(()) => Answer::Done,
            Err(e) if e.path.is_empty() => Answer::Refused { message: e.message, hint: e.hint },
            Err(e) => Answer::Refused { message: format!("{}: {}", e.path, e.message), hint: e.hint },
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for held in &self.armed {
            self.proxy.disarm(&held.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::{Engine, ProxyConfig, Upstream};
    use crate::toxic::Speaks;

    #[tokio::test]
    async fn who_holds_nothing_and_says_nothing_makes_room() {
        let engine = Engine::start().expect("an engine");
        let upstream = Upstream::Fixed("127.0.0.1:9".parse().expect("an address"));
        let config = ProxyConfig { listen: ([127, 0, 0, 1], 0).into(), upstream, speaks: Speaks::Tcp };
        let proxy = engine.open(config).expect("it opens");
        let begun = |proxy: &Arc<Proxy>| {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let mut session = Session { proxy: Arc::clone(proxy), armed: Vec::new(), idle: Duration::from_millis(100) };
            (ours, tokio::spawn(async move { session.serve(theirs).await }))
        };
        let (_silent, session) = begun(&proxy);
        tokio::time::timeout(Duration::from_secs(60), session).await.expect("it ends").expect("in good order");
        let (mut holding, session) = begun(&proxy);
        let arm = Ask::Arm { id: "a".into(), kind: "tcp.latency".into(), with: json!({"delay": "1ms"}), until: None };
        holding.write_all(&[serde_json::to_vec(&arm).expect("a line"), b"\n".to_vec()].concat()).await.expect("it is asked");
        assert!(tokio::time::timeout(Duration::from_secs(1), session).await.is_err(), "its toxic is held by it");
        assert_eq!(proxy.toxics().len(), 1);
    }
}
