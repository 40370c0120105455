//! HTTP/1.1 to the byte.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use chaos_proxy::toxic::Speaks;

use super::scaffold::{Client, PATIENCE, Stand, pattern, server, web};

/// A server that says `answer` once `asked` bytes have come, and hands over what came in all.
fn scripted(asked: usize, answer: &'static [u8]) -> (Stand, mpsc::Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let upstream = server(move |mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut seen = vec![0; asked];
        if stream.read_exact(&mut seen).is_ok() {
            stream.write_all(answer).expect("it is sent");
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut seen);
        let _ = tell.send(seen);
    });
    (Stand::before(upstream, Speaks::Http), told)
}

/// What goes in comes out, both ways, however it is cut into pieces.
fn passes(asked: &'static [u8], answer: &'static [u8]) {
    passes_after(asked.len(), asked, answer);
}

/// The same, where the server answers when so many bytes have come.
fn passes_after(first: usize, asked: &'static [u8], answer: &'static [u8]) {
    for size in [usize::MAX, 7, 1] {
        let (stand, told) = scripted(first, answer);
        let mut client = stand.client();
        for piece in asked.chunks(size.min(asked.len())) {
            client.send(piece);
        }
        let got = client.exactly(answer.len());
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(answer), "answers in pieces of {size}");
        assert_eq!(client.rest(), b"", "and then its end");
        let seen = told.recv_timeout(PATIENCE).expect("the server is done");
        assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(asked), "requests in pieces of {size}");
    }
}

#[test]
fn pipelined_requests_and_answers_pass_to_the_byte() {
    passes(
        b"GET /a HTTP/1.1\r\nhOsT:x\r\nX-Odd :  spaced  \r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
          HEAD /c HTTP/1.1\r\nHost: x\r\n\r\nPUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nT: u\r\n\r\n",
        b"HTTP/1.1 200 Fine\r\ncontent-LENGTH: 3\r\n\r\noneHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
          HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA ;e\r\n0123456789\r\n0\r\nTrail: er\r\n\r\n",
    );
}

#[test]
fn interim_answers_and_content_without_length_pass_to_the_byte() {
    passes(
        b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end",
    );
    passes(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\nold");
}

#[test]
fn what_follows_an_upgrade_passes_to_the_byte() {
    passes_after(
        61,
        b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi HTTP/1.1 200 OK\r\n\r\n",
    );
    passes_after(35, b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n\x16\x03\x01", b"HTTP/1.1 200 Connection established\r\n\r\n\x16\x03\x03");
}

#[test]
fn a_refused_upgrade_leaves_http() {
    passes_after(
        61,
        b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    );
}

#[test]
fn what_is_no_http_passes_to_the_byte() {
    passes(b"\x00\x01\x02*1\r\n$4\r\nPING\r\n\xff", b"+PONG\r\n\x00\xff");
    passes(b"GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\nab", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    passes(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    passes(b"GET / HTTP/1.1\r\n\r\n", b"this is no answer");
    passes(b"PRI * HTTP/1.1\r\n\r\n", b"HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_server_that_speaks_first_or_unasked_is_heard() {
    let upstream = server(|mut stream| {
        stream.write_all(b"220 ready\r\n").expect("it is sent");
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).expect("it is asked");
        stream.write_all(&asked).expect("it is sent");
    });
    let stand = Stand::before(upstream, Speaks::Http);
    let mut client = stand.client();
    assert_eq!(client.exactly(11), b"220 ready\r\n");
    client.send(b"QUIT");
    assert_eq!(client.rest(), b"QUIT");

    let upstream = server(|mut stream| {
        let mut asked = [0; 18];
        stream.read_exact(&mut asked).expect("it is asked");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 408 Too Slow\r\nContent-Length: 0\r\n\r\n").expect("it is sent");
    });
    let stand = Stand::before(upstream, Speaks::Http);
    let mut client = stand.client();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer("GET").status(), 204);
    assert_eq!(client.answer("GET").status(), 408, "told unasked");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let (address, _) = web();
    let stand = Stand::before(address, Speaks::Http);
    let mut client = stand.client();
    client.send(b"GET /bytes/1000 HTTP/1.1\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).expect("it has said all");
    assert_eq!(client.answer("GET").body, pattern(1000));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_server_that_breaks_off_is_seen_to_break_off() {
    let upstream = server(|mut stream| {
        let mut asked = [0; 18];
        stream.read_exact(&mut asked).expect("it is asked");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").expect("it is sent");
    });
    let stand = Stand::before(upstream, Speaks::Http);
    let answer = stand.client().get_raw();
    assert_eq!((answer.text(), answer.complete), ("half", false));
}

impl Client {
    fn get_raw(mut self) -> super::scaffold::Answer {
        self.send(b"GET / HTTP/1.1\r\n\r\n");
        self.answer("GET")
    }
}

#[test]
fn a_long_head_and_long_bodies_pass() {
    let (address, _) = web();
    let stand = Stand::before(address, Speaks::Http);
    let mut client = stand.client();
    client.send(format!("GET /bytes/3 HTTP/1.1\r\nX-Long: {}\r\n\r\n", "y".repeat(40_000)));
    assert_eq!(client.answer("GET").body, pattern(3));
    for kind in ["bytes", "chunked", "close"] {
        let answer = client.get(&format!("/{kind}/3000000"));
        assert!(answer.complete && answer.body == pattern(3_000_000), "{kind}");
    }
}

/// Once an answer is none, nothing can be told apart: whatever is asked passes, however much it is, and no toxic answers.
#[test]
fn behind_an_answer_that_is_none_all_requests_pass() {
    const COUNT: usize = 300;
    let one = b"GET / HTTP/1.1\r\n\r\n";
    let (stand, told) = scripted(one.len(), b"ICY 200 OK\r\n\r\n");
    let mut client = stand.client();
    client.send(one);
    assert_eq!(client.exactly(14), b"ICY 200 OK\r\n\r\n");
    for _ in 1..COUNT {
        client.send(one);
    }
    client.stream.shutdown(Shutdown::Write).expect("it has said all");
    let seen = told.recv_timeout(PATIENCE).expect("the server is done");
    assert!(seen == one.repeat(COUNT), "{} of {}", seen.len() / one.len(), COUNT);
}
