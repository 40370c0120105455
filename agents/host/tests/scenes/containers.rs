//! What a container is to the kernel, without an engine: processes in namespaces of their own, in control groups that bear an id.

use std::path::{Path, PathBuf};

use chaos_core::target::{ContainerFacet, Facets, ProcessId, Target};

use super::{Started, children, process_id, stat, target, wait_for};

/// A target as the engine's own kind finds it.
pub(crate) fn container_target(id: &str, process: ProcessId) -> Target {
    let network_namespace = std::fs::read_link(format!("/proc/{}/ns/net", process.pid)).ok();
    let inode = network_namespace.and_then(|link| link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok());
    target(Facets {
        process: Some(process),
        tree: vec![process],
        listening: vec![8001],
        network_namespace: inode,
        container: Some(ContainerFacet { engine: "unix:///nowhere".into(), id: id.into(), name: "stand-in".into(), beyond: None }),
        ..Facets::default()
    })
}

/// A container without an engine.
pub(crate) struct StandIn {
    pub(crate) id: String,
    pub(crate) init: i32,
    groups: Vec<PathBuf>,
    started: Option<Started>,
}

impl StandIn {
    /// Its first process runs this script, in namespaces of its own. None where we may not make one.
    pub(crate) fn new(script: &str) -> Option<Self> {
        let digits: u128 = std::process::id().into();
        let id = format!("{digits:016x}{:048x}", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos());
        let groups = hierarchies().into_iter().map(|root| root.join("chaos-test").join(&id)).collect::<Vec<_>>();
        if !super::is_root() || groups.iter().any(|group| std::fs::create_dir_all(group).is_err()) {
            return None;
        }
        let enter: String = groups.iter().map(|group| format!("echo $$ > '{}/cgroup.procs'; ", group.display())).collect();
        let inner = format!("ip link set lo up; {script}").replace('\'', r"'\''");
        let started = Started::shell(&format!("{enter}exec unshare --net --pid --mount --fork --kill-child sh -c '{inner}'"));
        wait_for("its first process", || children(started.pid()).len() == 1);
        let init = children(started.pid())[0];
        wait_for("its own network", || {
            std::fs::read_to_string(format!("/proc/{init}/net/fib_trie")).is_ok_and(|t| t.contains("127.0.0.1"))
        });
        Some(Self { id, init, groups, started: Some(started) })
    }

    pub(crate) fn target(&self) -> Target {
        container_target(&self.id, process_id(self.init))
    }

    /// A process of it that is nobody's child there, as `docker exec` makes one.
    pub(crate) fn exec(&self, script: &str) -> Started {
        let enter: String = self.groups.iter().map(|group| format!("echo $$ > '{}/cgroup.procs'; ", group.display())).collect();
        let inner = script.replace('\'', r"'\''");
        let sent = Started::shell(&format!("{enter}exec nsenter --net --pid --mount --target {} sh -c '{inner}'", self.init));
        wait_for("it is in there", || children(sent.pid()).len() == 1);
        sent
    }

    /// The file of its control group that there is, of the two versions' names.
    pub(crate) fn file(&self, names: [&str; 2]) -> PathBuf {
        let files = self.groups.iter().flat_map(|group| names.map(|name| group.join(name)));
        files.into_iter().find(|file| file.exists()).unwrap_or_else(|| Path::new(names[0]).to_owned())
    }

    pub(crate) fn is_dead(&self) -> bool {
        stat(self.init).first().is_none_or(|state| state == "Z" || state == "X")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.started.take());
        for group in &self.groups {
            // A frozen process dies when it is thawed.
            let _ = std::fs::write(group.join("freezer.state"), "THAWED");
            let procs = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for pid in procs.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            wait_for("the group is empty", || !group.exists() || std::fs::remove_dir(group).is_ok());
            // The last one of all tests removes what they lay in.
            let _ = group.parent().map(std::fs::remove_dir);
        }
    }
}

/// The roots of all hierarchies of control groups that limit anything; of the second version, with its controllers given to groups.
fn hierarchies() -> Vec<PathBuf> {
    const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "blkio", "freezer"];
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let read = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let (kind, options) = (right.split(' ').next()?, right.split(' ').nth(2)?);
        let first = kind == "cgroup" && options.split(',').any(|o| CONTROLLERS.contains(&o));
        let root = PathBuf::from(left.split(' ').nth(4)?);
        let second = kind == "cgroup2" && std::fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|c| c.contains("memory"));
        if second {
            for folder in [root.clone(), root.join("chaos-test")] {
                let _ = std::fs::create_dir(&folder);
                for controller in ["+cpu", "+memory", "+pids", "+io"] {
                    let _ = std::fs::write(folder.join("cgroup.subtree_control"), controller);
                }
            }
        }
        (first || second).then_some(root)
    };
    mounts.lines().filter_map(read).collect()
}
