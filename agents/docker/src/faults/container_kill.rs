//! `container.kill`: a container crashes. Whether it comes back by itself is what the experiment is about.

use std::time::Duration;

use bollard::query_parameters::KillContainerOptionsBuilder;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::target::{Facet, ProcessId, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss::{Ending, losses, losses_of_removal, policy, removed_itself};
use super::subject::{Found, Life, Now, REQUEST, SETTLE, Subject, beyond};
use crate::engine::Engine;
use crate::world::{Docker, DockerView};
use crate::{first_process, stamp};

/// How long a container may take to end once its first process was signalled.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Kills the first process of a container.
pub(crate) struct ContainerKill;

/// How it is ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spec {
    /// The signal. `KILL` leaves no time for anything; the others may be caught, and the kernel spares the first process of a container
    /// from those that it has no handler for: a container that has not ended 10 s later is an error.
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

/// Who was killed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// How.
        signal: Signal,
        /// Its first process, where that is one of this host; else the engine is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessId>,
        /// Does it remove itself as it ends?
        removed: bool,
    },
}

impl Fault for ContainerKill {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.kill";

    fn profile(&self) -> Profile {
        Profile {
            summary: "kills a container as a crash does; whether its restart policy brings it back is what the experiment is about",
            about: "The signal goes to the first process of the container through a pidfd, not through the engine: an engine takes its own `kill` \
                as \"stopped by hand\" and applies no restart policy to it. So this is what a crash is, and the policy does what it does after a crash. \
                Where the engine's host is another one only the engine can be asked; the plan says so, and that no policy applies.\n\n\
                What was killed stays killed: the fault counts as in place until it is taken back, although the policy may have started the container \
                again. It is taken back by `start`, only if nothing else has started it: a policy's attempt under way is waited for, and one \
                that has tried as often as it may is helped. What is lost stands in the plan: memory and tmpfs, addresses and host ports \
                that the engine chose. A container that removes itself as it ends (`--rm`) cannot be taken back.",
            example: "inject: container.kill\ninto: replicas\npick: 1\nfor: 60s",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket; for the restart policy to apply also root, or the user whose process it is",
            reach: Reach::Target,
            reversibility: Reversibility::WithLoss,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::Stamp,
            settle: SETTLE,
            revert_budget: Duration::from_secs(30),
            rampable: &[],
            class: Class::Api,
            internal: false,
        }
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        let Found { subject: at, container, .. } = Found::running(target, id, view).await?;
        let claim = at.claim();
        let (process, removed) = (target.facets.process, container.auto_remove);
        let mut prepared = Prepared::new(Undo::V1 { at, signal: spec.signal, process, removed }).claim(claim);
        if removed {
            prepared.reversibility = Some(Reversibility::Irreversible);
            prepared.notes = losses_of_removal(&container);
            return Ok(prepared);
        }
        prepared.notes = losses(&container);
        if process.is_none() {
            prepared.notes.push(format!("container {} is killed by its engine: {}", container.name, beyond(target)));
        }
        let ending = if process.is_some() { Ending::ByItself } else { Ending::ByHand };
        prepared.notes.push(policy(&container, ending));
        Ok(prepared)
    }

    async fn stage(&self, armed: &Armed<Undo>, world: &Docker) -> Result<(), FaultError> {
        let Undo::V1 { at, removed, .. } = armed.undo();
        if *removed {
            return Ok(());
        }
        stamp::put(&at.engine_of(world).await?, armed.id(), Self::KIND, armed.undo()).await
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at, signal, process, .. } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let engine = at.engine_of(world).await?;
        match process {
            Some(process) => kill_here(at, *process, *signal)?,
            None => kill_there(at, *signal, &engine).await?,
        }
        at.until_ended(&engine, ENDS_WITHIN, || armed.cancelled()).await?;
        Ok(Observed::note(format!("{signal} to 1 container")))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, signal, removed, .. } = undo;
        let engine = at.engine(view).await?;
        let now = match at.now(&engine).await? {
            Now::Here(now) => now,
            Now::Gone(_) if *removed => return Ok(Presence::whole().finding(removed_itself(at))),
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        if at.life(&now) == Life::Up {
            return Ok(Presence::none().finding(format!("container {} still runs after {signal}", at.name)));
        }
        let Some(finding) = at.story(&now) else { return Ok(Presence::whole()) };
        // It comes back, yet was killed: the effect lasts until it is taken back, and that ends with the stamp.
        let in_force = stamp::stands(&engine, &at.tag).await?;
        Ok(if in_force { Presence::whole() } else { Presence::none() }.finding(finding))
    }

    async fn revert(&self, undo: &Undo, world: &Docker) -> Result<Reverted, FaultError> {
        let Undo::V1 { at, removed, .. } = undo;
        if *removed {
            return Ok(Reverted::default());
        }
        let engine = at.engine_of(world).await?;
        let note = at.bring_back(&engine).await?;
        at.clear(&engine).await?;
        Ok(Reverted { notes: note.into_iter().collect(), ..Reverted::default() })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at, removed, .. } = undo;
        if *removed {
            return vec![format!("# container {} removed itself as it ended; nothing can be taken back", at.name)];
        }
        let start = format!("start {}  # does nothing where it runs again", at.id);
        vec![at.command(&start), at.clear_command()]
    }
}

/// As a crash: the engine only sees that its first process has ended.
fn kill_here(at: &Subject, process: ProcessId, signal: Signal) -> Result<(), FaultError> {
    match first_process::signal(process, &at.id, signal.number()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(FaultError::gone(format!("container {} had ended already", at.name))),
        Err(e) => Err(FaultError::new(format!("send {signal} to process {} of container {}: {e}", process.pid, at.name))
            .hint("run as root, or as the user whose process it is")),
    }
}

async fn kill_there(at: &Subject, signal: Signal, engine: &Engine) -> Result<(), FaultError> {
    let killing = engine.api().kill_container(&at.id, Some(KillContainerOptionsBuilder::new().signal(&signal.to_string()).build()));
    Ok(engine.call(&format!("kill container {} by {signal}", at.name), REQUEST, killing).await?)
}
