//! `process.kill`: a process ends, at once or as it is asked to.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::target::{Facet, ProcessId, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{hold, look, not_signalled};
use crate::process::Kin;
use crate::world::{Host, HostView};

/// How long a process may take to end once it was asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked for children born meanwhile, at the most. Whoever is left then is for `inspect` to say.
const MOST_LOOKS: usize = 100;

/// Ends a process, with its tree where that is meant.
pub(crate) struct ProcessKill;

/// How it is ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The signal. `KILL` leaves no time for anything; the others may be caught.
    #[serde(default)]
    pub(crate) signal: Signal,
}

/// A signal that is meant to end a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Signal {
    /// At once; cannot be caught.
    #[default]
    Kill,
    /// Please end.
    Term,
    /// As by Ctrl-C.
    Int,
    /// Please end, with a core dump.
    Quit,
    /// The terminal is gone.
    Hup,
    /// A failed assertion.
    Abrt,
    /// A bad pointer.
    Segv,
}

impl Signal {
    fn number(self) -> rustix::process::Signal {
        match self {
            Self::Kill => rustix::process::Signal::KILL,
            Self::Term => rustix::process::Signal::TERM,
            Self::Int => rustix::process::Signal::INT,
            Self::Quit => rustix::process::Signal::QUIT,
            Self::Hup => rustix::process::Signal::HUP,
            Self::Abrt => rustix::process::Signal::ABORT,
            Self::Segv => rustix::process::Signal::SEGV,
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SIG{}", format!("{self:?}").to_uppercase())
    }
}

/// Who was ended. There is nothing to take back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The processes.
        kin: Kin,
        /// How.
        signal: Signal,
    },
}

impl Fault for ProcessKill {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "process.kill";

    fn profile(&self) -> Profile {
        Profile {
            summary: "ends a process by a signal; whether it comes back is what the experiment is about",
            about: "The signal goes through pidfds to the process, and to its children where the target means its tree, until a look finds \
                nobody who has not got it. SIGKILL cannot be caught; after the others the process may take up to 10 s to end, or not end \
                at all, which is reported as not injected.\n\n\
                Nothing is taken back: what the process held in memory is lost, and it is for its supervisor to start it again.",
            example: "inject: process.kill\ninto: trainer\nwith: {signal: TERM}",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "root, or the user whose process it is",
            reach: Reach::Target,
            reversibility: Reversibility::Irreversible,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::ZERO,
            rampable: &[],
            class: Class::Process,
            internal: false,
        }
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let kin = Kin::of(target, &look()?, view)?;
        let claims: Vec<String> = kin.claims().collect();
        let mut prepared = Prepared::new(Undo::V1 { kin, signal: spec.signal }).note("what it holds in memory is lost");
        prepared.claims = claims;
        if let Some(container) = &target.facets.container {
            prepared.notes.push(format!(
                "container {} ends with it: what lies on its tmpfs is lost too, and its restart policy alone decides whether it comes back (with \
                 --rm it is removed, with all it wrote); `container.kill` says which it is, and starts it again",
                container.name
            ));
        }
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { kin, signal } = armed.undo();
        let mut signalled: BTreeSet<ProcessId> = BTreeSet::new();
        // The target is asked first, so that a supervisor among its children or above them does not fork in between unseen.
        for _ in 0..MOST_LOOKS {
            let snapshot = look()?;
            let reached = Kin { members: kin.members.iter().chain(&signalled).copied().collect(), ..kin.clone() };
            let new: Vec<ProcessId> =
                reached.harmable(&snapshot, chaos_core::World::view(world)).into_iter().filter(|id| !signalled.contains(id)).collect();
            if new.is_empty() {
                break;
            }
            let held = new.iter().map(|id| hold(*id)).collect::<Result<Vec<_>, _>>()?;
            for held in held.into_iter().flatten() {
                if armed.cancelled() {
                    return Err(FaultError::cancelled());
                }
                held.signal(signal.number()).map_err(|e| not_signalled(&signal.to_string(), held.id(), e))?;
            }
            signalled.extend(new);
        }
        if signalled.is_empty() {
            return Err(FaultError::gone(format!("process {} had ended already", kin.root.pid)));
        }
        let asked = Instant::now();
        while look()?.alive(kin.root).is_some() && asked.elapsed() < PATIENCE && !armed.cancelled() {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(Observed::note(match signalled.len() {
            1 => format!("{signal} to 1 process"),
            n => format!("{signal} to {n} processes"),
        }))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { kin, signal } = undo;
        let snapshot = look()?;
        let living = kin.living(&snapshot);
        Ok(if living.is_empty() {
            Presence::whole()
        } else if snapshot.alive(kin.root).is_some() {
            Presence::none().finding(format!("process {} still lives after {signal}", kin.root.pid))
        } else {
            Presence::partial(format!("{} of its children still live", living.len()))
        })
    }

    async fn revert(&self, _: &Undo, _: &Host) -> Result<Reverted, FaultError> {
        Ok(Reverted::default())
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { kin, .. } = undo;
        vec![format!("# process {} was ended; nothing can be taken back", kin.root.pid)]
    }
}
