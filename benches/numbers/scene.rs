//! What a run needs around it: a server that can be turned bad, victims, a folder, an experiment.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::measure::is_stopped;

/// The program that is measured.
pub fn program() -> PathBuf {
    std::env::var_os("CHAOS_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_chaos").into(), PathBuf::from)
}

pub fn chaos(state: &Path) -> Command {
    let mut command = Command::new(program());
    command.env("CHAOS_STATE_DIR", state).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Answers 200 until it is turned bad, then 503.
pub struct Server {
    pub address: SocketAddr,
    bad: Arc<AtomicBool>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let bad = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&bad);
        let small = || std::thread::Builder::new().stack_size(64 * 1024);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                let switch = Arc::clone(&switch);
                small().spawn(move || answer(stream, &switch)).expect("a thread");
            }
        };
        small().spawn(accept).expect("a thread");
        Self { address, bad }
    }

    /// Gives the moment before which every answer was good.
    pub fn turn(&self, bad: bool) -> Instant {
        let now = Instant::now();
        self.bad.store(bad, Ordering::SeqCst);
        now
    }
}

fn answer(mut stream: TcpStream, bad: &AtomicBool) {
    let _ = stream.set_nodelay(true);
    let mut asked = [0_u8; 4096];
    let mut held = 0;
    while let Ok(n @ 1..) = stream.read(&mut asked[held..]) {
        held += n;
        if !asked[..held].ends_with(b"\r\n\r\n") {
            continue;
        }
        held = 0;
        let status = if bad.load(Ordering::SeqCst) { "503 No" } else { "200 OK" };
        if write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Processes that do nothing but sleep; ended with the scene.
pub struct Victims(Vec<Child>);

impl Victims {
    /// They are known by the length of their sleep, which is nobody else's.
    pub fn start(count: usize) -> Self {
        let seconds = format!("{}", 1_000_000 + std::process::id());
        let start = || Command::new("sleep").arg(&seconds).stdin(Stdio::null()).spawn().expect("sleep");
        Self((0..count).map(|_| start()).collect())
    }

    pub fn pattern() -> String {
        format!("sleep {}", 1_000_000 + std::process::id())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(Child::id)
    }

    /// Waits until all are stopped, or none is. Gives when that was first seen.
    pub fn until_stopped(&self, stopped: bool, within: Duration) -> Option<Instant> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.pids().all(|pid| is_stopped(pid) == stopped) {
                return Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A folder of its own, gone with it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub fn experiment(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("experiment.yaml");
        fs::write(&path, text).expect("an experiment");
        path
    }
}

/// One `http` hypothesis, all victims paused for so long.
pub fn pausing(server: &Server, victims: &Victims, every: &str, pause: &str, stop_when: &str) -> String {
    format!(
        "version: 1\nexperiment: numbers\nsteady_state:\n  answers:\n    probe: http\n    with: {{get: \"http://{}/\"}}\n    every: {every}\n    \
         timeout: 50ms\n    baseline: {{success: \">= 50%\", for: 100ms}}\n    recovery: {{within: 5s, hold: 0s}}\n\
         targets:\n  sleepers: {{processes: {{command: {}}}, expect: {n}}}\n\
         blast_radius: {{duration: 2m, targets: {{sleepers: {{at_most: {n}}}}}}}\n{stop_when}\
         method:\n  - {{inject: process.pause, into: sleepers, pick: all, for: {pause}}}\n",
        server.address,
        Victims::pattern(),
        n = victims.count()
    )
}
