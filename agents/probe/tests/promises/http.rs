//! The `http` probe: what it sends, what it reads, and what it holds the server to.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::{Then, serve};
use bytes::Bytes;
use chaos_core::probe::{Answer, AnyClient, Asking, ProbeError};
use chaos_core::value::FieldValue;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

fn asking(folder: &Path) -> Asking {
    Asking {
        timeout: Duration::from_secs(5),
        in_flight_max: 4,
        wanted: BTreeSet::from(["status", "body", "text", "headers", "bytes"].map(str::to_owned)),
        targets: Vec::new(),
        folder: folder.to_owned(),
    }
}

async fn open_in(folder: &Path, with: Value) -> Result<Arc<dyn AnyClient>, ProbeError> {
    let table = chaos_probe::probes();
    let probe = table.get("http").unwrap();
    assert_eq!(probe.check(&with), []);
    probe.open(&with, &asking(folder)).await
}

async fn open(with: Value) -> Arc<dyn AnyClient> {
    open_in(Path::new("/"), with).await.unwrap()
}

fn number(answer: &Answer, field: &str) -> f64 {
    answer.get(field).and_then(FieldValue::as_measure).unwrap()
}

/// Answers with what was asked, as JSON.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    let header = |name: &str| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let told = json!({
        "method": head.method.as_str(), "path": head.uri.path(), "version": format!("{:?}", head.version), "body": body,
        "type": header("content-type"), "host": header("host"), "mine": header("x-mine"),
    });
    let answer = Response::builder().status(201).header("X-Two", "a").header("x-two", "b");
    Ok(answer.body(Full::from(told.to_string())).unwrap())
}

/// A server of hyper's, with TLS where given, over HTTP/1 or HTTP/2.
async fn hyper_server(tls: Option<Arc<rustls::ServerConfig>>, http2: bool) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => answer(stream, http2).await,
                    Some(config) => {
                        if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                            answer(stream, http2).await;
                        }
                    }
                }
            });
        }
    });
    address
}

