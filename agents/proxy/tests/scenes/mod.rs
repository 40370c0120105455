//! Something to proxy, made fresh by the tests: an upstream, a proxy before it, and eyes that know nothing of either.

#![allow(clippy::print_stderr, reason = "what was not covered is said")]
#![allow(dead_code, reason = "each test file uses its share")]

pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod tcp;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chaos_core::target::{Facets, Identity, ProxyFacet, Target};
use chaos_proxy::control::place;
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Upstream};

/// One data plane for the whole test process.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::start().expect("an engine"))
}

/// A proxy that is closed at the end of the scene.
pub(crate) struct Standing(pub(crate) Arc<Proxy>);

impl Drop for Standing {
    fn drop(&mut self) {
        engine().close(&self.0);
    }
}

impl std::ops::Deref for Standing {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.0
    }
}

impl Standing {
    /// A proxy before this address, on a port that the kernel chose.
    pub(crate) fn before(upstream: SocketAddr, speaks: Speaks) -> Self {
        let upstream = Upstream::Fixed(upstream.to_string().parse().expect("an address"));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self(engine().open(ProxyConfig { listen, upstream, speaks }).expect("it opens"))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.listen()).expect("it accepts");
        client.set_nodelay(true).expect("no delay");
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        client
    }

    pub(crate) fn target(&self) -> Target {
        let listen = self.listen();
        let facet =
            ProxyFacet { listen: listen.to_string(), upstream: None, speaks: self.speaks().word().to_owned(), control: place(listen) };
        Target {
            identity: Identity(format!("proxy:{listen}")),
            label: format!("proxy {listen}"),
            place: "here".into(),
            order: listen.to_string(),
            healthy: true,
            started: 0,
            groups: std::collections::BTreeMap::new(),
            facets: Facets { proxy: Some(facet), ..Facets::default() },
        }
    }
}

/// Serves each connection with `serve` on a thread of its own, for as long as the test process lives.
pub(crate) fn upstream(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || {
                let _ = client.set_nodelay(true);
                serve(client);
            });
        }
    });
    address
}

/// Answers every byte with itself, and an end with an end.
pub(crate) fn echo() -> SocketAddr {
    upstream(|client| {
        let (mut from, mut to) = (client.try_clone().expect("a clone"), client);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.flush();
    })
}

/// Waits until it holds, at most half a minute.
pub(crate) fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reports that a check was not made here, and why. Counted by the test command, never silent.
pub(crate) fn not_covered(what: &str, why: &str) {
    eprintln!("not covered here: {what}: {why}");
    if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{what}: {why}"));
    }
}
