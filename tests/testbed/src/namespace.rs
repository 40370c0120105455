//! Network namespaces of a test's own: hosts without machines, on this kernel.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Absent;

/// Longer than anything takes on a busy machine; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network namespace with its loopback up, nowhere named.
///
/// A process of ours holds it: one that reads from a pipe that only this test has the other end of. So it ends when the test
/// does, however that ends, and the namespace with it.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one.
    ///
    /// # Errors
    /// When this user may not make one.
    ///
    /// # Panics
    /// When the process that should hold it does not come.
    pub fn new() -> Result<Self, Absent> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|e| Absent(format!("unshare: {e}")))?;
        let holds = format!("/proc/{}/comm", holder.id());
        let since = Instant::now();
        while std::fs::read(&holds).ok().as_deref() != Some(b"cat\n") {
            if holder.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(Absent("a network namespace of its own needs root".into()));
            }
            assert!(since.elapsed() < PATIENCE, "the holder of a namespace never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { holder })
    }

    /// The process that holds it.
    ///
    /// # Panics
    /// Never: process ids are small.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.holder.id()).expect("a pid")
    }

    /// As `/proc/PID/ns/net` shows it.
    ///
    /// # Panics
    /// When it is gone.
    #[must_use]
    pub fn inode(&self) -> u64 {
        let path = PathBuf::from(format!("/proc/{}/ns/net", self.pid()));
        path.metadata().expect("it stands as long as we do").ino()
    }

    /// A command that will run in it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.pid().to_string(), "--", program]).stdin(Stdio::null());
        command
    }

    /// Runs a short script in it that must succeed, and gives what it says.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-ec", script]).output().expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Calls this in it, on a thread of its own that ends afterwards.
    ///
    /// # Panics
    /// When it cannot be entered, or the call panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        run_in(self.pid(), work)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Calls this in the network namespace of a process, on a thread of its own that ends afterwards.
///
/// # Panics
/// When it cannot be entered, or the call panics.
pub(crate) fn run_in<T: Send>(pid: i32, work: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).expect("its namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            use std::os::fd::AsFd;
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("entered");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Two namespaces on one wire (a pair of `veth`), each with an interface `eth0` on it.
#[derive(Debug)]
pub struct Pair {
    /// Has the addresses [`Pair::NEAR`].
    pub near: Namespace,
    /// Has the addresses [`Pair::FAR`].
    pub far: Namespace,
}

impl Pair {
    /// Of `near`: 198.18/15 and 2001:2::/48 are for tests like this (RFC 2544, RFC 5180).
    pub const NEAR: [&str; 2] = ["198.18.0.1", "2001:2::1"];
    /// Of `far`.
    pub const FAR: [&str; 2] = ["198.18.0.2", "2001:2::2"];

    /// Both, with the wire up and addresses that can be used at once.
    ///
    /// # Errors
    /// When this user may not make one.
    ///
    /// # Panics
    /// When `ip` refuses.
    pub fn new() -> Result<Self, Absent> {
        let pair = Self { near: Namespace::new()?, far: Namespace::new()? };
        let made = Command::new("ip")
            .args(["link", "add", "eth0", "netns", &pair.near.pid().to_string(), "type", "veth"])
            .args(["peer", "name", "eth0", "netns", &pair.far.pid().to_string()])
            .status();
        assert!(made.is_ok_and(|s| s.success()), "ip makes no veth");
        for (end, [four, six]) in [(&pair.near, Self::NEAR), (&pair.far, Self::FAR)] {
            // Addresses that the kernel chooses by itself come when they please.
            end.sh("ip link set eth0 addrgenmode none");
            end.sh(&format!("ip address add {four}/24 dev eth0; ip address add {six}/64 dev eth0 nodad; ip link set eth0 up"));
        }
        for end in [&pair.near, &pair.far] {
            let since = Instant::now();
            while !end.sh("ip link show eth0").contains("state UP") {
                assert!(since.elapsed() < PATIENCE, "the wire never came up");
            }
        }
        Ok(pair)
    }
}
