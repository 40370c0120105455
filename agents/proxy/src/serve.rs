//! The data plane as a process: proxies and their control sockets, until somebody ends it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, ProxyConfig};

/// Runs proxies until SIGTERM or SIGINT, and calls `ready` once all of them listen.
///
/// # Errors
/// If one cannot listen, its control socket cannot be made, or `ready` says so; then none is left.
pub fn serve(proxies: Vec<ProxyConfig>, ready: impl FnOnce(&Engine) -> io::Result<()>) -> io::Result<()> {
    let engine = Engine::start()?;
    for config in proxies {
        let listen = config.listen;
        engine.open(config).map_err(|e| io::Error::new(e.kind(), format!("listen on {listen}: {e}")))?;
    }
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    waiting.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        ready(&engine)?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        Ok(())
    })
}
