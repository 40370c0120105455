//! Everything that goes in comes out, in order, whatever is in force. `CHAOS_TRANSFER_MB` for each (64 unless given; 1000 for a long test).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::{Value, json};

use crate::scenes::{Standing, echo, upstream};

/// How much each test sends: so many megabytes, unless `CHAOS_TRANSFER_MB` says otherwise.
pub(crate) fn transfer_bytes(megabytes: usize) -> usize {
    std::env::var("CHAOS_TRANSFER_MB").ok().and_then(|mb| mb.parse().ok()).unwrap_or(megabytes) * 1_000_000
}

/// A long sequence that nothing lost, doubled or out of place can imitate.
pub(crate) struct Sequence(u64);

impl Sequence {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

/// Sends so many bytes through an echo, both ways at once, and compares every one.
fn there_and_back(proxy: &Standing, bytes: usize) {
    let mut to = proxy.connect();
    let mut from = to.try_clone().expect("a clone");
    let sender = std::thread::spawn(move || {
        send(&mut to, bytes);
        to.shutdown(Shutdown::Write).expect("half is closed");
        to
    });
    receive(&mut from, bytes);
    assert_eq!(from.read(&mut [0; 1]).expect("an end"), 0, "more than was sent");
    drop(sender.join());
}

fn send(to: &mut impl Write, bytes: usize) {
    let (mut sequence, mut buffer, mut left) = (Sequence::new(), vec![0; 100_000], bytes);
    while left > 0 {
        let len = left.min(buffer.len());
        sequence.fill(&mut buffer[..len]);
        to.write_all(&buffer[..len]).expect("it is sent");
        left -= len;
    }
}

fn receive(from: &mut impl Read, bytes: usize) {
    let (mut sequence, mut buffer, mut expected, mut left) = (Sequence::new(), vec![0; 100_000], vec![0; 100_000], bytes);
    while left > 0 {
        let most = left.min(buffer.len());
        let read = from.read(&mut buffer[..most]).expect("it comes back");
        assert!(read > 0, "{left} bytes are missing");
        sequence.fill(&mut expected[..read]);
        assert!(buffer[..read] == expected[..read], "another byte than was sent, within {read} before the last {left}");
        left -= read;
    }
}

fn through(toxics: &[(&str, Value)]) {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    for (kind, with) in toxics {
        proxy.arm(kind, kind, with).expect("it is armed");
    }
    there_and_back(&proxy, transfer_bytes(64));
    assert!(proxy.toxics().iter().all(|t| t.hits() > 0 || !t.is_counted() || t.kind == "tcp.limit"), "each was met");
}

#[test]
fn everything_arrives_with_no_toxic() {
    through(&[]);
}

#[test]
fn everything_arrives_through_a_delay() {
    through(&[("tcp.latency", json!({"delay": "20ms", "jitter": "10ms", "distribution": "pareto", "direction": "both"}))]);
}

#[test]
fn everything_arrives_through_a_rate() {
    through(&[("tcp.rate", json!({"rate": "100 MB/s", "direction": "both"}))]);
}

#[test]
fn everything_arrives_in_small_pieces() {
    through(&[("tcp.slice", json!({"size": "2 kB", "spread": "1 kB", "direction": "both"}))]);
}

#[test]
fn everything_arrives_before_a_late_end_and_a_limit() {
    through(&[("tcp.slow_close", json!({"delay": "50ms"})), ("tcp.limit", json!({"bytes": "2 TB"}))]);
}

#[test]
fn everything_arrives_on_a_connection_that_was_open_before_new_ones_are_refused() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut to = proxy.connect();
    to.write_all(b"!").expect("it is sent");
    to.read_exact(&mut [0; 1]).expect("it is open");
    proxy.arm("refuse", "tcp.refuse", &json!({})).expect("it is armed");
    let mut from = to.try_clone().expect("a clone");
    let bytes = transfer_bytes(16);
    let sender = std::thread::spawn(move || {
        send(&mut to, bytes);
        to
    });
    receive(&mut from, bytes);
    drop(sender.join());
}

/// Reads the head of a message of HTTP/1.1.
pub(crate) fn head(from: &mut impl BufRead) -> String {
    let lines = from.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    lines.fold(String::new(), |head, line| head + &line + "\n")
}

