//! crates.io: toxiproxy_rust. Words: host:port of the API, host:port of an upstream that echoes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use toxiproxy_rust::client::Client;
use toxiproxy_rust::proxy::{Proxy, ProxyPack};

/// How long an echo through the proxy takes; `None` where there is none.
fn echo(proxy: &Proxy) -> Option<Duration> {
    let mut client = TcpStream::connect(&proxy.proxy_pack.listen).ok()?;
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let begun = Instant::now();
    client.write_all(b"hello").ok()?;
    let mut back = [0; 5];
    client.read_exact(&mut back).ok()?;
    assert_eq!(&back, b"hello");
    Some(begun.elapsed())
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (api, upstream) = (&words[1], &words[2]);
    let server = Client::new(api.as_str());
    assert!(server.is_running());
    assert!(server.version().expect("a version").contains("\"2."));

    let wanted = ProxyPack::new("rust".into(), "127.0.0.1:0".into(), upstream.clone());
    let proxy = server.populate(vec![wanted]).expect("it is populated").pop().expect("a proxy");
    assert!(!proxy.proxy_pack.listen.ends_with(":0") && proxy.proxy_pack.enabled);
    assert!(echo(&proxy).is_some());

    proxy
        .with_latency("downstream".into(), 300, 0, 1.0)
        .apply(|| assert!(echo(&proxy).expect("an echo") >= Duration::from_millis(300)))
        .expect("it is applied");
    assert!(proxy.toxics().expect("toxics").is_empty(), "and taken away again");

    proxy.with_latency("upstream".into(), 1, 1, 0.5);
    proxy.with_bandwidth("upstream".into(), 100, 0.5);
    proxy.with_slow_close("upstream".into(), 1, 0.5);
    proxy.with_timeout("upstream".into(), 100, 0.5);
    proxy.with_slicer("upstream".into(), 10, 5, 1, 0.5);
    proxy.with_limit_data("upstream".into(), 100, 0.5);
    let mut kinds: Vec<String> = proxy.toxics().expect("toxics").into_iter().map(|toxic| toxic.r#type).collect();
    kinds.sort();
    assert_eq!(kinds, ["bandwidth", "latency", "limit_data", "slicer", "slow_close", "timeout"]);

    let proxy = server.find_and_reset_proxy("rust").expect("it is found");
    assert!(proxy.toxics().expect("toxics").is_empty());
    proxy.with_down(|| assert!(echo(&proxy).is_none())).expect("it is down for a while");
    assert!(echo(&proxy).is_some());
    server.reset().expect("it is reset");
    assert_eq!(server.all().expect("all").len(), 1);
    proxy.delete().expect("it is deleted");
    assert!(server.find_proxy("rust").is_err());
    println!("rust: well");
}
