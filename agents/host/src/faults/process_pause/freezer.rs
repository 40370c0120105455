//! Pausing a whole control group at one moment, where it holds the target and nobody else.

use chaos_core::FaultError;
use chaos_core::fault::{Armed, Presence};
use chaos_core::target::Target;

use super::until;
use crate::cgroup::{Freezing, Group};
use crate::faults::confined::{group_of, strangers};
use crate::faults::look;
use crate::limit::not_done;
use crate::process::{Kin, Snapshot};
use crate::world::{Host, HostView};

/// The kin's own group that can be frozen. None where others live in it: freezing it would stop them, and us where they are we.
///
/// # Errors
/// If somebody else has frozen it: nobody could tell afterwards who did.
pub(super) fn own_group(target: &Target, kin: &Kin, view: &HostView) -> Result<Option<Group>, FaultError> {
    let Ok(Some(group)) = group_of(target, kin.root.pid, "freezer", view) else {
        return Ok(None);
    };
    if group.freezing().is_ok_and(|freezing| freezing != Freezing::No) {
        return Err(FaultError::new(format!("{} is frozen already", target.label))
            .hint(format!("by somebody else, as `docker pause` does; `{}` lets it go on", explain(&group).join("; "))));
    }
    if !group.can_be_frozen() || !strangers(kin, &group)?.is_empty() {
        return Ok(None);
    }
    // Children in groups of their own would go on.
    let members = group.members().unwrap_or_default();
    let all = kin.members.iter().all(|id| members.contains(&id.pid));
    Ok(all.then_some(group))
}

/// Freezes the group, and thaws it at once if a stranger came in meanwhile. How many were stopped.
pub(super) async fn freeze<U>(armed: &Armed<U>, kin: &Kin, group: &Group, _: &Host) -> Result<usize, FaultError> {
    if !strangers(kin, group)?.is_empty() || !group.can_be_frozen() {
        return Err(FaultError::new(format!("{} was changed since it was looked at", group.folder.display())));
    }
    if armed.cancelled() {
        return Err(FaultError::cancelled());
    }
    set(group, true)?;
    if !strangers(kin, group)?.is_empty() {
        set(group, false)?;
        return Err(FaultError::new(format!("somebody else came into {} while it was being frozen", group.folder.display())));
    }
    until(|| Ok(group.freezing() == Ok(Freezing::Yes))).await?;
    Ok(kin.living(&look()?).len())
}

pub(super) fn inspect(kin: &Kin, group: &Group, snapshot: &Snapshot) -> Result<Presence, FaultError> {
    if snapshot.alive(kin.root).is_none() && freezing(group)? == Freezing::No {
        return Ok(Presence::none().finding(format!("process {} has ended", kin.root.pid)));
    }
    Ok(match freezing(group)? {
        Freezing::No => Presence::none(),
        Freezing::Partly => Presence::partial("some of its processes are still inside the kernel"),
        Freezing::Yes => Presence::whole(),
    })
}

/// Thaws the group. How many go on.
pub(super) async fn thaw(kin: &Kin, group: &Group, _: &Host) -> Result<usize, FaultError> {
    if freezing(group)? == Freezing::No {
        return Ok(0);
    }
    set(group, false)?;
    until(|| Ok(freezing(group)? == Freezing::No)).await?;
    Ok(kin.living(&look()?).len())
}

pub(super) fn explain(group: &Group) -> Vec<String> {
    let thawed = if group.freezer() == "cgroup.freeze" { "0" } else { "THAWED" };
    vec![format!("echo {thawed} > {}", group.shell_path(group.freezer()))]
}

/// A group that is gone holds nobody.
fn freezing(group: &Group) -> Result<Freezing, FaultError> {
    if !group.exists() {
        return Ok(Freezing::No);
    }
    group.freezing().map_err(|kind| not_done("read", group, group.freezer(), &kind.into()))
}

fn set(group: &Group, frozen: bool) -> Result<(), FaultError> {
    group.freeze(frozen).map_err(|e| not_done("write", group, group.freezer(), &e))
}
