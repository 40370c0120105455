//! Everything arrives through the toxics on messages, too, as long as they lose nothing: none of them takes, doubles or changes a byte
//! of what it does not mean. `CHAOS_TRANSFER_MB` for each (16 unless given; 1000 for a long test).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use chaos_proxy::toxic::Speaks;
use serde_json::{Value, json};

use crate::scenes::{Standing, upstream};
use crate::transfer::{Sequence, head, transfer_bytes};

/// How long a message is.
const PART: usize = 1_000_000;
/// How long an event of a stream is.
const EVENT: usize = 20_000;

fn parts(length: usize) -> usize {
    (transfer_bytes(16) / length).max(1)
}

/// A part of a long sequence, in letters.
fn letters(sequence: &mut Sequence, length: usize) -> Vec<u8> {
    let mut part = vec![0; length];
    sequence.fill(&mut part);
    part.iter_mut().for_each(|byte| *byte = b'a' + (*byte & 15));
    part
}

fn standing(upstream: SocketAddr, speaks: Speaks, toxics: &[(&str, Value)]) -> Standing {
    let proxy = Standing::before(upstream, speaks);
    for (kind, with) in toxics {
        proxy.arm(kind, kind, with).expect("it is armed");
    }
    proxy
}

/// Reads the letters of the sequence, each part between `before` and `behind`.
fn receive(from: &mut impl Read, length: usize, before: &[u8], behind: &[u8]) {
    let mut sequence = Sequence::new();
    for part in 0..parts(length) {
        let expected = [before, &letters(&mut sequence, length), behind].concat();
        let mut came = vec![0; expected.len()];
        from.read_exact(&mut came).expect("it comes");
        assert!(came == expected, "part {part} is another than was sent");
    }
}

/// A server that answers each GET with the letters, parted as said; the connection ends with the answer.
fn answers(length: usize, head: &'static str, before: &'static [u8], behind: &'static [u8]) -> SocketAddr {
    upstream(move |client| {
        let mut from = BufReader::new(&client);
        self::head(&mut from);
        let (mut to, mut sequence) = (&client, Sequence::new());
        let _ = write!(to, "HTTP/1.1 200 OK\r\nconnection: close\r\n{head}\r\n");
        for _ in 0..parts(length) {
            if to.write_all(&[before, &letters(&mut sequence, length), behind].concat()).is_err() {
                return;
            }
        }
    })
}

fn asked(proxy: &Standing, path: &str) -> (BufReader<TcpStream>, String) {
    let mut client = proxy.connect();
    write!(client, "GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").expect("it is asked");
    let mut from = BufReader::new(client);
    let head = head(&mut from);
    (from, head)
}

#[test]
fn everything_arrives_through_the_toxics_of_http() {
    let toxics = [
        ("http.delay", json!({"delay": "20ms", "direction": "both"})),
        ("http.abort", json!({"after": "9 TB"})),
        ("http.truncate", json!({"after": "9 TB"})),
        ("http.replace", json!({"set_headers": {"x-was-here": "yes"}})),
        ("http.status", json!({"status": 503, "path": "/other"})),
    ];
    let proxy = standing(answers(PART, "", b"", b""), Speaks::Http, &toxics);
    let (mut from, head) = asked(&proxy, "/page");
    assert!(head.contains("x-was-here: yes"), "{head}");
    receive(&mut from, PART, b"", b"");
    assert_eq!(from.read(&mut [0; 1]).expect("an end"), 0, "more than was sent");
}

#[test]
fn everything_arrives_through_the_toxics_of_event_streams() {
    let late = u64::MAX / 2;
    let toxics = [
        ("stream.first_token", json!({"delay": "20ms"})),
        ("stream.gap", json!({"gap": "1ms"})),
        ("stream.stall", json!({"after_tokens": late})),
        ("stream.cut", json!({"after_tokens": late})),
        ("stream.error", json!({"after_tokens": late})),
        ("stream.malformed", json!({"after_tokens": late})),
    ];
    let proxy = standing(answers(EVENT, "content-type: text/event-stream\r\n", b"data: ", b"\n\n"), Speaks::Sse, &toxics);
    let (mut from, _) = asked(&proxy, "/stream");
    receive(&mut from, EVENT, b"data: ", b"\n\n");
    assert_eq!(from.read(&mut [0; 1]).expect("an end"), 0, "more than was sent");
    assert!(proxy.toxics()[0].hits() > 0, "it met them");
}

