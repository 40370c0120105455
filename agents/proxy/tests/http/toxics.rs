//! What `http.*` does, and does not do.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::json;

use super::scaffold::{Log, PATIENCE, Stand, pattern, server, web};

fn stand() -> (Stand, Log) {
    let (address, log) = web();
    (Stand::before(address, Speaks::Http), log)
}

fn asked(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().expect("the log"))
}

#[test]
fn a_status_is_answered_in_turn_and_the_upstream_never_asked() {
    let (stand, log) = stand();
    stand.arm(
        "http.status",
        &json!({"status": 429, "retry_after": "1500ms", "body": "{\"e\":1}", "path": "/no/*", "set_headers": {"X-A": "b"}}),
    );
    let mut client = stand.client();
    client.send(b"GET /bytes/3 HTTP/1.1\r\n\r\nPOST /no/1 HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyHEAD /no/2 HTTP/1.1\r\n\r\nGET /bytes/4 HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer("GET").body, pattern(3));
    let own = client.answer("POST");
    assert_eq!((own.status(), own.text()), (429, "{\"e\":1}"));
    assert_eq!(own.head.first_line(), "HTTP/1.1 429 Too Many Requests");
    for (name, value) in [("retry-after", "2"), ("content-type", "application/json"), ("x-a", "b"), ("content-length", "7")] {
        assert_eq!(own.head.get(name), Some(value), "{name}");
    }
    let own = client.answer("HEAD");
    assert_eq!((own.status(), own.head.get("content-length")), (429, Some("7")));
    assert_eq!(client.answer("GET").body, pattern(4), "the connection goes on");
    assert_eq!(asked(&log), ["GET /bytes/3 HTTP/1.1", "GET /bytes/4 HTTP/1.1"]);
    stand.disarm("http.status");
    assert_eq!(client.get("/no/3").status(), 200, "gone at the next request of an open connection");
}

#[test]
fn an_answer_to_one_who_waits_to_continue_ends_the_connection() {
    let (stand, log) = stand();
    stand.arm("http.status", &json!({"status": 529}));
    let mut client = stand.client();
    client.send(b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let answer = client.answer("POST");
    assert_eq!((answer.status(), answer.head.get("connection")), (529, Some("close")));
    assert_eq!(client.rest(), b"");
    assert!(asked(&log).is_empty());
}

#[test]
fn requests_are_selected_by_method_path_header_and_share() {
    let (stand, _) = stand();
    let status = |with: serde_json::Value, request: &str| {
        stand.arm("http.status", &with);
        let mut client = stand.client();
        client.send(request);
        let status = client.answer("GET").status();
        stand.disarm("http.status");
        status
    };
    let request = "GET /v1/x?q=1 HTTP/1.1\r\nX-Tenant: 4711\r\n\r\n";
    for (with, meant) in [
        (json!({"methods": ["post", "get"]}), true),
        (json!({"methods": ["POST"]}), false),
        (json!({"path": "/v1/*"}), true),
        (json!({"path": "/v1/x"}), true),
        (json!({"path": "/v2/*"}), false),
        (json!({"headers": {"x-tenant": "47*"}}), true),
        (json!({"headers": {"x-tenant": "48*"}}), false),
        (json!({"headers": {"x-other": "*"}}), false),
        (json!({"path": "/v1/*", "methods": ["DELETE"]}), false),
        (json!({"requests": "0%"}), false),
        (json!({"connections": "0%"}), false),
    ] {
        let mut full = with.clone();
        full["status"] = json!(503);
        assert_eq!(status(full, request) == 503, meant, "{with}");
    }
    stand.arm("http.status", &json!({"status": 503, "requests": "50%"}));
    let mut client = stand.client();
    let hits = (0..200).filter(|_| client.get("/bytes/1").status() == 503).count();
    assert!((60..140).contains(&hits), "{hits} of 200 at a half");
    let toxic = &stand.proxy.toxics()[0];
    assert_eq!(usize::try_from(toxic.hits()).expect("few"), hits, "each is counted");
}

#[test]
fn delays_hold_heads_back_and_end_when_they_are_disarmed() {
    let (stand, _) = stand();
    let mut client = stand.client();
    for direction in ["requests", "answers", "both"] {
        stand.arm("http.delay", &json!({"delay": "150ms", "direction": direction}));
        let begun = Instant::now();
        assert_eq!(client.get("/chunked/5000").body, pattern(5000));
        let least = Duration::from_millis(if direction == "both" { 300 } else { 150 });
        assert!(begun.elapsed() >= least, "{direction}: {:?}", begun.elapsed());
        stand.disarm("http.delay");
    }
    stand.arm("http.delay", &json!({"delay": "1h"}));
    client.send(b"GET /bytes/9 HTTP/1.1\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    stand.disarm("http.delay");
    assert_eq!(client.answer("GET").body, pattern(9), "nothing is lost");
}

/// A client that has broken off while its request waited wants nothing any more: the upstream is not asked.
#[test]
fn who_breaks_off_while_a_delay_lasts_is_not_asked_for() {
    let (stand, log) = stand();
    stand.arm("http.delay", &json!({"delay": "1h", "direction": "requests"}));
    let mut gone = stand.client();
    gone.send("GET /gone HTTP/1.1\r\n\r\n");
    let toxic = &stand.proxy.toxics()[0];
    let since = Instant::now();
    while toxic.hits() == 0 {
        assert!(since.elapsed() < PATIENCE, "the request is never met");
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::net::sockopt::set_socket_linger(&gone.stream, Some(Duration::ZERO)).expect("it is set");
    drop(gone);
    // A second one comes after the reset, and shows that it was seen.
    let mut second = stand.client();
    second.send("GET /second HTTP/1.1\r\n\r\n");
    while toxic.hits() < 2 {
        assert!(since.elapsed() < PATIENCE, "the request is never met");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    stand.disarm("http.delay");
    assert_eq!(second.answer("GET").status(), 200);
    assert_eq!(asked(&log), ["GET /second HTTP/1.1"]);
}

#[test]
fn an_aborted_answer_is_seen_to_be_incomplete() {
    let (stand, _) = stand();
    for how in ["reset", "close"] {
        for kind in ["bytes", "chunked"] {
            stand.arm("http.abort", &json!({"after": "1500B", "how": how}));
            let answer = stand.client().get(&format!("/{kind}/9000"));
            assert!(!answer.complete, "{kind} {how}");
            assert_eq!(answer.body, pattern(1500), "{kind} {how}");
            let short = stand.client().get(&format!("/{kind}/1500"));
            assert!(short.complete, "{kind} {how}: no more than that is not met");
            stand.disarm("http.abort");
        }
    }
}

#[test]
fn a_truncated_answer_looks_complete() {
    let (stand, _) = stand();
    stand.arm("http.truncate", &json!({"after": "1500B"}));
    let mut client = stand.client();
    for kind in ["bytes", "chunked", "close"] {
        let answer = client.get(&format!("/{kind}/9000"));
        assert!(answer.complete, "{kind}");
        assert_eq!(answer.body, pattern(1500), "{kind}");
    }
    stand.disarm("http.truncate");
    assert_eq!(stand.client().get("/chunked/9000").body, pattern(9000));
}

#[test]
fn content_status_and_fields_are_replaced() {
    let (stand, _) = stand();
    let mut client = stand.client();
    stand.arm("http.replace", &json!({"patch": {"a": {"b": 9, "c": null}, "e": "new"}, "set_headers": {"x-kept": null, "X-New": "1"}}));
    let answer = client.get("/json");
    assert_eq!(answer.text(), r#"{"a":{"b":9},"d":[1,2],"e":"new"}"#);
    assert_eq!((answer.head.get("x-kept"), answer.head.get("x-new")), (None, Some("1")));
    let answer = client.get("/chunked/5000");
    assert_eq!((answer.body, answer.head.get("x-new")), (pattern(5000), Some("1")), "what is no JSON passes");
    stand.disarm("http.replace");

    stand.arm("http.replace", &json!({"body": "other", "status": 206}));
    for path in ["/bytes/9", "/chunked/9000"] {
        let answer = client.get(path);
        assert_eq!((answer.status(), answer.text(), answer.complete), (206, "other", true), "{path}");
    }
    let large = client.get("/bytes/5000000");
    assert!(large.body == pattern(5_000_000), "too large to be replaced");
    stand.disarm("http.replace");
}

/// Answers that have no content, whatever they say of its length, become ones that have: the client must see where those end.
#[test]
fn an_answer_without_content_gets_one() {
    let upstream = server(|mut stream| {
        let mut asked = Vec::new();
        while asked.windows(4).filter(|end| end == b"\r\n\r\n").count() < 4 {
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).expect("it is asked");
            assert_ne!(n, 0, "the client waits for its answers");
            asked.extend_from_slice(&buffer[..n]);
        }
        let answers = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 50\r\nContent-Type: text/event-stream\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answers).expect("it is sent");
    });
    let asked = |with: serde_json::Value| {
        let stand = Stand::before(upstream, Speaks::Http);
        stand.arm("http.replace", &with);
        let mut client = stand.client();
        client.send("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nHEAD /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n");
        let answers: Vec<_> = ["GET", "GET", "HEAD", "GET"].into_iter().map(|method| client.answer(method)).collect();
        assert_eq!(client.rest(), b"", "{with}");
        let hits = stand.proxy.toxics()[0].hits();
        (answers.into_iter().map(|a| (a.status(), a.text().to_owned(), a.complete)).collect::<Vec<_>>(), hits)
    };
    let empty = (500, String::new(), true);
    assert_eq!(asked(json!({"status": 500})).0, vec![empty.clone(); 4]);
    let other = (500, "other".to_owned(), true);
    assert_eq!(asked(json!({"status": 500, "body": "other"})).0, [other.clone(), other.clone(), empty, other]);
    let (answers, hits) = asked(json!({"body": "other"}));
    let bare = |status| (status, String::new(), true);
    assert_eq!(answers, [bare(204), bare(304), bare(200), (200, "other".to_owned(), true)]);
    assert_eq!(hits, 1, "one answer had room for it");
}

#[test]
fn the_trailers_of_replaced_content_are_not_promised() {
    let upstream = server(|mut stream| {
        let mut asked = [0; 18];
        stream.read_exact(&mut asked).expect("it is asked");
        let answer = b"HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n";
        stream.write_all(answer).expect("it is sent");
    });
    let stand = Stand::before(upstream, Speaks::Http);
    stand.arm("http.replace", &json!({"body": "other"}));
    let mut client = stand.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    let answer = client.answer("GET");
    assert_eq!((answer.text(), answer.head.get("trailer")), ("other", None));
}

/// A selector that is misspelt and dropped would mean everything.
#[test]
fn fields_that_a_toxic_does_not_have_are_refused() {
    let (stand, _) = stand();
    for (kind, with) in [
        ("http.delay", json!({"delay": "1s", "methodes": ["POST"]})),
        ("http.status", json!({"status": 503, "paths": "/x"})),
        ("stream.cut", json!({"after_tokens": 1, "pth": "/x"})),
        ("tcp.latency", json!({"delay": "1s", "jiter": "1s"})),
    ] {
        assert!(stand.proxy.arm("x", kind, &with).is_err(), "{kind} {with}");
    }
}

#[test]
fn bad_fields_are_refused() {
    let (stand, _) = stand();
    for (kind, with) in [
        ("http.status", json!({"status": 99})),
        ("http.status", json!({"status": 204, "body": "x"})),
        ("http.status", json!({"status": 503, "methods": ["G T"]})),
        ("http.status", json!({"status": 503, "set_headers": {"a b": "c"}})),
        ("http.status", json!({"status": 503, "set_headers": {"content-length": "3"}})),
        ("http.status", json!({"status": 503, "set_headers": {"x": "a\r\nb"}})),
        ("http.replace", json!({})),
        ("http.replace", json!({"body": "x", "patch": {}})),
        ("http.replace", json!({"status": 304})),
        ("http.replace", json!({"status": 205})),
        ("http.status", json!({"status": 205, "body": "x"})),
        ("stream.error", json!({"after_tokens": 1, "event": "a\nb"})),
        ("http.delay", json!({})),
    ] {
        assert!(stand.proxy.arm("x", kind, &with).is_err(), "{kind} {with}");
    }
}

/// Bytes that no toxic alters come out as they went in, through each of those that only delay, and through those that mean others.
#[test]
fn a_large_body_passes_every_toxic_that_does_not_mean_it() {
    let (stand, _) = stand();
    for (kind, with) in [
        ("http.delay", json!({"delay": "10ms", "direction": "both"})),
        ("http.status", json!({"status": 503, "path": "/other"})),
        ("http.abort", json!({"after": "1KiB", "path": "/other"})),
        ("http.truncate", json!({"after": "1KiB", "methods": ["PUT"]})),
        ("http.replace", json!({"body": "x", "headers": {"x-no": "*"}})),
        ("stream.gap", json!({"gap": "1s"})),
        ("stream.cut", json!({"after_tokens": 0})),
    ] {
        stand.arm(kind, &with);
    }
    let mut client = stand.client();
    let content = pattern(20_000_000);
    for path in ["/chunked/20000000", "/bytes/20000000"] {
        assert!(client.get(path).body == content, "{path}");
    }
    let (mut writer, body) = (client.stream.try_clone().expect("a clone"), content.clone());
    let sending = std::thread::spawn(move || {
        let head = format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body)).expect("it is sent");
    });
    assert!(client.answer("POST").body == content);
    sending.join().expect("it was sent");
}
