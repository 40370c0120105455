//! Many connections, and too many.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos_proxy::toxic::Speaks;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::live::round_trip;
use crate::scenes::{Standing, echo, not_covered, wait_for};

/// How many connections are promised.
const MANY: u64 = 10_000;

/// A proxy in a process of its own, with a limit of its own.
pub(crate) struct Apart {
    child: Child,
    pub(crate) listen: SocketAddr,
}

impl Apart {
    /// Before this address, with so many files from the start, and so many later on; 0: as they are.
    pub(crate) fn before(upstream: SocketAddr, files: [u64; 2]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "limits::proxy_apart", "--nocapture"])
            .env("CHAOS_TEST_PROXY", format!("{port} {upstream} {} {}", files[0], files[1]))
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let apart = Self { child, listen: port };
        wait_for("it listens", || TcpStream::connect(port).is_ok());
        apart
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|l| l.strip_prefix(field)).expect("the field");
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The proxy of [`Apart`].
#[test]
fn proxy_apart() {
    let Ok(text) = std::env::var("CHAOS_TEST_PROXY") else { return };
    let words: Vec<&str> = text.split(' ').collect();
    let config = chaos_proxy::ProxyConfig {
        listen: words[0].parse().expect("an address"),
        upstream: chaos_proxy::Upstream::Fixed(words[1].parse().expect("an address")),
        speaks: Speaks::Tcp,
    };
    let limit = |word: &str| {
        let files: u64 = word.parse().expect("a number");
        if files > 0 {
            setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) }).expect("a lower limit");
        }
    };
    limit(words[2]);
    let ready = |_: &chaos_proxy::Engine| {
        limit(words[3]);
        Ok(())
    };
    chaos_proxy::serve(vec![config], ready).expect("it serves");
}

/// Accepts and answers one byte a connection, on one thread: thousands of threads would be the test, not the proxy.
fn one_byte_each(many: usize) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&listener, 4096).expect("a longer queue");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut held = Vec::with_capacity(many);
        for mut client in listener.incoming().flatten() {
            if client.write_all(b"!").is_ok() {
                held.push(client);
            }
        }
    });
    address
}

#[test]
fn thousands_of_connections_are_served_at_once() {
    let files = getrlimit(Resource::Nofile);
    let ours = files.maximum.unwrap_or(u64::MAX);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    // Two descriptors each: here for client and upstream, there for both sides of the proxy. Some are needed for the rest.
    let many = MANY.min(ours.saturating_sub(400) / 2);
    if many < MANY {
        not_covered("chaos-proxy: 10,000 connections", &format!("{ours} files may be open: {many} are held"));
    }
    let many = usize::try_from(many).expect("a few thousand");
    let proxy = Apart::before(one_byte_each(many), [0, 0]);
    let begun = Instant::now();
    let mut clients: Vec<TcpStream> = (0..many).map(|_| TcpStream::connect(proxy.listen).expect("it accepts")).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        client.read_exact(&mut [0; 1]).expect("each is served");
    }
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    let each = proxy.status("VmRSS:") * 1024 / many as u64;
    assert!(each < 20_000, "{each} bytes a connection, of a build with debugging");
}

#[test]
fn running_out_of_files_is_survived_and_nobody_is_turned_away() {
    // The process keeps some fifty for itself: there is room for about two dozen connections.
    let proxy = Apart::before(echo(), [100, 0]);
    let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(proxy.listen).expect("the kernel accepts")).collect();
    let mut served = 0;
    for mut client in clients {
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        client.write_all(b"x").expect("it is sent");
        // Those in front end, and the next ones get their turn.
        served += usize::from(client.read_exact(&mut [0; 1]).is_ok());
    }
    assert_eq!(served, 60, "everybody is served in turn");
}

#[test]
fn a_limit_that_nobody_could_foresee_is_survived() {
    let proxy = Apart::before(echo(), [0, 64]);
    let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(proxy.listen).expect("the kernel accepts")).collect();
    std::thread::sleep(Duration::from_millis(500));
    drop(clients);
    wait_for("it serves again", || {
        let mut client = TcpStream::connect(proxy.listen).expect("the kernel accepts");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        client.write_all(b"x").is_ok() && client.read_exact(&mut [0; 1]).is_ok()
    });
}

#[test]
fn an_idle_proxy_uses_no_processor() {
    let proxy = Apart::before(echo(), [0, 0]);
    let held: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(proxy.listen).expect("it accepts")).collect();
    std::thread::sleep(Duration::from_millis(500));
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.child.id())).expect("its stat");
        let rest: Vec<u64> = stat.rsplit(") ").next().expect("fields").split(' ').filter_map(|w| w.parse().ok()).collect();
        rest[10] + rest[11]
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(2));
    assert!(ticks() - before <= 5, "{} ticks in two idle seconds", ticks() - before);
    drop(held);
}

#[test]
fn ten_toxics_may_be_in_force_and_go_in_any_order() {
    let proxy = Standing::before(echo(), Speaks::Tcp);
    let mut client = proxy.connect();
    for round in 0..20_usize {
        for number in 0..10 {
            let with = json!({"delay": "1ms", "direction": if number % 2 == 0 { "requests" } else { "answers" }});
            proxy.arm(&number.to_string(), "tcp.latency", &with).expect("it is armed");
        }
        assert!(round_trip(&mut client, b"hello") >= Duration::from_millis(10));
        for step in 0..10_usize {
            assert!(proxy.disarm(&((step * 7 + round) % 10).to_string()));
        }
        assert!(proxy.toxics().is_empty());
    }
}