#[test]
fn everything_arrives_in_messages_of_http() {
    let bytes = transfer_bytes(64);
    let proxy = Standing::before(
        upstream(move |client| {
            let mut from = BufReader::new(&client);
            head(&mut from);
            let _ = write!(&client, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
            let _ = std::io::copy(&mut from.take(bytes as u64), &mut &client);
        }),
        Speaks::Http,
    );
    proxy.arm("slow", "http.delay", &json!({"delay": "20ms"})).expect("it is armed");
    let mut to = proxy.connect();
    let from = to.try_clone().expect("a clone");
    let sender = std::thread::spawn(move || {
        write!(to, "POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: {bytes}\r\n\r\n").expect("it is asked");
        send(&mut to, bytes);
        to
    });
    let mut from = BufReader::new(from);
    assert!(head(&mut from).starts_with("HTTP/1.1 200"));
    receive(&mut from, bytes);
    drop(sender.join());
    assert!(proxy.toxics()[0].hits() > 0);
}

#[test]
fn everything_arrives_in_commands_of_redis() {
    // Commands are well-formed replies, too: an echo will do for a server.
    const VALUE: usize = 1_000_000;
    let proxy = Standing::before(echo(), Speaks::Redis);
    proxy.arm("slow", "redis.delay", &json!({"delay": "1ms"})).expect("it is armed");
    let (times, frame) = (transfer_bytes(64) / VALUE, format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE}\r\n"));
    let mut to = proxy.connect();
    let mut from = to.try_clone().expect("a clone");
    let before = frame.clone();
    let sender = std::thread::spawn(move || {
        for _ in 0..times {
            to.write_all(before.as_bytes()).expect("it is sent");
            send(&mut to, VALUE);
            to.write_all(b"\r\n").expect("it is sent");
        }
        to
    });
    for _ in 0..times {
        let mut back = vec![0; frame.len()];
        from.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, frame.as_bytes());
        receive(&mut from, VALUE);
        from.read_exact(&mut [0; 2]).expect("its end");
    }
    drop(sender.join());
    assert!(proxy.toxics()[0].hits() > 0);
}

#[test]
fn everything_arrives_while_toxics_come_and_go() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let stop = Arc::new(AtomicUsize::new(0));
    let (changing, stopping) = (Arc::clone(&proxy.0), Arc::clone(&stop));
    let changer = std::thread::spawn(move || {
        let toxics = [
            ("tcp.latency", json!({"delay": "5ms", "jitter": "5ms", "direction": "both"})),
            ("tcp.blackhole", json!({})),
            ("tcp.slice", json!({"size": "10 kB", "direction": "both"})),
            ("tcp.rate", json!({"rate": "50 MB/s"})),
        ];
        let mut changes = 0;
        while stopping.load(Ordering::Relaxed) == 0 {
            let (kind, with) = &toxics[changes % toxics.len()];
            changing.arm(kind, kind, with).expect("it is armed");
            std::thread::sleep(Duration::from_millis(7));
            changing.disarm(toxics[(changes + 2) % toxics.len()].0);
            changing.disarm(if changes % 3 == 0 { "tcp.blackhole" } else { kind });
            std::thread::sleep(Duration::from_millis(3));
            changing.disarm(kind);
            changes += 1;
        }
        changes
    });
    there_and_back(&proxy, transfer_bytes(64));
    stop.store(1, Ordering::Relaxed);
    assert!(changer.join().expect("it changes") > 3);
}

#[test]
fn a_long_transfer_is_delayed_once_and_not_once_a_piece() {
    const BYTES: usize = 5_000_000;
    let proxy = Standing::before(upstream(|mut client| drop(client.write_all(&vec![7; BYTES]))), Speaks::Tcp);
    proxy.arm("slow", "tcp.latency", &json!({"delay": "300ms"})).expect("it is armed");
    let begun = Instant::now();
    let mut back = Vec::new();
    proxy.connect().read_to_end(&mut back).expect("to the end");
    let took = begun.elapsed();
    assert_eq!(back.len(), BYTES);
    // Bytes and end are one delay apart at most: twice is the most that a busy machine explains; a serial delay takes twenty times.
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_rate_holds_over_a_transfer() {
    let proxy = Standing::before(upstream(|mut client| drop(client.write_all(&vec![7; 1_000_000]))), Speaks::Tcp);
    proxy.arm("narrow", "tcp.rate", &json!({"rate": "500 kB/s"})).expect("it is armed");
    let begun = Instant::now();
    let mut back = Vec::new();
    proxy.connect().read_to_end(&mut back).expect("to the end");
    let took = begun.elapsed();
    // Never faster; how much slower is the machine's affair (the benchmark measures it).
    assert!(took >= Duration::from_millis(1_960) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_slow_reader_is_felt_by_the_sender_and_loses_nothing() {
    const BYTES: usize = 64_000_000;
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let proxy = Standing::before(
        upstream(|mut client| {
            let mut left = BYTES;
            while left > 0 {
                let Ok(sent) = client.write(&vec![7; left.min(100_000)]) else { return };
                SENT.fetch_add(sent, Ordering::Relaxed);
                left -= sent;
            }
        }),
        Speaks::Tcp,
    );
    let mut client = proxy.connect();
    // Until nothing moves any more: whatever socket buffers hold, and not what the whole is.
    let mut before = usize::MAX;
    while before != SENT.load(Ordering::Relaxed) || before == 0 {
        before = SENT.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(before < 40_000_000, "{before} bytes were taken from the sender although nobody reads");
    let mut back = Vec::with_capacity(BYTES);
    client.read_to_end(&mut back).expect("everything");
    assert_eq!(back.len(), BYTES);
}
