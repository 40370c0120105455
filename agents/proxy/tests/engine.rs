//! The data plane as its users meet it: bytes in, bytes out, with and without toxics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Upstream};
use serde_json::json;

/// Answers every byte with itself, on a thread a connection.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = client.set_nodelay(true);
                let (mut from, mut to) = (client.try_clone().expect("a clone"), client);
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
    address
}

fn proxy(engine: &Engine, upstream: SocketAddr) -> Arc<Proxy> {
    let upstream = Upstream::Fixed(upstream.to_string().parse().expect("an address"));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    engine.open(ProxyConfig { listen, upstream, speaks: Speaks::Tcp }).expect("it opens")
}

fn round_trip(client: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    client.write_all(bytes).expect("it is sent");
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, bytes);
    begun.elapsed()
}

fn connected(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.listen()).expect("it accepts");
    client.set_nodelay(true).expect("no delay");
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    client
}

#[test]
fn bytes_pass_and_toxics_begin_and_end_on_an_open_connection() {
    let engine = Engine::start().expect("an engine");
    let proxy = proxy(&engine, echo());
    let mut client = connected(&proxy);
    round_trip(&mut client, b"hello");
    proxy.arm("slow", "tcp.latency", &json!({"delay": "200ms"})).expect("it is armed");
    assert!(round_trip(&mut client, b"hello") >= Duration::from_millis(200));
    proxy.disarm("slow");
    let fastest = (0..20).map(|_| round_trip(&mut client, b"hello")).min().expect("some");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}
