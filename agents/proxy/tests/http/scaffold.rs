//! A server that logs what it is asked, a proxy before it, and a client that reads what comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos_protocol::http1::{Body, Framing, Head, Piece};
use chaos_proxy::toxic::Speaks;
use chaos_proxy::{Engine, Proxy, ProxyConfig, Upstream};
use serde_json::Value;

/// How long anything may take: far longer than it does.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Serves each connection on a thread of its own.
pub fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            client.set_nodelay(true).expect("no delay");
            std::thread::spawn(move || serve(client));
        }
    });
    address
}

/// A proxy before a server.
pub struct Stand {
    pub proxy: Arc<Proxy>,
    _engine: Engine,
}

impl Stand {
    pub fn before(upstream: SocketAddr, speaks: Speaks) -> Self {
        let engine = Engine::start().expect("an engine");
        let upstream = Upstream::Fixed(upstream.to_string().parse().expect("an address"));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let proxy = engine.open(ProxyConfig { listen, upstream, speaks }).expect("it opens");
        Self { proxy, _engine: engine }
    }

    pub fn arm(&self, kind: &str, with: &Value) {
        self.proxy.arm(kind, kind, with).unwrap_or_else(|e| panic!("{kind}: {e:?}"));
    }

    pub fn disarm(&self, kind: &str) {
        assert!(self.proxy.disarm(kind), "{kind} was in force");
    }

    pub fn client(&self) -> Client {
        Client::to(self.proxy.listen())
    }
}

/// An answer as a client sees it.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
    /// Did the body end as its head said it would?
    pub complete: bool,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.status().unwrap_or(0)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A client of HTTP/1.1.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it is sent");
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.answer("GET")
    }

    /// Waits for more bytes; false at the end, or at a reset.
    pub fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing comes: {error}"),
        }
    }

    /// The next answer, as far as it comes.
    pub fn answer(&mut self, method: &str) -> Answer {
        let head = self.head().expect("an answer");
        let mut body = Body::new(Framing::of_answer(&head, method).expect("a length"));
        let mut content = Vec::new();
        let complete = loop {
            if body.is_done() {
                break true;
            }
            if self.unread.is_empty() && !self.more() {
                break body.may_end();
            }
            let piece = body.next(&self.unread).expect("a body");
            let bytes: Vec<u8> = self.unread.drain(..piece.length()).collect();
            if let Piece::Data(_) = piece {
                content.extend(bytes);
            }
        };
        Answer { head, body: content, complete }
    }

    /// The next head; `None` at the end.
    pub fn head(&mut self) -> Option<Head> {
        let mut searched = 0;
        loop {
            if let Some((head, length)) = Head::read(&self.unread, &mut searched).expect("a head") {
                self.unread.drain(..length);
                return Some(head);
            }
            if !self.more() {
                assert!(self.unread.is_empty(), "a part of a head");
                return None;
            }
        }
    }

    /// Everything to the end.
    pub fn rest(mut self) -> Vec<u8> {
        while self.more() {}
        self.unread
    }

    /// So many bytes.
    pub fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.unread.len() < n {
            assert!(self.more(), "it ended after {:?}", String::from_utf8_lossy(&self.unread));
        }
        self.unread.drain(..n).collect()
    }
}

/// What a server of HTTP/1.1 was asked: first lines, in their order.
pub type Log = Arc<Mutex<Vec<String>>>;

/// A server of HTTP/1.1 that keeps connections and answers by path:
/// `/bytes/N`, `/chunked/N`, `/close/N` content of that length; `/json` an object; `/echo` what was sent;
/// `/tokens/N` a stream of so many; `/slow/N` one whose tokens wait for a byte on `go`.
pub fn web() -> (SocketAddr, Log) {
    let log = Log::default();
    let kept = Arc::clone(&log);
    (server(move |stream| converse(Client::over(stream), &kept)), log)
}

impl Client {
    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, unread: Vec::new() }
    }
}

fn converse(mut side: Client, log: &Log) {
    while let Some(head) = side.head() {
        log.lock().expect("the log").push(head.first_line().to_owned());
        let mut body = Body::new(Framing::of_request(&head).expect("a length"));
        let mut content = Vec::new();
        while !body.is_done() {
            if side.unread.is_empty() && !side.more() {
                return;
            }
            let piece = body.next(&side.unread).expect("a body");
            let bytes: Vec<u8> = side.unread.drain(..piece.length()).collect();
            if let Piece::Data(_) = piece {
                content.extend(bytes);
            }
        }
        let closes = head.target().starts_with("/close");
        if side.stream.write_all(&answered(&head, content)).is_err() || closes {
            return;
        }
    }
}

fn answered(head: &Head, content: Vec<u8>) -> Vec<u8> {
    let target = head.target().split('?').next().unwrap_or_default();
    let (kind, number) = target.rsplit_once('/').unwrap_or_default();
    let number: usize = number.parse().unwrap_or(0);
    let with_length = |kind: &str, body: Vec<u8>| {
        let mut text =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Kept: As It Is\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        text.extend(body);
        text
    };
    match kind {
        "/chunked" => {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in pattern(number).chunks(1000) {
                text.extend(format!("{:X};part=1\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\nX-Sum: 7\r\n\r\n");
            text
        }
        "/close" => [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), pattern(number)].concat(),
        "/tokens" => {
            let mut text = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for part in tokens(number) {
                text.extend(format!("{:x}\r\n{part}\r\n", part.len()).bytes());
            }
            text.extend(b"0\r\n\r\n");
            text
        }
        "" if target == "/json" => with_length("application/json", br#"{"a":{"b":1,"c":2},"d":[1,2]}"#.to_vec()),
        "" if target == "/echo" => with_length("application/octet-stream", content),
        _ => with_length("application/octet-stream", pattern(number)),
    }
}

/// The events of an OpenAI style stream of so many tokens.
pub fn tokens(n: usize) -> Vec<String> {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n".to_owned();
    let token = |n| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"t{n} \"}}}}]}}\n\n");
    let last = ["data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned(), "data: [DONE]\n\n".to_owned()];
    [role].into_iter().chain((0..n).map(token)).chain(last).collect()
}

/// Content in which every place can be told from its neighbours.
pub fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| b'a' + u8::try_from(at * 7 % 26).unwrap_or(0)).collect()
}