async fn answer(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, http2: bool) {
    let (io, service) = (TokioIo::new(stream), service_fn(echo));
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

fn body(answer: &Answer) -> &Value {
    match answer.get("body") {
        Some(FieldValue::Any(json)) => json,
        other => panic!("no JSON: {other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_sent_as_written_and_the_answer_read_whole() {
    let address = hyper_server(None, false).await;
    let with = json!({"post": format!("http://{address}/v2/infer?x=1"), "json": {"inputs": []}, "headers": {"x-mine": "yes"}});
    let answer = open(with).await.ask().await.unwrap();
    assert_eq!(number(&answer, "status"), 201.0);
    let told = body(&answer);
    assert_eq!(told["method"], "POST");
    assert_eq!(told["path"], "/v2/infer");
    assert_eq!(told["body"], r#"{"inputs":[]}"#);
    assert_eq!(told["type"], "application/json");
    assert_eq!(told["host"], address.to_string());
    assert_eq!(told["mine"], "yes");
    assert_eq!(answer.get("headers"), Some(&FieldValue::Any(headers(&answer))));
    let FieldValue::Text(text) = answer.get("text").unwrap() else { panic!() };
    assert_eq!(number(&answer, "bytes"), text.len() as f64);
}

fn headers(answer: &Answer) -> Value {
    let Some(FieldValue::Any(map)) = answer.get("headers") else { panic!("no headers") };
    assert_eq!(map["x-two"], "a, b");
    map.clone()
}

#[tokio::test]
async fn every_method_is_asked() {
    let address = hyper_server(None, false).await;
    for method in ["get", "put", "delete", "head"] {
        let answer = open(json!({method: format!("http://{address}/")})).await.ask().await.unwrap();
        assert_eq!(number(&answer, "status"), 201.0);
        if method == "head" {
            assert_eq!(number(&answer, "bytes"), 0.0);
        } else {
            assert_eq!(body(&answer)["method"], method.to_uppercase());
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let address = hyper_server(None, true).await;
    let client = open(json!({"get": format!("http://{address}/"), "http2": true})).await;
    for _ in 0..3 {
        assert_eq!(body(&client.ask().await.unwrap())["version"], "HTTP/2.0");
    }
}

/// A certificate for `localhost`, its server, and the folder with `ca.pem`.
pub(crate) fn certificate(http2: bool) -> (Arc<rustls::ServerConfig>, tempfile::TempDir) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    (Arc::new(config), folder)
}

#[tokio::test]
async fn tls_is_verified_unless_told_otherwise() {
    for http2 in [false, true] {
        let (config, folder) = certificate(http2);
        let port = hyper_server(Some(config), http2).await.port();
        let ask = |with: Value| {
            let folder = folder.path().to_owned();
            async move { open_in(&folder, with).await.unwrap().ask().await }
        };
        let trusted = json!({"get": format!("https://localhost:{port}/"), "tls": {"ca": "ca.pem"}, "http2": http2});
        assert_eq!(number(&ask(trusted).await.unwrap(), "status"), 201.0);
        let wrong_name = json!({"get": format!("https://127.0.0.1:{port}/"), "tls": {"ca": "ca.pem"}, "http2": http2});
        let refused = ask(wrong_name).await.unwrap_err();
        assert!(refused.0.starts_with("TLS: "), "{refused}");
        let anyone = json!({"get": format!("https://127.0.0.1:{port}/"), "tls": {"verify": false}, "http2": http2});
        assert_eq!(number(&ask(anyone).await.unwrap(), "status"), 201.0);
    }
}

#[tokio::test]
async fn connections_are_kept_alive_unless_fresh_ones_are_asked_for() {
    for (fresh, connections) in [(false, 1), (true, 5)] {
        let (address, seen) = serve(|_| Then::Answer).await;
        let client = open(json!({"get": format!("http://{address}/"), "fresh": fresh})).await;
        for _ in 0..5 {
            client.ask().await.unwrap();
        }
        assert_eq!(seen.connections.load(Ordering::SeqCst), connections, "fresh: {fresh}");
    }
}

#[tokio::test]
async fn a_connection_closed_between_two_questions_is_no_failure() {
    let (address, seen) = serve(|_| Then::AnswerAndClose).await;
    let client = open(json!({"get": format!("http://{address}/")})).await;
    for _ in 0..50 {
        // At once, so that the close is at times on its way while the next question is sent.
        client.ask().await.unwrap();
    }
    assert_eq!(seen.requests.load(Ordering::SeqCst), 50, "no question is asked twice");
}

#[tokio::test]
async fn a_server_that_dies_while_it_works_is_a_failure() {
    let (address, seen) = serve(|n| if n == 1 { Then::Close(Duration::from_millis(100)) } else { Then::Answer }).await;
    let client = open(json!({"get": format!("http://{address}/")})).await;
    client.ask().await.unwrap();
    let died = client.ask().await.unwrap_err();
    assert_eq!(died.0, "connection closed before the answer was complete");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 2, "it is not asked again behind the user's back");
    client.ask().await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_a_short_reason() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = open(json!({"get": format!("http://{gone}/")})).await;
    assert_eq!(client.ask().await.unwrap_err().0, "connection refused");
}

#[test]
fn mistakes_are_told_by_path_with_what_to_do() {
    let table = chaos_probe::probes();
    let http = table.get("http").unwrap();
    let url = "http://127.0.0.1/";
    for (with, path, message) in [
        (json!({}), "", "an http probe needs a URL to ask"),
        (json!({"get": url, "post": url}), "post", "an http probe asks one URL with one method"),
        (json!({"post": url, "json": 1, "text": "x"}), "text", "`json` and `text` are both the body"),
        (json!({"get": url, "tls": {"verify": false}}), "tls", "`tls` is for https"),
        (json!({"get": "https://h/", "tls": {"cert": "a.pem"}}), "tls", "`cert` and `key` come together"),
        (json!({"get": url, "headers": {"a b": "x"}}), "headers.a b", "`a b` is no name of a header"),
        (json!({"get": url, "headers": {"a": "x\ny"}}), "headers.a", "a header's value is one line of visible characters"),
    ] {
        let errors = http.check(&with);
        assert_eq!(errors.iter().map(|e| (e.path.as_str(), e.message.as_str())).collect::<Vec<_>>(), [(path, message)], "{with}");
    }
    assert_eq!(http.check(&json!({"get": "h:1"}))[0].path, "get");
}
