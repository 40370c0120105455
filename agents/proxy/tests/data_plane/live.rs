//! Toxics that begin, change and end on connections that are open.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use serde_json::json;

use crate::scenes::{Standing, echo, wait_for};

pub(crate) fn round_trip(client: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    client.write_all(bytes).expect("it is sent");
    let mut back = vec![0; bytes.len()];
    client.read_exact(&mut back).expect("it comes back");
    assert_eq!(back, bytes);
    begun.elapsed()
}

#[test]
fn a_delay_begins_changes_and_ends_on_an_open_connection() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut client = proxy.connect();
    round_trip(&mut client, b"hello");
    proxy.arm("slow", "tcp.latency", &json!({"delay": "300ms"})).expect("it is armed");
    assert!(round_trip(&mut client, b"hello") >= Duration::from_millis(300));
    proxy.adjust("slow", &json!({"delay": "600ms"})).expect("it is adjusted");
    assert!(round_trip(&mut client, b"hello") >= Duration::from_millis(600));
    assert_eq!(proxy.toxics()[0].hits(), 2, "each answer met it");
    assert!(proxy.disarm("slow"));
    let fastest = (0..20).map(|_| round_trip(&mut client, b"hello")).min().expect("some");
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[test]
fn what_waits_in_a_delay_goes_at_once_when_it_is_taken_back() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("slow", "tcp.latency", &json!({"delay": "1h"})).expect("it is armed");
    let mut client = proxy.connect();
    client.write_all(b"hello").expect("it is sent");
    wait_for("it has met the delay", || proxy.toxics()[0].hits() > 0);
    proxy.disarm("slow");
    let mut back = [0; 5];
    client.read_exact(&mut back).expect("it comes, long before its time");
    assert_eq!(&back, b"hello");
}

#[test]
fn what_waits_is_counted_once_however_often_other_toxics_change() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("slow", "tcp.latency", &json!({"delay": "1h"})).expect("it is armed");
    let mut client = proxy.connect();
    client.write_all(b"hello").expect("it is sent");
    wait_for("it has met the delay", || proxy.toxics()[0].hits() > 0);
    let met = proxy.toxics()[0].hits();
    for _ in 0..20 {
        proxy.arm("other", "tcp.slice", &json!({"size": "1 kB"})).expect("it is armed");
        std::thread::sleep(Duration::from_millis(2));
        proxy.disarm("other");
    }
    proxy.arm("late", "tcp.latency", &json!({"delay": "1ms", "direction": "both"})).expect("it is armed");
    wait_for("what waits has met the new one", || proxy.toxics()[1].hits() > 0);
    assert_eq!(proxy.toxics()[0].hits(), met);
}

#[test]
fn a_blackhole_keeps_what_was_sent_and_gives_it_back_in_order() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut client = proxy.connect();
    round_trip(&mut client, b"hello");
    proxy.arm("hole", "tcp.blackhole", &json!({})).expect("it is armed");
    for number in 0..100_u8 {
        client.write_all(&[number]).expect("it is sent");
    }
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    assert!(client.read(&mut [0; 1]).is_err(), "nothing comes");
    proxy.disarm("hole");
    client.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut back = [0; 100];
    client.read_exact(&mut back).expect("everything comes");
    assert!(back.iter().enumerate().all(|(at, byte)| at == usize::from(*byte)), "in order");
}

#[test]
fn jitter_never_lets_one_piece_overtake_another() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("slow", "tcp.latency", &json!({"delay": "5ms", "jitter": "5ms", "direction": "both"})).expect("it is armed");
    let mut client = proxy.connect();
    let mut reader = client.try_clone().expect("a clone");
    let sender = std::thread::spawn(move || {
        for number in 0..2_000_u32 {
            client.write_all(&number.to_be_bytes()).expect("it is sent");
        }
        client
    });
    let mut back = vec![0; 8_000];
    reader.read_exact(&mut back).expect("everything comes");
    let numbers: Vec<u32> = back.chunks(4).map(|c| u32::from_be_bytes(c.try_into().expect("four bytes"))).collect();
    assert!(numbers.is_sorted() && numbers.len() == 2_000);
    drop(sender.join());
}

#[test]
fn toxics_compose_and_each_direction_is_its_own() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("there", "tcp.latency", &json!({"delay": "300ms", "direction": "requests"})).expect("it is armed");
    proxy.arm("back", "tcp.latency", &json!({"delay": "300ms", "direction": "answers"})).expect("it is armed");
    proxy.arm("pieces", "tcp.slice", &json!({"size": "1 B"})).expect("it is armed");
    let mut client = proxy.connect();
    assert!(round_trip(&mut client, b"hello, world") >= Duration::from_millis(600));
}

#[test]
fn a_share_of_connections_is_drawn_once_for_each() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("some", "tcp.latency", &json!({"delay": "500ms", "connections": "50%"})).expect("it is armed");
    let meets: Vec<bool> = (0..40).map(|number| proxy.toxics()[0].meets(number)).collect();
    let drawn = meets.iter().filter(|m| **m).count();
    assert!((8..=32).contains(&drawn), "{drawn} of 40 at a half");
    let (met, spared) = (meets.iter().position(|m| *m).expect("one"), meets.iter().position(|m| !*m).expect("one"));
    let mut clients: Vec<TcpStream> = (0..=met.max(spared)).map(|_| proxy.connect()).collect();
    // Numbers are given in the order of accepting, which is the order of connecting.
    for _ in 0..2 {
        assert!(round_trip(&mut clients[met], b"x") >= Duration::from_millis(500));
    }
    let fastest = (0..5).map(|_| round_trip(&mut clients[spared], b"x")).min().expect("some");
    assert!(fastest < Duration::from_millis(400), "{fastest:?}");
}

#[test]
fn bad_fields_are_refused_and_change_nothing() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    for (kind, with, says) in [
        ("tcp.rate", json!({"rate": "0 B/s"}), "nothing would pass"),
        ("tcp.rate", json!({"rate": "5/s"}), "rate of events"),
        ("tcp.latency", json!({"delay": "soon"}), "not a duration"),
        ("tcp.latency", json!({"delay": "1ms", "dela": 1}), "has no field `dela`"),
        ("tcp.nothing", json!({}), "knows no toxic"),
        ("tcp.slice", json!({"size": "0 B"}), "a piece of nothing"),
    ] {
        let error = proxy.arm("x", kind, &with).expect_err("it is refused");
        assert!(error.message.contains(says), "{kind}: {error:?}");
    }
    proxy.arm("x", "tcp.refuse", &json!({})).expect("it is armed");
    assert!(proxy.arm("x", "tcp.down", &json!({})).is_err(), "the id is taken");
    assert_eq!(proxy.toxics().len(), 1);
}

#[test]
fn another_toxic_of_the_same_id_is_another_toxic() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("x", "tcp.rate", &json!({"rate": "1 GB/s"})).expect("it is armed");
    let mut clients: Vec<TcpStream> = (0..40).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        round_trip(client, b"hello");
    }
    // Within a moment, so that many connections see only the second.
    proxy.disarm("x");
    proxy.arm("x", "tcp.blackhole", &json!({})).expect("it is armed");
    clients.iter_mut().for_each(|client| client.write_all(b"hello").expect("it is sent"));
    std::thread::sleep(Duration::from_millis(300));
    for client in &mut clients {
        client.set_nonblocking(true).expect("not blocking");
        assert!(client.read(&mut [0; 1]).is_err(), "nothing comes");
    }
}
