//! TLS that ends at the proxy, and begins again behind it; and TLS that does not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Tls, Upstream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::scaffold::{PATIENCE, pattern, tokens, web};

/// A certificate for `localhost` and its key, in a folder.
fn certificate() -> tempfile::TempDir {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("it is written");
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("it is written");
    folder
}

fn terminating(folder: &Path) -> Tls {
    Tls::terminating(&folder.join("cert.pem"), &folder.join("key.pem")).expect("they belong together")
}

fn proxy(engine: &Engine, upstream: SocketAddr, tls: Option<Tls>, speaks: Speaks) -> Arc<Proxy> {
    let upstream = Upstream::Fixed(upstream.to_string().parse().expect("an address"));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    engine.open_with(ProxyConfig { listen, upstream, speaks }, tls).expect("it opens")
}

async fn connected(proxy: &Proxy, folder: &Path, offered: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates([CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a certificate")]);
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|p| p.to_vec()).collect();
    let socket = TcpStream::connect(proxy.listen()).await.expect("it accepts");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake")
}

async fn get(stream: &mut TlsStream<TcpStream>, path: &str, ends_with: &[u8]) -> Vec<u8> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(ends_with) {
            assert_ne!(stream.read_buf(&mut answer).await.expect("it comes"), 0, "{}", String::from_utf8_lossy(&answer));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("it comes in time");
    answer
}

#[tokio::test]
async fn toxics_meet_what_is_inside_with_and_without_tls_behind() {
    let (folder, engine) = (certificate(), Engine::start().expect("an engine"));
    let behind = proxy(&engine, web().0, Some(terminating(folder.path())), Speaks::Http);
    let again = terminating(folder.path()).to_upstream("localhost", Some(&folder.path().join("cert.pem"))).expect("a name");
    let before = proxy(&engine, behind.listen(), Some(again), Speaks::Http);
    for proxy in [&behind, &before] {
        let mut client = connected(proxy, folder.path(), &[b"h2x", b"http/1.1"]).await;
        let content = pattern(300_000);
        let answer = get(&mut client, "/bytes/300000", &content[299_000..]).await;
        assert!(answer.ends_with(&content));
        proxy.arm("x", "http.status", &json!({"status": 529, "body": "busy"})).expect("it is armed");
        let answer = get(&mut client, "/bytes/3", b"busy").await;
        assert!(answer.starts_with(b"HTTP/1.1 529 "), "{}", String::from_utf8_lossy(&answer));
        proxy.disarm("x");
        proxy.arm("x", "stream.cut", &json!({"after_tokens": 2})).expect("it is armed");
        client.write_all(b"GET /tokens/9 HTTP/1.1\r\n\r\n").await.expect("it is sent");
        let mut rest = Vec::new();
        // Cut: no farewell of TLS either.
        let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await.expect("it ends");
        assert!(end.is_err() && String::from_utf8_lossy(&rest).contains(&tokens(2)[2]), "{}", String::from_utf8_lossy(&rest));
        proxy.disarm("x");
    }
}

#[tokio::test]
async fn http_2_is_agreed_on_with_the_client() {
    let (folder, engine) = (certificate(), Engine::start().expect("an engine"));
    let behind = proxy(&engine, super::frames::server().await, Some(terminating(folder.path()).with_http2()), Speaks::Sse);
    let again = terminating(folder.path()).to_upstream("localhost", Some(&folder.path().join("cert.pem"))).expect("a name");
    let before = proxy(&engine, behind.listen(), Some(again), Speaks::Http);
    let stream = connected(&before, folder.path(), &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (requests, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let content = pattern(200_000);
    let answer = super::frames::ask(&requests, "/echo", &content, None).await.expect("an answer");
    assert!(answer.content == content);
    before.arm("x", "http.status", &json!({"status": 503})).expect("it is armed");
    assert_eq!(super::frames::ask(&requests, "/echo", b"", None).await.expect("an answer").head.status, 503);
}

/// Nothing is agreed on with a client that the upstream does not speak: without TLS behind, and with.
#[tokio::test]
async fn clients_that_know_more_speak_what_the_upstream_speaks() {
    let (folder, engine) = (certificate(), Engine::start().expect("an engine"));
    let behind = proxy(&engine, web().0, Some(terminating(folder.path())), Speaks::Http);
    let again = terminating(folder.path()).to_upstream("localhost", Some(&folder.path().join("cert.pem"))).expect("a name");
    let before = proxy(&engine, behind.listen(), Some(again), Speaks::Http);
    for proxy in [&behind, &before] {
        let mut client = connected(proxy, folder.path(), &[b"h2", b"http/1.1"]).await;
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(get(&mut client, "/bytes/9", &pattern(9)).await.starts_with(b"HTTP/1.1 200"));
        let mut client = connected(proxy, folder.path(), &[]).await;
        assert!(get(&mut client, "/bytes/9", &pattern(9)).await.starts_with(b"HTTP/1.1 200"), "offers nothing");
    }
}

#[tokio::test]
async fn without_a_certificate_tls_passes_untouched() {
    let (folder, engine) = (certificate(), Engine::start().expect("an engine"));
    let behind = proxy(&engine, web().0, Some(terminating(folder.path())), Speaks::Http);
    for speaks in [Speaks::Tcp, Speaks::Http] {
        let before = proxy(&engine, behind.listen(), None, speaks);
        before.arm("x", "tcp.latency", &json!({"delay": "1ms"})).expect("it is armed");
        let mut client = connected(&before, folder.path(), &[]).await;
        assert!(get(&mut client, "/bytes/9", &pattern(9)).await.starts_with(b"HTTP/1.1 200"), "{speaks:?}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (folder, other, engine) = (certificate(), certificate(), Engine::start().expect("an engine"));
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    assert!(Tls::terminating(&cert, &other.path().join("key.pem")).is_err(), "they do not belong together");
    assert!(Tls::terminating(&key, &key).is_err(), "no certificate");
    assert!(Tls::terminating(Path::new("/nowhere"), &key).is_err());
    assert!(terminating(folder.path()).to_upstream("no name", Some(&cert)).is_err());
    let config = ProxyConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        upstream: Upstream::Fixed("127.0.0.1:1".parse().expect("an address")),
        speaks: Speaks::Redis,
    };
    let refused = engine.open_with(config, Some(terminating(folder.path()))).err().expect("it is refused");
    assert!(refused.to_string().contains("http, sse or s3"), "{refused}");
}
