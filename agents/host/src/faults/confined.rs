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
    let group = view
        .cgroups()
        .of(kin.root.pid, controller)
        .map_err(|e| failed(&format!("find the control group of process {}", kin.root.pid), &e))?
        .ok_or_else(|| {
            FaultError::new(format!("process {} has no control group of its own for `{controller}`", kin.root.pid))
                .hint("start it in one: as a systemd unit, a container, or with `systemd-run --scope`")
        })?;
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

/// The members of the group that are not of the kin.
pub(super) fn strangers(kin: &Kin, group: &Group) -> Result<Vec<i32>, FaultError> {
    let members = group.members().map_err(|e| failed(&format!("list the members of {}", group.folder.display()), &e))?;
    let snapshot = look()?;
    let living = kin.living(&snapshot);
    // A member that is no longer there is nobody.
    Ok(members.into_iter().filter(|pid| snapshot.by_pid(*pid).is_some() && !living.iter().any(|id| id.pid == *pid)).collect())
}

/// Why a file of a group could not be read or written.
pub(super) fn not_done(doing: &str, group: &Group, file: &str, error: &std::io::Error) -> FaultError {
    let failed = failed(&format!("{doing} {}", group.folder.join(file).display()), error);
    if error.kind() == std::io::ErrorKind::PermissionDenied { failed.hint("run as root") } else { failed }
}
