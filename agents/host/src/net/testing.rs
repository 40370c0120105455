//! A network namespace of a test's own.

#![allow(clippy::disallowed_methods, reason = "tests make their own world")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos_core::target::ProcessId;

use super::namespace::Namespace;

/// A process in a network namespace of its own.
pub(super) struct Elsewhere {
    child: Child,
    namespace: Namespace,
}

/// One, or a line that says that this test is not covered here.
pub(super) fn elsewhere(test: &str) -> Option<Elsewhere> {
    let made = if std::env::var_os("CHAOS_TESTS_QUICK").is_some() { None } else { Elsewhere::new() };
    if made.is_none() {
        not_covered(test, "a network namespace of its own needs root");
    }
    made
}

/// A test that cannot run here says so; nothing is skipped in silence.
pub(super) fn not_covered(test: &str, why: &str) {
    if let Some(path) = std::env::var_os("CHAOS_NOT_COVERED") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{test}: {why}\n").as_bytes()));
    }
}

impl Elsewhere {
    fn new() -> Option<Self> {
        let mut child = Command::new("unshare").args(["--net", "sleep", "600"]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let own = std::fs::read_link("/proc/self/ns/net").expect("ours");
        let pid = i32::try_from(child.id()).expect("a pid");
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) && child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|l| l != own) {
                let start_ticks = procfs::process::Process::new(pid).and_then(|p| p.stat()).expect("it lives").starttime;
                let namespace = Namespace::of(ProcessId { pid, start_ticks }).expect("its namespace");
                return Some(Self { child, namespace });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work).expect("entered")
    }

    pub(super) fn lo_up(&self) {
        let pid = self.pid().to_string();
        let up = Command::new("nsenter").args(["--net", "--target", &pid, "ip", "link", "set", "lo", "up"]).status();
        assert!(up.expect("ip is installed").success());
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
