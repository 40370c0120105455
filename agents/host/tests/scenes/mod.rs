//! Things to harm, made fresh by the tests: processes, files, control groups of their own.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

pub(crate) mod cgroups;
pub(crate) mod containers;
pub(crate) mod engine;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod shaped;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) use chaos_testbed::not_covered;

use chaos_core::target::{Facets, Identity, ProcessId, Target};

/// A child that is killed, with its whole process group, at the end of the scene.
pub(crate) struct Started(pub(crate) Child);

impl Started {
    pub(crate) fn shell(script: &str) -> Self {
        Self::shell_with(script, Stdio::null())
    }

    /// A process that only sleeps, once it does: a shell that is stopped while it starts another program waits for that one, unstopped.
    pub(crate) fn sleeping() -> Self {
        let started = Self::shell("exec sleep 600");
        wait_for("it sleeps", || std::fs::read(format!("/proc/{}/comm", started.pid())).is_ok_and(|name| name == b"sleep\n"));
        started
    }

    pub(crate) fn shell_with(script: &str, input: Stdio) -> Self {
        Self::start(Command::new("sh").args(["-c", script]).stdin(input))
    }

    pub(crate) fn tagged(script: &str, env: &[(&str, &str)]) -> Self {
        Self::start(Command::new("sh").args(["-c", script]).envs(env.iter().copied()).stdin(Stdio::null()))
    }

    fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).stdout(Stdio::null()).spawn().expect("a shell"))
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }

    pub(crate) fn id(&self) -> ProcessId {
        process_id(self.pid())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

pub(crate) fn process_id(pid: i32) -> ProcessId {
    ProcessId { pid, start_ticks: stat(pid)[19].parse().expect("a start time") }
}

/// The fields of `/proc/PID/stat` from the state on.
pub(crate) fn stat(pid: i32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(") ").map_or("X", |(_, rest)| rest);
    rest.split_whitespace().map(Into::into).collect()
}

pub(crate) fn state(pid: i32) -> String {
    match stat(pid).first().map_or("X", String::as_str) {
        "T" => "stopped".into(),
        "Z" | "X" => "dead".into(),
        _ => "runs".into(),
    }
}

pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

pub(crate) fn target(facets: Facets) -> Target {
    Target {
        identity: Identity("test".into()),
        label: "the test's own".into(),
        place: "here".into(),
        order: String::new(),
        healthy: true,
        started: 0,
        groups: BTreeMap::new(),
        facets,
    }
}

pub(crate) fn process_target(id: ProcessId, tree: bool) -> Target {
    target(Facets { process: Some(id), tree: if tree { vec![id] } else { Vec::new() }, ..Facets::default() })
}

/// Waits for something that will be so; fails the test if it is not.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// May this test make networks of its own? Counted as not covered where it may not.
pub(crate) fn networks(test: &str) -> bool {
    let may = is_root() && std::env::var_os("CHAOS_TESTS_QUICK").is_none();
    if !may {
        not_covered(test, "a network of its own needs root");
    }
    may
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program that runs this crate's helpers.
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_chaos-helper-for-tests");

/// The helpers of a kind that this test process has started.
pub(crate) fn helpers(kind: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("our threads");
    let lists = tasks.filter_map(|t| std::fs::read_to_string(t.expect("a thread").path().join("children")).ok());
    let ours: Vec<i32> = lists.flat_map(|l| l.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>()).collect();
    let is_kind = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|b| *b == 0).nth(2) == Some(kind.as_bytes())
    };
    ours.into_iter().filter(is_kind).collect()
}

pub(crate) fn path_target(path: &Path) -> Target {
    target(Facets { path: Some(path.to_owned()), ..Facets::default() })
}

/// A file system of 16 MiB of our own; a plain folder where we may not mount one.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
    own: bool,
}

impl SmallDisk {
    pub(crate) fn new(test: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        if !own {
            not_covered(test, "a file system of its own needs root");
        }
        Self { folder, own }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn is_own(&self) -> bool {
        self.own
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.own {
            let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        }
    }
}
