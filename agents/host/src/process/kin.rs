//! The processes that one target stands for: itself, and its children where they are meant.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use chaos_core::FaultError;
use chaos_core::target::{ContainerFacet, ProcessId, Target};
use serde::{Deserialize, Serialize};

use super::{Entry, Snapshot};
use crate::cgroup::Group;
use crate::world::HostView;

/// A process, or a whole tree of them, as written into an undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kin {
    /// The target itself.
    pub(crate) root: ProcessId,
    /// Are its children meant, those born later included?
    pub(crate) tree: bool,
    /// All that lived when this was written, the target first. Its children are found by these even when it is dead.
    pub(crate) members: Vec<ProcessId>,
    /// Process groups that held members alone: whoever is in one later is of the kin, although its parent may have died.
    #[serde(default)]
    pub(crate) groups: BTreeSet<i32>,
    /// The control group of a container: whoever is in it is of the kin, whosever child it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<Group>,
}

impl Kin {
    /// The living processes of a target.
    ///
    /// # Errors
    /// If the target has ended, or one of them is never to be harmed.
    pub(crate) fn of(target: &Target, snapshot: &Snapshot, view: &HostView) -> Result<Self, FaultError> {
        let Some(root) = target.facets.process else {
            return Err(not_a_process(target));
        };
        if snapshot.alive(root).is_none() {
            return Err(FaultError::gone(format!("{} has ended", target.label)));
        }
        let container = target.facets.container.as_ref().map(|container| proved(container, root, target, view)).transpose()?.flatten();
        let tree = !target.facets.tree.is_empty() || target.facets.container.is_some();
        let roots: Vec<ProcessId> = std::iter::once(root).chain(members_of(container.as_ref(), snapshot)).collect();
        let members = if tree { snapshot.trees(&roots) } else { vec![root] };
        for member in &members {
            if let Some(why) = view.protected_in(snapshot, member.pid) {
                return Err(FaultError::new(format!("process {} is never a target: {why}", member.pid)));
            }
        }
        let groups = if tree { groups_of(&members, snapshot) } else { BTreeSet::new() };
        Ok(Self { root, tree, members, groups, container })
    }

    /// A look that suffices to tell the kin: at everybody where children are meant, who may be born at any time; else at its members.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    pub(crate) fn look(&self) -> Result<Snapshot, FaultError> {
        if !self.tree {
            return Ok(Snapshot::of(&self.members));
        }
        Snapshot::take().map_err(|e| FaultError::new(format!("list the processes: {e}")))
    }

    /// Those that live now: the members known, whatever descends from them, and whoever is in their groups.
    #[must_use]
    pub(crate) fn living(&self, snapshot: &Snapshot) -> Vec<ProcessId> {
        if self.tree {
            let in_groups = snapshot.living().filter(|e| self.is_in_groups(e, snapshot)).map(|e| e.id);
            let contained = members_of(self.container.as_ref(), snapshot);
            let roots: Vec<ProcessId> = self.members.iter().copied().chain(in_groups).chain(contained).collect();
            snapshot.trees(&roots)
        } else {
            self.members.iter().copied().filter(|id| snapshot.alive(*id).is_some()).collect()
        }
    }

    /// Would this process be found by whoever reads the undo, even if its parent had died?
    #[must_use]
    pub(crate) fn is_found_again(&self, id: ProcessId, snapshot: &Snapshot) -> bool {
        let contained = || members_of(self.container.as_ref(), snapshot).contains(&id);
        self.members.contains(&id) || contained() || snapshot.alive(id).is_none_or(|e| self.is_in_groups(e, snapshot))
    }

    /// The number of a group that has died out may be another's by now: then its leader is no member.
    fn is_in_groups(&self, entry: &Entry, snapshot: &Snapshot) -> bool {
        self.groups.contains(&entry.group) && snapshot.by_pid(entry.group).is_none_or(|leader| self.members.contains(&leader.id))
    }

    /// As [`Kin::living`], except what is never to be harmed: a child may have become something else since.
    #[must_use]
    pub(crate) fn harmable(&self, snapshot: &Snapshot, view: &HostView) -> Vec<ProcessId> {
        self.living(snapshot).into_iter().filter(|id| view.protected_in(snapshot, id.pid).is_none()).collect()
    }

    /// What others may not touch meanwhile.
    pub(crate) fn claims(&self) -> impl Iterator<Item = String> {
        let all: BTreeSet<ProcessId> = self.members.iter().copied().collect();
        all.into_iter().map(|id| format!("pid:{id}"))
    }
}

fn not_a_process(target: &Target) -> FaultError {
    match &target.facets.container {
        Some(container) => {
            let why = container.beyond.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            FaultError::new(format!("{} has no process that is seen from here{why}", target.label))
                .hint("it must run, on this very host; in a container, chaos needs `--pid=host` to see it")
        }
        None => FaultError::new(format!("{} is not a process", target.label)),
    }
}

/// What an engine says of a process is a claim; the kernel must say it too (RULES 16). The container's control group, where it is
/// reached from here.
fn proved(container: &ContainerFacet, root: ProcessId, target: &Target, view: &HostView) -> Result<Option<Group>, FaultError> {
    let lives_in = std::fs::metadata(format!("/proc/{}/ns/net", root.pid)).ok().map(|namespace| namespace.ino());
    let same_network = lives_in.is_some() && lives_in == target.facets.network_namespace && !is_our_network(lives_in);
    if !view.cgroups().names(root.pid, &container.id) && !same_network {
        return Err(FaultError::new(format!("process {} is not known to be one of container {}", root.pid, container.name))
            .hint("host faults need an executor on that engine's host, which sees its processes: run it there, or with `--pid=host`"));
    }
    let found = ["freezer", "pids", "memory", "cpu"].into_iter().find_map(|controller| {
        let group = view.cgroups().of_container(root.pid, controller, &container.id);
        group.ok().flatten()
    });
    Ok(found)
}

fn is_our_network(inode: Option<u64>) -> bool {
    inode == std::fs::metadata("/proc/self/ns/net").ok().map(|namespace| namespace.ino())
}

/// Who lives in the control group of a container. One that is gone holds nobody.
fn members_of(group: Option<&Group>, snapshot: &Snapshot) -> Vec<ProcessId> {
    let pids = group.filter(|group| group.exists()).and_then(|group| group.members().ok()).unwrap_or_default();
    pids.into_iter().filter_map(|pid| snapshot.by_pid(pid)).map(|entry| entry.id).collect()
}

/// The groups of these processes in which there is nobody else.
fn groups_of(members: &[ProcessId], snapshot: &Snapshot) -> BTreeSet<i32> {
    let mut groups: BTreeSet<i32> =
        members.iter().filter_map(|id| snapshot.alive(*id)).map(|e| e.group).filter(|group| *group > 1).collect();
    for stranger in snapshot.living().filter(|e| !members.contains(&e.id)) {
        groups.remove(&stranger.group);
    }
    groups
}
