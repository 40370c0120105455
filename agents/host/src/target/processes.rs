//! `processes`: found by listening port, command line, executable, user, pid file, control group, unit, or as a part of the run's own `system:`.

mod listening;
mod matching;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use chaos_core::fault::SpecError;
use chaos_core::literal::{Pattern, Ports};
use chaos_core::target::{Facets, Identity, Population, ProcessId, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile};
use procfs::process::Process;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::process::{Entry, Snapshot, Sockets, name_of};
use crate::world::HostView;

/// Finds processes of this host.
pub(crate) struct Processes(pub(crate) HostView);

/// Which processes. Every field that is given must match.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selector {
    /// TCP ports that it listens on, in the network namespace of the executor: `8001-8003`. Several processes that share one
    /// listening socket are one member, the topmost of them, with its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listening_on: Option<Ports>,
    /// Pattern of the whole command line, its words joined by one space: `python train.py *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Pattern>,
    /// The program's file: a path, or a name without `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) executable: Option<String>,
    /// The user it runs as, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// A file that holds its pid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Its control group or one above it, as in `/proc/PID/cgroup`: `/system.slice/ranker.service`. Children are meant too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    /// Its systemd unit: `ranker@2.service`. Children are meant too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// A name under `system:` of this experiment. Children are meant too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<String>,
    /// Children too, those born later included; a process whose ancestor matches as well is part of that one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tree: bool,
}

impl Selector {
    fn is_empty(&self) -> bool {
        self.listening_on.is_none()
            && self.command.is_none()
            && self.executable.is_none()
            && self.user.is_none()
            && self.pid_file.is_none()
            && self.cgroup.is_none()
            && self.unit.is_none()
            && self.system.is_none()
    }

    fn means_trees(&self) -> bool {
        self.tree || self.cgroup.is_some() || self.unit.is_some() || self.system.is_some()
    }
}

impl TargetKind for Processes {
    type Selector = Selector;
    const KIND: &'static str = "processes";

    fn profile(&self) -> TargetKindProfile {
        TargetKindProfile {
            summary: "processes of this host, by what they listen on, how they were started, or who started them",
            about: "A process is known by its pid and its start time, so a reused pid is never taken for it. Processes that wait to be \
                reaped count as dead. Never found are pid 1, chaos itself, its ancestors and executors, the container engine and the \
                kernel's threads: a selector that matches one of them is refused.\n\n\
                `listening_on` sees only the network namespace of the executor: what listens inside a container is not seen, and a \
                process that merely holds the socket for others (docker-proxy, systemd) is refused.",
            example: "replicas: {processes: {listening_on: 8001-8003}, expect: 3}",
        }
    }

    fn check(&self, selector: &Selector) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if selector.is_empty() {
            errors.push(
                SpecError::new("", "which processes? nothing is selected by")
                    .hint("for example `processes: {listening_on: 8001-8003}` or `processes: {command: python train.py *}`"),
            );
        }
        if selector.cgroup.as_deref().is_some_and(|c| !c.starts_with('/') || c == "/") {
            errors.push(
                SpecError::new("cgroup", "a control group is a path below the root")
                    .hint("as in /proc/PID/cgroup: `/system.slice/ranker.service`"),
            );
        }
        errors
    }

    async fn resolve(&self, selector: &Selector, context: &ResolveContext) -> Result<Population, ResolveError> {
        let snapshot = Snapshot::take().map_err(|e| unreadable("list the processes", &e))?;
        let mut found = matching::all(selector, context, &snapshot)?;
        // Everybody's descriptors are looked through only where ports select.
        let sockets = match &selector.listening_on {
            Some(_) => Sockets::look(&snapshot),
            None => Sockets::of(snapshot.trees(&found.iter().copied().collect::<Vec<_>>())),
        };
        let sockets = sockets.map_err(|e| unreadable("read the listening sockets", &e))?;
        let mut shared = BTreeSet::new();
        if let Some(ports) = &selector.listening_on {
            let listeners = listening::find(ports, &snapshot, &sockets)?;
            found.retain(|id| listeners.members.contains(id));
            shared = listeners.shared;
        }
        if selector.means_trees() {
            found = snapshot.roots_of(&found).into_iter().collect();
        }
        if found.is_empty() {
            return Err(matching::nothing(selector, context));
        }
        let mut members: Vec<Target> = Vec::new();
        for id in found {
            let tree = if selector.means_trees() || shared.contains(&id) { snapshot.trees(&[id]) } else { Vec::new() };
            self.refuse_protected(&snapshot, id, &tree)?;
            // It may have ended since the snapshot.
            members.extend(snapshot.alive(id).map(|entry| target(entry, tree, &sockets)));
        }
        members.sort_by(|a, b| (&a.order, &a.identity).cmp(&(&b.order, &b.identity)));
        Ok(members)
    }
}

impl Processes {
    fn refuse_protected(&self, snapshot: &Snapshot, id: ProcessId, tree: &[ProcessId]) -> Result<(), ResolveError> {
        for pid in std::iter::once(id.pid).chain(tree.iter().map(|t| t.pid)) {
            if let Some(why) = self.0.protected_in(snapshot, pid) {
                return Err(ResolveError::new(format!("process {pid} ({}) is never a target: {why}", name_of(pid)))
                    .hint("narrow the selector: add `listening_on`, `executable` or `user`"));
            }
        }
        Ok(())
    }
}

fn target(entry: &Entry, tree: Vec<ProcessId>, sockets: &Sockets) -> Target {
    let id = entry.id;
    let name = name_of(id.pid);
    let mut listening: BTreeSet<u16> = sockets.ports_of(id).into_iter().collect();
    listening.extend(tree.iter().flat_map(|t| sockets.ports_of(*t)));
    let ports = listening.iter().map(|p| format!("{p:05}")).collect::<Vec<_>>().join(",");
    Target {
        identity: Identity(format!("process:{id}")),
        label: format!("{name} (pid {})", id.pid),
        place: "here".into(),
        order: format!("{ports} {name} {:020}", id.start_ticks),
        healthy: !entry.is_stopped(),
        started: id.start_ticks,
        groups: std::collections::BTreeMap::new(),
        facets: Facets {
            process: Some(id),
            tree,
            cgroup: cgroup_of(id),
            listening: listening.into_iter().collect(),
            network_namespace: network_namespace_of(id),
            ..Facets::default()
        },
    }
}

/// The inode of its network namespace, where we may know it.
fn network_namespace_of(id: ProcessId) -> Option<u64> {
    std::fs::metadata(format!("/proc/{}/ns/net", id.pid)).ok().map(|namespace| namespace.ino())
}

/// Its control group, where that is not the root.
fn cgroup_of(id: ProcessId) -> Option<String> {
    let groups = Process::new(id.pid).and_then(|p| p.cgroups()).ok()?;
    groups.into_iter().map(|g| g.pathname).find(|path| path != "/")
}

fn unreadable(doing: &str, error: &io::Error) -> ResolveError {
    ResolveError::new(format!("{doing}: {error}")).hint("run as root, or as the user whose processes are meant")
}
