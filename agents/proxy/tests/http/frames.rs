//! HTTP/2 with prior knowledge: streams side by side, and what toxics do to one of them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaos_proxy::toxic::Speaks;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::scaffold::{PATIENCE, Stand, pattern, tokens};

/// Sends bytes as there is room for them.
async fn send_all(send: &mut SendStream<Bytes>, bytes: &[u8], end: bool) -> Result<(), h2::Error> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        while send.capacity() == 0 {
            poll_fn(|cx| send.poll_capacity(cx)).await.ok_or(Reason::CANCEL)??;
        }
        let now = bytes.split_to(send.capacity().min(bytes.len()));
        send.send_data(now, false)?;
    }
    if end { send.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// Everything of a body: content, trailers, and how it broke off.
async fn read_all(body: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>, Option<Reason>) {
    let mut content = Vec::new();
    while let Some(bytes) = body.data().await {
        match bytes {
            Ok(bytes) => {
                content.extend_from_slice(&bytes);
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            Err(error) => return (content, None, error.reason()),
        }
    }
    (content, body.trailers().await.unwrap_or_default(), None)
}

async fn answer(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let (kind, number) = path.rsplit_once('/').unwrap_or_default();
    let number: usize = number.parse().unwrap_or(0);
    let mut body = request.into_body();
    let (content, trailers, _) = read_all(&mut body).await;
    let head = Response::builder().header("x-kept", "yes");
    match kind {
        "/tokens" => {
            let head = head.header("content-type", "text/event-stream").body(()).expect("a head");
            let mut send = respond.send_response(head, false)?;
            for event in tokens(number) {
                send_all(&mut send, event.as_bytes(), false).await?;
            }
            send.send_data(Bytes::new(), true)
        }
        "/bytes" => {
            let head = head.header("content-length", number).body(()).expect("a head");
            send_all(&mut respond.send_response(head, false)?, &pattern(number), true).await
        }
        "/bare" => {
            let status = u16::try_from(number).unwrap_or(204);
            let head = head.status(status).header("content-length", 50).body(()).expect("a head");
            respond.send_response(head, true).map(|_| ())
        }
        "/empty" => {
            let head = head.header("content-length", 0).body(()).expect("a head");
            respond.send_response(head, true).map(|_| ())
        }
        "/reset" => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        _ => {
            let mut send = respond.send_response(head.body(()).expect("a head"), false)?;
            send_all(&mut send, &content, false).await?;
            match trailers {
                Some(trailers) => send.send_trailers(trailers),
                None => send.send_data(Bytes::new(), true),
            }
        }
    }
}

pub async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.expect("a handshake");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

/// A client of a proxy before such a server.
async fn client() -> (Stand, SendRequest<Bytes>) {
    let stand = Stand::before(server().await, Speaks::Http);
    let socket = TcpStream::connect(stand.proxy.listen()).await.expect("it accepts");
    let (requests, connection) = h2::client::handshake(socket).await.expect("a handshake");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    (stand, requests)
}

pub struct Answer {
    pub head: http::response::Parts,
    pub content: Vec<u8>,
    trailers: Option<HeaderMap>,
    broken: Option<Reason>,
}

pub async fn ask(requests: &SendRequest<Bytes>, path: &str, content: &[u8], trailers: Option<HeaderMap>) -> Result<Answer, h2::Error> {
    let request = Request::builder().method("POST").uri(format!("http://host{path}")).body(()).expect("a request");
    let asked = async {
        let (answer, mut send) = requests.clone().ready().await?.send_request(request, false)?;
        send_all(&mut send, content, trailers.is_none()).await?;
        if let Some(trailers) = trailers {
            send.send_trailers(trailers)?;
        }
        let (head, mut body) = answer.await?.into_parts();
        let (content, trailers, broken) = read_all(&mut body).await;
        Ok(Answer { head, content, trailers, broken })
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it is answered in time")
}

#[tokio::test]
async fn streams_pass_side_by_side_with_content_and_trailers() {
    let (_stand, requests) = client().await;
    let content = pattern(3_000_000);
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("7"))]);
    let large = ask(&requests, "/echo", &content, Some(trailers.clone()));
    let small = ask(&requests, "/tokens/5", b"", None);
    let (large, small) = tokio::join!(large, small);
    let (large, small) = (large.expect("an answer"), small.expect("an answer"));
    assert!(large.content == content && large.trailers == Some(trailers));
    assert_eq!((small.content, small.broken), (tokens(5).concat().into_bytes(), None));
    assert_eq!(small.head.headers["x-kept"], "yes");
    let reset = ask(&requests, "/reset/0", b"", None).await.err().expect("it is reset");
    assert_eq!(reset.reason(), Some(Reason::REFUSED_STREAM), "with the upstream's own reason");
}

