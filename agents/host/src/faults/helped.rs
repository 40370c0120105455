//! What the faults that are held by a helper have in common.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use chaos_core::FaultError;
use chaos_core::fault::{Armed, Bystanders, Reverted};
use chaos_core::target::{ProcessId, Target};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::confined::{group_of, no_group};
use super::{failed, look};
use crate::cgroup::Group;
use crate::limit::not_done;
use crate::process::{Entry, Kin, Snapshot, living, name_of};
use crate::world::{Host, HostView};

/// How long a helper may take to start.
const START: Duration = Duration::from_secs(5);

/// How long a helper may take no more before what it has is all there will be.
const STALL: Duration = Duration::from_secs(5);

/// The longest time between two looks, each of which is at every process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a helper is.
pub(super) enum Reached {
    /// All that was asked for.
    All,
    /// So much of it.
    Some(u64),
}

/// Where a helper lives that takes from a container: in the container's own control group, so that its limits count, and not longer than
/// the container's first process: its engine could not remove the group otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lodging {
    /// The very group of that process.
    leaf: Group,
    /// The container's, which bears its limits.
    pub(super) container: Group,
    /// The container's first process.
    with: ProcessId,
}

impl Lodging {
    /// In a target that is a container; none: it is none.
    ///
    /// # Errors
    /// If its groups are not reached from here, or may not be written to.
    pub(super) fn of(target: &Target, kin: &Kin, controller: &str, view: &HostView) -> Result<Option<Self>, FaultError> {
        if target.facets.container.is_none() {
            return Ok(None);
        }
        let pid = kin.root.pid;
        let leaf = view.cgroups().of(pid, controller).map_err(|e| failed(&format!("find the control group of process {pid}"), &e))?;
        let (Some(leaf), Some(container)) = (leaf, group_of(target, pid, controller, view)?) else {
            return Err(no_group(target, pid, controller));
        };
        leaf.may_write(PROCS).map_err(|e| not_done("write", &leaf, PROCS, &e))?;
        Ok(Some(Self { leaf, container, with: kin.root }))
    }

    /// What the helper is told of it.
    pub(super) fn words(lodging: Option<&Self>) -> Vec<(&'static str, OsString)> {
        let told = |lodging: &Self| {
            let procs = lodging.leaf.folder.join(PROCS).into_os_string();
            [("procs", procs), ("with", lodging.with.pid.to_string().into()), ("with-start", lodging.with.start_ticks.to_string().into())]
        };
        lodging.map(told).into_iter().flatten().collect()
    }
}

/// The file by which a process enters a group.
const PROCS: &str = "cgroup.procs";

/// Waits until a helper that was just started has its effect, or no more of it comes, asking to stop and looking for its death between
/// two looks. What is missing is for `inspect` to say.
pub(super) async fn started<U>(
    armed: &Armed<U>,
    start: io::Result<()>,
    mut look_at_it: impl FnMut() -> io::Result<Reached>,
) -> Result<(), FaultError> {
    start.map_err(|e| failed("start a helper", &e))?;
    let tag = armed.id().tag();
    let began = Instant::now();
    let mut seen = false;
    let (mut most, mut since) = (0, began);
    let mut wait = Duration::from_millis(5);
    loop {
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        match look_at_it().map_err(|e| failed("look at the helper", &e))? {
            Reached::All => return Ok(()),
            Reached::Some(more) if more > most => (most, since) = (more, Instant::now()),
            Reached::Some(_) => {}
        }
        let alive = is_still_held(&tag, &look()?)?.is_some();
        let should_live = seen || began.elapsed() > START;
        if should_live && !alive {
            return Err(FaultError::new("the helper ended before it had its effect"));
        }
        if alive && !seen {
            (seen, since) = (true, Instant::now());
        }
        if seen && since.elapsed() > STALL {
            return Ok(());
        }
        sleep(wait).await;
        wait = (wait * 2).min(LOOK_EVERY);
    }
}

/// The helper of this tag, if it lives.
pub(super) fn is_still_held(tag: &str, snapshot: &Snapshot) -> Result<Option<Entry>, FaultError> {
    let found = living(tag).map_err(|e| failed("look for the helper", &e))?;
    Ok(found.into_iter().find_map(|id| snapshot.alive(id).cloned()))
}

/// Ends the helper of this tag, whoever started it.
pub(super) fn end(world: &Host, tag: &str) -> Result<Reverted, FaultError> {
    let ended = world.end_helpers(tag).map_err(|e| failed("end the helper", &e))?;
    Ok(if ended { Reverted::note("the helper was ended") } else { Reverted::default() })
}

/// The same for a person.
pub(super) fn kill_by_tag(tag: &str) -> String {
    format!("grep -lsz '^CHAOS_TAG={tag}$' /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r kill -9")
}

/// Everybody on the host but the target; named are those who worked most.
pub(super) fn bystanders_of_host(snapshot: &Snapshot, target: &Kin) -> Bystanders {
    const NAMED: usize = 3;
    let kin = target.living(snapshot);
    let mut others: Vec<&Entry> = snapshot.living().filter(|e| !e.is_kernel() && !kin.contains(&e.id)).collect();
    others.sort_by_key(|e| std::cmp::Reverse(e.cpu_ticks));
    Bystanders {
        count: others.len() as u64,
        names: others.iter().take(NAMED).map(|e| format!("{} (pid {})", name_of(e.id.pid), e.id.pid)).collect(),
    }
}
