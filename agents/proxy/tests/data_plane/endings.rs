//! How connections end: in good order, one half at a time, by a reset, late, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use crate::live::round_trip;
use crate::scenes::{Standing, echo, upstream, wait_for};

fn rst(socket: TcpStream) {
    set_socket_linger(socket.as_fd(), Some(Duration::ZERO)).expect("no lingering");
    drop(socket);
}

#[test]
fn a_client_that_has_sent_everything_still_gets_its_answer() {
    let proxy = Standing::before(
        upstream(|mut client| {
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("to the end");
            client.write_all(&all.iter().rev().copied().collect::<Vec<_>>()).expect("an answer after the end");
        }),
        Speaks::Tcp,
    );
    let mut client = proxy.connect();
    client.write_all(b"hello").expect("it is sent");
    client.shutdown(Shutdown::Write).expect("half is closed");
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("an answer and an end");
    assert_eq!(back, b"olleh");
}

#[test]
fn an_upstream_that_has_answered_everything_still_hears_the_client() {
    let (heard, hears) = channel();
    let proxy = Standing::before(
        upstream(move |mut client| {
            client.write_all(b"bye").expect("an answer");
            client.shutdown(Shutdown::Write).expect("half is closed");
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("to the end");
            heard.send(all).expect("it is told");
        }),
        Speaks::Tcp,
    );
    let mut client = proxy.connect();
    let mut back = Vec::new();
    client.read_to_end(&mut back).expect("the answer and its end");
    assert_eq!(back, b"bye");
    client.write_all(b"still here").expect("it is sent");
    drop(client);
    assert_eq!(hears.recv_timeout(Duration::from_secs(30)).expect("it is heard"), b"still here");
}

#[test]
fn a_reset_at_one_end_is_a_reset_at_the_other() {
    let (told, tells) = channel();
    let proxy = Standing::before(
        upstream(move |mut client| {
            let mut byte = [0; 1];
            client.read_exact(&mut byte).expect("a byte");
            if byte == *b"r" {
                rst(client);
            } else {
                told.send(client.read(&mut byte).expect_err("broken").kind()).expect("it is told");
            }
        }),
        Speaks::Tcp,
    );
    let mut client = proxy.connect();
    client.write_all(b"r").expect("it is sent");
    assert_eq!(client.read(&mut [0; 1]).expect_err("broken").kind(), ErrorKind::ConnectionReset);
    let mut client = proxy.connect();
    client.write_all(b"c").expect("it is sent");
    // The upstream has the byte before the reset overtakes it.
    std::thread::sleep(Duration::from_millis(200));
    rst(client);
    assert_eq!(tells.recv_timeout(Duration::from_secs(30)).expect("it is told"), ErrorKind::ConnectionReset);
}

#[test]
fn an_answer_that_does_not_wait_for_the_whole_request_arrives() {
    let proxy = Standing::before(
        upstream(|mut client| {
            client.read_exact(&mut [0; 1]).expect("a byte");
            // Closed with the rest unread: the kernel resets.
            client.write_all(b"too large").expect("an answer");
        }),
        Speaks::Tcp,
    );
    for _ in 0..50 {
        let mut client = proxy.connect();
        while client.write_all(&[7; 10_000]).is_ok() {}
        let mut back = [0; 9];
        client.read_exact(&mut back).expect("the answer comes before the reset");
        assert_eq!(&back, b"too large");
    }
}

#[test]
fn an_upstream_that_is_down_is_a_reset_and_the_proxy_goes_on() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let proxy = Standing::before(nobody, Speaks::Tcp);
    for _ in 0..3 {
        let mut client = proxy.connect();
        let read = client.read(&mut [0; 1]);
        assert!(matches!(read, Err(ref e) if e.kind() == ErrorKind::ConnectionReset), "{read:?}");
    }
    let told =
        chaos_proxy::control::state(&chaos_proxy::control::place(proxy.listen())).expect("its state").unreachable.expect("it is told");
    assert_eq!(told.connections, 3);
    assert!(told.why.contains("refused"), "{}", told.why);
}

#[test]
fn open_and_new_connections_are_reset_after_the_given_time() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut open = proxy.connect();
    round_trip(&mut open, b"hello");
    proxy.arm("reset", "tcp.reset", &json!({"after": "300ms"})).expect("it is armed");
    let begun = Instant::now();
    for client in [&mut open, &mut proxy.connect()] {
        assert_eq!(client.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }
    proxy.disarm("reset");
    round_trip(&mut proxy.connect(), b"hello");
}

