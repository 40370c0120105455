//! `process.pause`: the gray failure. The process is there, its sockets accept, and nothing answers.

mod freezer;

use std::collections::BTreeSet;
use std::time::Duration;

use chaos_core::World;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::target::{Facet, ProcessId, Target};
use procfs::process::Process;
use rustix::process::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{hold, is_still, look, not_signalled};
use crate::cgroup::Group;
use crate::process::{Entry, Kin, Snapshot, look_at, name_of};
use crate::world::{Host, HostView};

/// How often a signal's effect is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a process may take to stop or to go on before we look elsewhere. One that waits inside the kernel, for a disk or for a
/// child that has not yet become another program, does so first; the signal waits with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked for more, at the most.
const MOST_LOOKS: usize = 100;

/// Stops a process by SIGSTOP, with its tree where that is meant.
pub(crate) struct ProcessPause;

/// Nothing to say: a process runs, or it does not.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {}

/// Who was stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// By SIGSTOP; SIGCONT takes it back.
    #[serde(rename = "1")]
    Signal {
        /// The processes.
        kin: Kin,
    },
    /// By the freezer of a control group that holds nobody else (RULES 4).
    #[serde(rename = "1-freezer")]
    Freezer {
        /// The processes.
        kin: Kin,
        /// Their group.
        group: Group,
    },
}

impl Undo {
    fn kin(&self) -> &Kin {
        match self {
            Self::Signal { kin } | Self::Freezer { kin, .. } => kin,
        }
    }
}

impl Fault for ProcessPause {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "process.pause";

    fn profile(&self) -> Profile {
        Profile {
            summary: "freezes a process: it exists, accepts connections, and never answers",
            about: "Where the target and its tree have a control group to themselves, its freezer stops them all at the same moment. Else \
                SIGSTOP is sent through pidfds to the process, and to its children where the target means its tree, until two looks find nobody running. \
                Neither can be caught or ignored. The kernel goes on accepting connections into the listen queue, so \
                clients wait instead of being refused, and a health check that only connects sees nothing.\n\n\
                Taken back by thawing the group, or by SIGCONT, only where the process is still stopped and is still the same one. A process that is already \
                stopped is refused: nobody could tell afterwards who stopped it.",
            example: "inject: process.pause\ninto: replicas\npick: 1\nfor: 30s",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "root, or the user whose process it is",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(1),
            rampable: &[],
            class: Class::Process,
            internal: false,
        }
    }

    async fn prepare(&self, _: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let snapshot = look()?;
        let kin = Kin::of(target, &snapshot, view)?;
        for id in &kin.members {
            if snapshot.alive(*id).is_some_and(Entry::is_stopped) {
                return Err(FaultError::new(format!("process {} ({}) is already stopped", id.pid, name_of(id.pid)))
                    .hint(format!("by somebody else; `kill -CONT {}` lets it go on", id.pid)));
            }
        }
        let claims: Vec<String> = kin.claims().collect();
        let undo = match freezer::own_group(target, &kin, view)? {
            Some(group) => Undo::Freezer { kin, group },
            None => Undo::Signal { kin },
        };
        let mut prepared = Prepared::new(undo);
        prepared.claims = claims;
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let stopped = match armed.undo() {
            Undo::Signal { kin } => stop(&armed, kin, world).await?,
            Undo::Freezer { kin, group } => freezer::freeze(&armed, kin, group, world).await?,
        };
        let kin = armed.undo().kin();
        if kin.look()?.alive(kin.root).is_none() {
            return Err(FaultError::gone(format!("process {} ended while it was being stopped", kin.root.pid)));
        }
        Ok(Observed::note(match stopped {
            1 => "stopped 1 process".into(),
            n => format!("stopped {n} processes"),
        }))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let kin = undo.kin();
        let snapshot = kin.look()?;
        if let Undo::Freezer { group, .. } = undo {
            return freezer::inspect(kin, group, &snapshot);
        }
        let stopped = stopped_among(kin, &snapshot).len();
        if snapshot.alive(kin.root).is_none() && stopped == 0 {
            return Ok(Presence::none().finding(format!("process {} has ended", kin.root.pid)));
        }
        let living = kin.living(&snapshot).len();
        Ok(match stopped {
            0 => Presence::none(),
            n if n == living => Presence::whole(),
            n => Presence::partial(format!("{n} of {living} processes are stopped")),
        })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let going_on = match undo {
            Undo::Signal { kin } => go_on(kin).await?,
            Undo::Freezer { kin, group } => freezer::thaw(kin, group, world).await?,
        };
        Ok(match going_on {
            0 => Reverted::default(),
            1 => Reverted::note("1 process goes on"),
            n => Reverted::note(format!("{n} processes go on")),
        })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let kin = match undo {
            Undo::Signal { kin } => kin,
            Undo::Freezer { group, .. } => return freezer::explain(group),
        };
        kin.members.iter().rev().map(|id| format!("{} && kill -CONT {}", is_still(*id), id.pid)).collect()
    }
}

