//! What the faults on a control group have in common: the group must be the target's alone.

use chaos_core::FaultError;
use chaos_core::target::Target;

use super::{failed, look};
use crate::cgroup::Group;
use crate::process::{Kin, name_of};
use crate::world::HostView;

/// The target and its control group for this controller, if nobody else is in it.
///
/// # Errors
/// If there is no such group, or somebody else lives in it: a limit would harm bystanders, and ourselves where they are we (RULES 4).
pub(super) fn own_group(target: &Target, controller: &str, view: &HostView) -> Result<(Kin, Group), FaultError> {
    let snapshot = look()?;
    let kin = Kin::of(target, &snapshot, view)?;
    let group = group_of(target, kin.root.pid, controller, view)?.ok_or_else(|| no_group(target, kin.root.pid, controller))?;
    let strangers = strangers(&kin, &group)?;
    if let Some(first) = strangers.first() {
        let names: Vec<String> = strangers.iter().take(3).map(|pid| format!("{} (pid {pid})", name_of(*pid))).collect();
        let error = FaultError::new(format!(
            "the control group {} holds {} processes beside the target: {}",
            group.folder.display(),
            strangers.len(),
            names.join(", ")
        ));
        let is_child = snapshot.ancestors(*first).contains(&kin.root.pid);
        return Err(if is_child && !kin.tree {
            error.hint("they are its children: `tree: true` in the selector means them too")
        } else {
            error.hint("they would be harmed as well; give the target a control group of its own")
        });
    }
    Ok((kin, group))
}

/// The group that limits the target by this controller: of a container, the container's own.
///
/// # Errors
/// If that cannot be looked at.
pub(super) fn group_of(target: &Target, pid: i32, controller: &str, view: &HostView) -> Result<Option<Group>, FaultError> {
    let found = match &target.facets.container {
        Some(container) => view.cgroups().of_container(pid, controller, &container.id),
        None => view.cgroups().of(pid, controller),
    };
    found.map_err(|e| failed(&format!("find the control group of process {pid}"), &e))
}

/// Why there is nothing to be limited by.
pub(super) fn no_group(target: &Target, pid: i32, controller: &str) -> FaultError {
    match &target.facets.container {
        Some(container) => {
            FaultError::new(format!("the control group of container {} for `{controller}` is not reached from here", container.name))
                .hint("chaos needs the host's control groups: in a container `--cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup`")
        }
        None => FaultError::new(format!("process {pid} has no control group of its own for `{controller}`"))
            .hint("start it in one: as a systemd unit, a container, or with `systemd-run --scope`"),
    }
}

/// The members of the group that are not of the kin.
pub(super) fn strangers(kin: &Kin, group: &Group) -> Result<Vec<i32>, FaultError> {
    let members = group.members().map_err(|e| failed(&format!("list the members of {}", group.folder.display()), &e))?;
    let snapshot = look()?;
    let living = kin.living(&snapshot);
    // A member that is no longer there is nobody.
    Ok(members.into_iter().filter(|pid| snapshot.by_pid(*pid).is_some() && !living.iter().any(|id| id.pid == *pid)).collect())
}
