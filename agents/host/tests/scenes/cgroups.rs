//! Control groups for tests: a fake hierarchy of the second version, and real ones of whatever version the kernel here has.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Started;

static NEXT: AtomicU32 = AtomicU32::new(0);

fn name() -> String {
    format!("chaos-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder that looks like a hierarchy of the second version, with a `/proc` that leads to it.
pub(crate) struct FakeCgroups {
    folder: tempfile::TempDir,
}

impl FakeCgroups {
    pub(crate) fn new() -> Self {
        Self::mounted("cgroup2 cgroup2 rw")
    }

    /// The processor's hierarchy of the first version.
    pub(crate) fn of_the_first_version() -> Self {
        Self::mounted("cgroup cgroup rw,cpu")
    }

    fn mounted(how: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("cgroup");
        std::fs::create_dir_all(&root).expect("the hierarchy");
        std::fs::create_dir_all(folder.path().join("proc/self")).expect("the fake /proc");
        let mounts = format!("31 23 0:28 / {} rw,relatime - {how}\n", root.display());
        std::fs::write(folder.path().join("proc/self/mountinfo"), mounts).expect("its mounts");
        Self { folder }
    }

    pub(crate) fn proc(&self) -> PathBuf {
        self.folder.path().join("proc")
    }

    /// A new group that holds these processes.
    pub(crate) fn group(&self, pids: &[i32]) -> PathBuf {
        let name = name();
        let group = self.folder.path().join("cgroup").join(&name);
        std::fs::create_dir(&group).expect("the group");
        let members: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        for (file, text) in [
            ("cgroup.procs", members.as_str()),
            ("cgroup.controllers", "cpu io memory pids\n"),
            ("cpu.max", "max 100000\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpu.stat", "usage_usec 12\nnr_periods 0\nnr_throttled 3\n"),
            ("memory.max", "max\n"),
            ("memory.current", "4096\n"),
            ("memory.stat", "anon 4096\nfile 0\nshmem 0\n"),
            ("pids.max", "max\n"),
            ("pids.current", "2\n"),
            ("pids.events", "max 0\n"),
            ("memory.events", "low 0\nhigh 0\nmax 2\noom 0\noom_kill 0\n"),
        ] {
            std::fs::write(group.join(file), text).expect("the group's file");
        }
        for pid in pids {
            let proc = self.proc().join(pid.to_string());
            std::fs::create_dir_all(&proc).expect("its /proc");
            std::fs::write(proc.join("cgroup"), format!("0::/{name}\n1:cpu:/{name}\n")).expect("its membership");
        }
        group
    }
}

/// A group of the kernel's own, removed at the end.
pub(crate) struct RealGroup {
    folder: PathBuf,
}

impl RealGroup {
    /// In the hierarchy of this controller; with no name, in the second version's. None where we may not make one.
    pub(crate) fn new(controller: &str) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let point = |wanted: &dyn Fn(&str, &str) -> bool| {
            mounts.lines().find_map(|line| {
                let (left, right) = line.split_once(" - ")?;
                let mut right = right.split(' ');
                wanted(right.next()?, right.nth(1)?).then(|| PathBuf::from(left.split(' ').nth(4).unwrap_or("/")))
            })
        };
        let second = |kind: &str, _: &str| kind == "cgroup2";
        let root = point(&|kind, options| kind == "cgroup" && options.split(',').any(|o| o == controller)).or_else(|| point(&second))?;
        let folder = root.join(name());
        std::fs::create_dir(&folder).ok()?;
        Some(Self { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A shell that is born in the group.
    pub(crate) fn started(&self, script: &str) -> Started {
        Started::shell(&format!("echo $$ > '{}/cgroup.procs'; {script}", self.folder.display()))
    }
}

impl Drop for RealGroup {
    fn drop(&mut self) {
        super::wait_for("the group is empty", || std::fs::remove_dir(&self.folder).is_ok());
    }
}