/// Stops the kin by signals; how many there were.
async fn stop(armed: &Armed<Undo>, kin: &Kin, world: &Host) -> Result<usize, FaultError> {
    let mut stopped = BTreeSet::new();
    // Children may be born while their parents are being stopped: look again until a look finds nobody new.
    for _ in 0..MOST_LOOKS {
        let snapshot = look()?;
        let harmable = kin.harmable(&snapshot, world.view());
        let new: Vec<ProcessId> = harmable.into_iter().filter(|id| !stopped.contains(id)).collect();
        if new.is_empty() {
            return Ok(stopped.len());
        }
        for id in new {
            if armed.cancelled() {
                return Err(FaultError::cancelled());
            }
            if !kin.is_found_again(id, &snapshot) {
                leave_alone(kin, id).await?;
                continue;
            }
            if let Some(held) = hold(id)? {
                held.signal(Signal::STOP).map_err(|e| not_signalled("SIGSTOP", id, e))?;
            }
            stopped.insert(id);
        }
        until(|| Ok(all_stopped(&stopped))).await?;
    }
    Err(FaultError::new(format!("process {} has children faster than they can be stopped", kin.root.pid)))
}

/// A child that was born meanwhile, in a group of its own, would stay stopped for ever if its parent died and then we: nobody would know
/// it. Many such children end soon; else all go on.
async fn leave_alone(kin: &Kin, born: ProcessId) -> Result<(), FaultError> {
    until(|| Ok(look_at(born).is_none())).await?;
    if look_at(born).is_none() {
        return Ok(());
    }
    go_on(kin).await?;
    Err(FaultError::new(format!("process {} ({}) was born while its parents were being stopped", born.pid, name_of(born.pid)))
        .hint("try again when the target starts nobody, or give it a control group of its own: that is stopped at one moment"))
}

/// Lets the kin go on; how many stood still.
async fn go_on(kin: &Kin) -> Result<usize, FaultError> {
    let mut continued = BTreeSet::new();
    // Those that are known go on at once; only then all others are looked through for children born meanwhile.
    let mut stopped: Vec<ProcessId> = kin.members.iter().copied().filter(|id| is_stopping(*id)).collect();
    for _ in 0..MOST_LOOKS {
        if stopped.is_empty() {
            stopped = stopped_among(kin, &kin.look()?);
        }
        if stopped.is_empty() {
            return Ok(continued.len());
        }
        for id in &stopped {
            if let Some(held) = hold(*id)? {
                held.signal(Signal::CONT).map_err(|e| not_signalled("SIGCONT", *id, e))?;
            }
            continued.insert(*id);
        }
        until(|| Ok(!stopped.iter().any(|id| is_stopping(*id)))).await?;
        stopped.clear();
    }
    Err(FaultError::new(format!("process {} or its children stop again and again", kin.root.pid))
        .hint("somebody else stops them: a terminal, a debugger, another tool"))
}

/// Those of the kin that stand still now, or will as soon as they leave the kernel.
fn stopped_among(kin: &Kin, snapshot: &Snapshot) -> Vec<ProcessId> {
    kin.living(snapshot).into_iter().filter(|id| is_stopping(*id)).collect()
}

/// Is it stopped, or is a SIGSTOP waiting for it? A process that waits for a disk stops only after that.
fn is_stopping(id: ProcessId) -> bool {
    const SIGSTOP_PENDING: u64 = 1 << (19 - 1);
    let Some(entry) = look_at(id) else {
        return false;
    };
    entry.is_stopped() || Process::new(id.pid).and_then(|p| p.status()).is_ok_and(|s| s.shdpnd & SIGSTOP_PENDING != 0)
}

fn all_stopped(ids: &BTreeSet<ProcessId>) -> bool {
    ids.iter().filter_map(|id| look_at(*id)).all(|process| process.is_stopped())
}

/// Waits until it is so, but not longer than [`PATIENCE`]; what is not so by then is for `inspect` to say.
async fn until(mut is_so: impl FnMut() -> Result<bool, FaultError>) -> Result<(), FaultError> {
    let started = std::time::Instant::now();
    while !is_so()? && started.elapsed() < PATIENCE {
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