#[test]
fn half_open_connections_hang_without_an_upstream_and_are_reset_when_taken_back() {
    let (told, tells) = channel();
    let proxy = Standing::before(
        upstream(move |mut client| {
            let mut all = [0; 16];
            let _ = client.read(&mut all);
            told.send(client.read(&mut all).is_err()).expect("it is told");
        }),
        Speaks::Tcp,
    );
    let mut open = proxy.connect();
    open.write_all(b"hello").expect("it is sent");
    wait_for("it is accepted", || proxy.connections() == 1);
    std::thread::sleep(Duration::from_millis(200));
    proxy.arm("gone", "tcp.half_open", &json!({})).expect("it is armed");
    assert!(tells.recv_timeout(Duration::from_secs(30)).expect("the upstream learns"), "by a reset");
    let mut fresh = proxy.connect();
    for client in [&mut open, &mut fresh] {
        client.write_all(b"is anybody there?").expect("it is taken");
        client.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let kind = client.read(&mut [0; 1]).expect_err("silence").kind();
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    }
    assert!(tells.try_recv().is_err(), "the new one reached no upstream");
    proxy.disarm("gone");
    for client in [&mut open, &mut fresh] {
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        assert_eq!(client.read(&mut [0; 1]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_limit_cuts_after_exactly_so_many_bytes() {
    for (then, broken) in [("close", false), ("reset", true)] {
        let proxy = Standing::before(upstream(|mut client| drop(client.write_all(&[7; 100_000]))), Speaks::Tcp);
        proxy.arm("cut", "tcp.limit", &json!({"bytes": "12345 B", "then": then})).expect("it is armed");
        let mut client = proxy.connect();
        let mut back = Vec::new();
        let end = client.read_to_end(&mut back);
        assert_eq!((back.len(), end.is_err()), (12_345, broken), "{then}");
    }
}

#[test]
fn a_refusing_proxy_spares_open_connections_and_keeps_its_port() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut open = proxy.connect();
    round_trip(&mut open, b"hello");
    for kind in ["tcp.refuse", "tcp.down"] {
        proxy.arm("gone", kind, &json!({})).expect("it is armed");
        wait_for("the kernel refuses", || TcpStream::connect(proxy.listen()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused));
        assert!(std::net::TcpListener::bind(proxy.listen()).is_err(), "nobody else may listen there meanwhile");
        if kind == "tcp.refuse" {
            round_trip(&mut open, b"hello");
        } else {
            assert_eq!(open.read(&mut [0; 1]).expect("ended in good order"), 0);
        }
        proxy.disarm("gone");
        wait_for("it listens again", || TcpStream::connect(proxy.listen()).is_ok());
    }
    round_trip(&mut proxy.connect(), b"hello");
}

#[test]
fn an_end_comes_late_and_bytes_do_not() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    proxy.arm("late", "tcp.slow_close", &json!({"delay": "800ms"})).expect("it is armed");
    let mut client = proxy.connect();
    let fastest = (0..10).map(|_| round_trip(&mut client, b"hello")).min().expect("some");
    assert!(fastest < Duration::from_millis(400), "{fastest:?}");
    assert_eq!(proxy.toxics()[0].hits(), 0, "nothing has ended yet");
    let begun = Instant::now();
    client.shutdown(Shutdown::Write).expect("half is closed");
    assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0);
    assert!(begun.elapsed() >= Duration::from_millis(800));
    assert_eq!(proxy.toxics()[0].hits(), 1);
}

#[test]
fn a_proxy_before_itself_is_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let upstream = chaos_proxy::Upstream::Fixed(format!("{host}:{}", free.port()).parse().expect("an address"));
        let config = chaos_proxy::ProxyConfig { listen: free, upstream, speaks: Speaks::Tcp };
        let error = crate::scenes::engine().open(config).err().expect("it is refused");
        assert!(error.to_string().contains("before itself"), "{error}");
    }
}

/// Clients that time out while nothing comes would fill a proxy that meets only a share of them.
#[test]
fn a_client_that_has_gone_is_let_go_though_everything_is_held() {
    for (direction, reset) in [("requests", true), ("requests", false), ("answers", false), ("both", true)] {
        let (told, tells) = channel();
        let proxy = Standing::before(
            upstream(move |mut client| {
                // It answers what comes, until it hears of the end.
                let mut some = [0; 100];
                while let Ok(1..) = client.read(&mut some) {
                    let _ = client.write_all(b"yes");
                }
                while client.write_all(b"are you there?").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
                let _ = told.send(());
            }),
            Speaks::Tcp,
        );
        proxy.arm("hole", "tcp.blackhole", &json!({"direction": direction})).expect("it is armed");
        let mut stays = proxy.connect();
        stays.write_all(b"hello").expect("it is sent");
        let mut goes = proxy.connect();
        // More than the proxy takes, and no more than the kernel does: an end behind what nobody takes never arrives.
        goes.write_all(&[7; 100_000]).expect("it is sent");
        if reset {
            rst(goes)
        } else {
            drop(goes)
        }
        let told = tells.recv_timeout(Duration::from_secs(30));
        assert!(told.is_ok(), "its upstream is let go while the toxic is in force: {direction}, reset {reset}");
        assert!(tells.try_recv().is_err(), "whoever waits is kept");
        proxy.disarm("hole");
        let mut back = [0; 3];
        stays.read_exact(&mut back).expect("what was held comes");
        assert_eq!(&back, b"yes");
    }
}
