//! A running demo system for tests: at a loopback address of its own, so that tests run in parallel
//! on the usual ports; gone when dropped.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Generous, because the machine may be busy; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a user of the tests waits for an answer: so long that a busy machine is not taken for a dead replica.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chaos-demo");

/// A loopback address that no other test uses now.
pub(crate) fn address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 0x80 | (high & 0x3f), middle, low))
}

/// Waits for a condition, and fails the test if it never comes.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// A supervisor with its children, ready to serve.
pub(crate) struct System {
    pub(crate) ip: IpAddr,
    pub(crate) supervisor: Child,
}

impl System {
    /// Starts `demo serving` with further words and waits until it serves.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::start_at(address(), words)
    }

    pub(crate) fn start_at(ip: IpAddr, words: &[&str]) -> Self {
        let supervisor = Command::new(PROGRAM)
            .args(["demo", "serving", "--listen", &format!("{ip}:8080")])
            .args(["--store", &format!("{ip}:6379")])
            .args(words)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut system = Self { ip, supervisor };
        wait_for("the gateway is ready", || {
            assert!(system.supervisor.try_wait().unwrap().is_none(), "the supervisor ended");
            system.get("/v2/health/ready").is_some_and(|(status, _)| status == 200)
        });
        system
    }

    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        ask(SocketAddr::new(self.ip, 8080), "GET", path, "")
    }

    /// What a user does.
    pub(crate) fn infer(&self) -> Option<(u16, String)> {
        let gateway = SocketAddr::new(self.ip, 8080);
        ask(gateway, "POST", "/v2/models/ranker/infer", r#"{"inputs":[]}"#)
    }

    /// How many of so many users get no good answer.
    pub(crate) fn failures_of(&self, requests: usize) -> usize {
        let good = |answer: Option<(u16, String)>| answer.is_some_and(|(status, _)| status == 200);
        (0..requests).filter(|_| !good(self.infer())).count()
    }

    /// Waits until so many users in a row get good answers.
    pub(crate) fn wait_until_recovered(&self, in_a_row: usize) {
        wait_for("users get good answers again", || self.failures_of(in_a_row) == 0);
    }

    /// The child that was started to listen on this port.
    pub(crate) fn child(&self, port: u16) -> Pid {
        let listen = format!("--listen\0{}:{port}\0", self.ip);
        *children_of(self.supervisor.id())
            .iter()
            .find(|pid| command_line(**pid).contains(&listen))
            .unwrap_or_else(|| panic!("no child listens on {port}"))
    }

    pub(crate) fn signal(&self, port: u16, signal: Signal) {
        kill_process(self.child(port), signal).unwrap();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

/// One HTTP exchange over a connection of its own; `None` if no answer comes in time.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, USER_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(USER_TIMEOUT)).ok()?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Is this process there, other than as a zombie?
pub(crate) fn lives(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

pub(crate) fn children_of(parent: u32) -> Vec<Pid> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| stat(*pid).is_some_and(|(_, ppid)| ppid == parent)).collect()
}

fn command_line(pid: Pid) -> String {
    std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default()
}

/// State and parent.
fn stat(pid: Pid) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Tells the test command what was not tested here.
pub(crate) fn not_covered(what: &str) {
    if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
        let mut list = std::fs::File::options().append(true).create(true).open(path).unwrap();
        writeln!(list, "{what}").unwrap();
    }
}