#[tokio::test]
async fn toxics_mean_single_streams() {
    let (stand, requests) = client().await;
    let ask = |path: &'static str| {
        let requests = requests.clone();
        async move { ask(&requests, path, b"ab", None).await.expect("an answer") }
    };
    stand.arm("http.status", &json!({"status": 529, "path": "/no", "retry_after": "3s", "body": "busy"}));
    let (own, other) = tokio::join!(ask("/no"), ask("/echo"));
    assert_eq!(
        (own.head.status.as_u16(), own.content.as_slice(), &own.head.headers["retry-after"]),
        (529, &b"busy"[..], &"3".parse().expect("a value"))
    );
    assert_eq!(other.content, b"ab");
    stand.disarm("http.status");

    stand.arm("http.abort", &json!({"after": "1000B", "path": "/bytes/*"}));
    let (cut, other) = tokio::join!(ask("/bytes/5000"), ask("/echo"));
    assert_eq!((cut.content == pattern(1000), cut.broken, other.content.as_slice()), (true, Some(Reason::INTERNAL_ERROR), &b"ab"[..]));
    stand.disarm("http.abort");

    stand.arm("http.truncate", &json!({"after": "1000B"}));
    let short = ask("/bytes/5000").await;
    assert_eq!((short.content, short.broken, &short.head.headers["content-length"]), (pattern(1000), None, &1000.into()));
    stand.disarm("http.truncate");

    stand.arm("http.replace", &json!({"body": "other"}));
    assert_eq!(ask("/bytes/5000").await.content, b"other");
    stand.disarm("http.replace");

    stand.arm("http.replace", &json!({"status": 500}));
    let bare = ask("/bare/304").await;
    assert_eq!((bare.head.status.as_u16(), &bare.head.headers["content-length"], bare.broken), (500, &0.into(), None));
    stand.disarm("http.replace");

    stand.arm("http.replace", &json!({"body": "other"}));
    assert_eq!(ask("/empty/0").await.content, b"other");
    let bare = ask("/bare/304").await;
    assert_eq!((bare.head.status.as_u16(), bare.content.as_slice(), bare.broken), (304, &b""[..], None));
    stand.disarm("http.replace");

    stand.arm("stream.cut", &json!({"after_tokens": 2}));
    let cut = ask("/tokens/9").await;
    assert_eq!(cut.broken, Some(Reason::CANCEL));
    stand.disarm("stream.cut");

    stand.arm("stream.error", &json!({"after_tokens": 2, "data": "no"}));
    let ended = ask("/tokens/9").await;
    assert_eq!((ended.broken, ended.content), (None, [tokens(9)[..3].concat().as_str(), "data: no\n\n"].concat().into_bytes()));
    stand.disarm("stream.error");

    stand.arm("http.delay", &json!({"delay": "150ms", "path": "/bytes/*"}));
    let begun = Instant::now();
    let (late, _) = tokio::join!(ask("/bytes/10"), ask("/echo"));
    assert!(late.content == pattern(10) && begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_stalled_stream_does_not_hold_back_its_neighbours() {
    let (stand, requests) = client().await;
    stand.arm("stream.stall", &json!({"after_tokens": 2}));
    let stalled = tokio::spawn({
        let requests = requests.clone();
        async move { ask(&requests, "/tokens/9", b"", None).await.expect("an answer") }
    });
    for _ in 0..20 {
        assert_eq!(ask(&requests, "/echo", b"ab", None).await.expect("an answer").content, b"ab");
    }
    assert!(!stalled.is_finished());
    stand.disarm("stream.stall");
    let answer = tokio::time::timeout(PATIENCE, stalled).await.expect("it flows on").expect("it was asked");
    assert_eq!(answer.content, tokens(9).concat().into_bytes());
}

/// A client that has cancelled its request while it waited wants nothing any more: the upstream is not asked.
#[tokio::test]
async fn who_cancels_while_a_delay_lasts_is_not_asked_for() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let stand = Stand::before(listener.local_addr().expect("its address"), Speaks::Http);
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("it connects");
        let mut connection = h2::server::handshake(socket).await.expect("a handshake");
        while let Some(Ok((request, respond))) = connection.accept().await {
            log.lock().expect("the log").push(request.uri().path().to_owned());
            tokio::spawn(answer(request, respond));
        }
    });
    let socket = TcpStream::connect(stand.proxy.listen()).await.expect("it accepts");
    let (mut requests, connection) = h2::client::handshake(socket).await.expect("a handshake");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    stand.arm("http.delay", &json!({"delay": "1h", "direction": "requests"}));
    let toxic = Arc::clone(&stand.proxy.toxics()[0]);
    let met = |count: u64| {
        let toxic = Arc::clone(&toxic);
        let met = async move {
            while toxic.hits() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        async move { tokio::time::timeout(PATIENCE, met).await.expect("it is met in time") }
    };
    let request = Request::builder().uri("http://host/cancelled").body(()).expect("a request");
    let (cancelled, mut send) = requests.send_request(request, true).expect("it is sent");
    met(1).await;
    send.send_reset(Reason::CANCEL);
    drop((cancelled, send));
    // The second comes after the reset on the same connection: when it is met, the reset was read.
    let second = tokio::spawn(async move { ask(&requests, "/echo", b"ab", None).await.expect("an answer") });
    met(2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stand.disarm("http.delay");
    assert_eq!(second.await.expect("it was asked").content, b"ab");
    assert_eq!(*asked.lock().expect("the log"), ["/echo"]);
}