#[test]
fn everything_arrives_through_the_toxics_of_object_stores() {
    let toxics = [
        ("s3.slow_first_byte", json!({"delay": "20ms"})),
        ("s3.stall", json!({"after": "9 TB"})),
        ("s3.truncate", json!({"after": "9 TB"})),
        ("s3.slow_down", json!({"objects": "other/*"})),
    ];
    let proxy = standing(answers(PART, "", b"", b""), Speaks::S3, &toxics);
    let (mut from, _) = asked(&proxy, "/models/ranker");
    receive(&mut from, PART, b"", b"");
    assert_eq!(from.read(&mut [0; 1]).expect("an end"), 0, "more than was sent");
    assert!(proxy.toxics()[0].hits() > 0, "it met them");
}

#[test]
fn everything_arrives_through_the_toxics_of_redis() {
    let toxics = [
        ("redis.delay", json!({"delay": "1ms"})),
        ("redis.throttle", json!({"rate": "10000/s"})),
        ("redis.error", json!({"error": "BUSY", "keys": ["other:*"]})),
        ("redis.null", json!({"keys": ["other:*"]})),
        ("redis.stale", json!({"keys": ["other:*"]})),
    ];
    // Commands are well-formed replies, too: an echo will do for a server.
    let proxy = standing(crate::scenes::echo(), Speaks::Redis, &toxics);
    let (before, mut client) = (format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${PART}\r\n"), proxy.connect());
    let mut from = client.try_clone().expect("a clone");
    let frame = before.clone();
    let sender = std::thread::spawn(move || {
        let mut sequence = Sequence::new();
        for _ in 0..parts(PART) {
            client.write_all(&[frame.as_bytes(), &letters(&mut sequence, PART), b"\r\n"].concat()).expect("it is sent");
        }
        client
    });
    receive(&mut from, PART, before.as_bytes(), b"\r\n");
    drop(sender.join());
    assert!(proxy.toxics().iter().take(2).all(|toxic| toxic.hits() > 0), "it met them");
}

/// A message of PostgreSQL: its kind, its length, what is in it.
fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).expect("it is short");
    [&[kind], length.to_be_bytes().as_slice(), content].concat()
}

/// The content of the next message.
fn message(from: &mut impl BufRead) -> Option<(u8, Vec<u8>)> {
    let mut start = [0; 5];
    from.read_exact(&mut start).ok()?;
    let mut content = vec![0; u32::from_be_bytes([start[1], start[2], start[3], start[4]]) as usize - 4];
    from.read_exact(&mut content).ok()?;
    Some((start[0], content))
}

/// A server that answers each statement with itself, as the row of a result.
fn sql() -> SocketAddr {
    upstream(|client| {
        let mut from = BufReader::new(&client);
        let mut to = &client;
        let mut begin = [0; 8];
        if from.read_exact(&mut begin).is_err() || to.write_all(&[frame(b'R', &[0; 4]), frame(b'Z', b"I")].concat()).is_err() {
            return;
        }
        while let Some((b'Q', statement)) = message(&mut from) {
            let answer = [frame(b'D', &statement), frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")].concat();
            if to.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

#[test]
fn everything_arrives_through_the_toxics_of_postgres() {
    let toxics = [
        ("postgres.delay", json!({"delay": "1ms", "statements": ["select"]})),
        ("postgres.error", json!({"sqlstate": "40001", "statements": ["insert"]})),
    ];
    let proxy = standing(sql(), Speaks::Postgres, &toxics);
    let mut client = proxy.connect();
    client.write_all(&[0, 0, 0, 8, 0, 3, 0, 0]).expect("it is greeted");
    let mut from = BufReader::new(client.try_clone().expect("a clone"));
    for kind in [b'R', b'Z'] {
        assert_eq!(message(&mut from).expect("a greeting").0, kind);
    }
    let statement = |sequence: &mut Sequence| [b"SELECT '".as_slice(), &letters(sequence, PART), b"'\0"].concat();
    let sender = std::thread::spawn(move || {
        let mut sequence = Sequence::new();
        for _ in 0..parts(PART) {
            client.write_all(&frame(b'Q', &statement(&mut sequence))).expect("it is sent");
        }
        client
    });
    let mut sequence = Sequence::new();
    for part in 0..parts(PART) {
        let (kind, row) = message(&mut from).expect("a row");
        assert!(kind == b'D' && row == statement(&mut sequence), "row {part} is another than was sent");
        assert_eq!(message(&mut from).map(|(kind, _)| kind), Some(b'C'));
        assert_eq!(message(&mut from).map(|(kind, _)| kind), Some(b'Z'));
    }
    drop(sender.join());
    assert!(proxy.toxics()[0].hits() > 0, "it met them");
}
