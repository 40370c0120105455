//! What `stream.*` does to streams of events, those that are open among them.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::json;

use super::scaffold::{PATIENCE, Stand, server, tokens, web};

fn stand() -> Stand {
    Stand::before(web().0, Speaks::Sse)
}

fn whole(n: usize) -> String {
    tokens(n).concat()
}

/// The first events of a stream up to so many tokens (the role of a chat stands before).
fn up_to(n: usize) -> String {
    tokens(n)[..=n].concat()
}

#[test]
fn streams_pass_as_they_are() {
    let stand = stand();
    let mut client = stand.client();
    for n in [0, 1, 300] {
        let answer = client.get(&format!("/tokens/{n}"));
        assert_eq!((answer.text(), answer.complete), (whole(n).as_str(), true));
    }
}

#[test]
fn the_first_token_and_gaps_are_delayed() {
    let stand = stand();
    let mut client = stand.client();
    stand.arm("stream.first_token", &json!({"delay": "200ms"}));
    let begun = Instant::now();
    let answer = client.get("/tokens/50");
    assert_eq!(answer.text(), whole(50));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    stand.disarm("stream.first_token");
    stand.arm("stream.gap", &json!({"gap": "20ms"}));
    let begun = Instant::now();
    assert_eq!(client.get("/tokens/11").text(), whole(11));
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[test]
fn streams_are_cut_and_the_next_one_is_not() {
    let stand = stand();
    for how in ["close", "reset"] {
        stand.arm("stream.cut", &json!({"after_tokens": 20, "how": how}));
        let answer = stand.client().get("/tokens/50");
        assert_eq!((answer.text(), answer.complete), (up_to(20).as_str(), false), "{how}");
        assert!(stand.client().get("/bytes/50").complete, "what is no stream is not met");
        stand.disarm("stream.cut");
        assert!(stand.client().get("/tokens/50").complete);
    }
}

#[test]
fn an_error_comes_after_a_200_and_the_connection_goes_on() {
    let stand = stand();
    let mut client = stand.client();
    stand.arm("stream.error", &json!({"after_tokens": 3}));
    let answer = client.get("/tokens/50");
    assert_eq!((answer.status(), answer.complete), (200, true));
    let (passed, error) = answer.text().split_at(up_to(3).len());
    assert_eq!(passed, up_to(3));
    assert!(error.starts_with("data: {\"error\":{\"message\":") && error.ends_with("\n\n"), "{error}");
    stand.disarm("stream.error");
    stand.arm("stream.error", &json!({"after_tokens": 0, "event": "error", "data": "{\"type\":\"error\"}"}));
    let answer = client.get("/tokens/50");
    assert!(answer.text().ends_with("event: error\ndata: {\"type\":\"error\"}\n\n"), "{}", answer.text());
}

#[test]
fn one_token_is_malformed() {
    let stand = stand();
    stand.arm("stream.malformed", &json!({"after_tokens": 2}));
    let answer = stand.client().get("/tokens/5");
    assert!(answer.complete);
    let events: Vec<&str> = answer.text().split_inclusive("\n\n").collect();
    let as_sent = tokens(5);
    assert_eq!(events.len(), as_sent.len());
    for (at, (event, sent)) in events.iter().zip(&as_sent).enumerate() {
        // The third token stands behind the role and two tokens.
        assert_eq!(event == sent, at != 3, "event {at}: {event}");
    }
    let damaged = events[3].trim_start_matches("data: ").trim();
    assert!(as_sent[3].contains(damaged) && serde_json::from_str::<serde_json::Value>(damaged).is_err(), "{damaged}");
}

/// A server whose stream waits for us before each event.
fn paced() -> (Stand, mpsc::Sender<String>) {
    let (push, events) = mpsc::channel::<String>();
    let events = Arc::new(Mutex::new(events));
    let upstream = server(move |mut stream: TcpStream| {
        let mut asked = [0; 18];
        std::io::Read::read_exact(&mut stream, &mut asked).expect("it is asked");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").expect("it is sent");
        let events = events.lock().expect("the events");
        while let Ok(event) = events.recv_timeout(PATIENCE) {
            if stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).is_err() {
                return;
            }
        }
    });
    (Stand::before(upstream, Speaks::Sse), push)
}

#[test]
fn a_stream_that_is_open_stalls_and_flows_on() {
    let (stand, push) = paced();
    let mut client = stand.client();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    let all = tokens(3);
    push.send(all[0].clone()).expect("it is pushed");
    push.send(all[1].clone()).expect("it is pushed");
    client.head().expect("a head");
    let one = |client: &mut super::scaffold::Client, event: &str| {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(String::from_utf8_lossy(&client.exactly(chunk.len())), chunk);
    };
    one(&mut client, &all[0]);
    one(&mut client, &all[1]);
    stand.arm("stream.stall", &json!({"after_tokens": 1}));
    push.send(all[2].clone()).expect("it is pushed");
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut byte = [0];
    let nothing = std::io::Read::read(&mut client.stream, &mut byte).expect_err("nothing comes");
    assert!(matches!(nothing.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{nothing}");
    client.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stand.disarm("stream.stall");
    one(&mut client, &all[2]);
    // Cut at its next event.
    stand.arm("stream.cut", &json!({"after_tokens": 2}));
    push.send(all[3].clone()).expect("it is pushed");
    assert_eq!(client.rest(), b"");
}

/// One who knows no chunks gets none, also of a stream that had a length before a toxic changed it.
#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let upstream = server(|mut stream: TcpStream| {
        let mut asked = [0; 18];
        std::io::Read::read_exact(&mut stream, &mut asked).expect("it is asked");
        let body = whole(3);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).expect("it is sent");
    });
    let stand = Stand::before(upstream, Speaks::Sse);
    stand.arm("stream.error", &json!({"after_tokens": 2, "data": "no"}));
    let mut client = stand.client();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let answer = client.answer("GET");
    assert_eq!((answer.text(), answer.head.get("transfer-encoding")), (format!("{}data: no\n\n", up_to(2)).as_str(), None));
}

/// What is compressed cannot be read: it passes as it comes.
#[test]
fn a_compressed_stream_flows() {
    let (push, parts) = mpsc::channel::<&[u8]>();
    let parts = Arc::new(Mutex::new(parts));
    let upstream = server(move |mut stream: TcpStream| {
        let mut asked = [0; 18];
        std::io::Read::read_exact(&mut stream, &mut asked).expect("it is asked");
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n";
        stream.write_all(head).expect("it is sent");
        let parts = parts.lock().expect("the parts");
        while let Ok(part) = parts.recv_timeout(PATIENCE) {
            stream.write_all(part).expect("it is sent");
        }
    });
    let stand = Stand::before(upstream, Speaks::Sse);
    stand.arm("stream.cut", &json!({"after_tokens": 0}));
    let mut client = stand.client();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    client.head().expect("a head");
    for part in [&b"\x1f\x8b\x08\0\x01"[..], b"\x02\x03", b"\xff\xff"] {
        push.send(part).expect("it is pushed");
        assert_eq!(client.exactly(part.len()), part, "before the next one comes");
    }
}

#[test]
fn tokens_pass_one_by_one_as_they_come() {
    let (stand, push) = paced();
    let mut client = stand.client();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    push.send(": ping\n\n".into()).expect("it is pushed");
    client.head().expect("a head");
    assert_eq!(client.exactly(13), b"8\r\n: ping\n\n\r\n", "a comment is not kept back");
    push.send("data: a\r\n\r\n".into()).expect("it is pushed");
    assert_eq!(client.exactly(16), b"b\r\ndata: a\r\n\r\n\r\n");
}
