//! The processes that one target stands for: itself, and its children where they are meant.

use std::collections::BTreeSet;

use chaos_core::FaultError;
use chaos_core::target::{ProcessId, Target};
use serde::{Deserialize, Serialize};

use super::Snapshot;
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
}

impl Kin {
    /// The living processes of a target.
    ///
    /// # Errors
    /// If the target has ended, or one of them is never to be harmed.
    pub(crate) fn of(target: &Target, snapshot: &Snapshot, view: &HostView) -> Result<Self, FaultError> {
        let Some(root) = target.facets.process else {
            return Err(FaultError::new(format!("{} is not a process", target.label)));
        };
        if snapshot.alive(root).is_none() {
            return Err(FaultError::gone(format!("{} has ended", target.label)));
        }
        let tree = !target.facets.tree.is_empty();
        let members = if tree { snapshot.trees(&[root]) } else { vec![root] };
        for member in &members {
            if let Some(why) = view.protected_in(snapshot, member.pid) {
                return Err(FaultError::new(format!("process {} is never a target: {why}", member.pid)));
            }
        }
        Ok(Self { root, tree, members })
    }

    /// Those that live now: the members known, and whatever descends from them.
    #[must_use]
    pub(crate) fn living(&self, snapshot: &Snapshot) -> Vec<ProcessId> {
        if self.tree {
            snapshot.trees(&self.members)
        } else {
            self.members.iter().copied().filter(|id| snapshot.alive(*id).is_some()).collect()
        }
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
