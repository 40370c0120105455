//! `container.stop`: a container ends as it is asked to, and stays down.

use std::time::Duration;

use bollard::query_parameters::{KillContainerOptionsBuilder, StopContainerOptionsBuilder};
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss::{Ending, losses, losses_of_removal, policy, removed_itself};
use super::subject::{Found, Life, Now, REQUEST, SETTLE, Subject};
use crate::engine::Engine;
use crate::stamp;
use crate::world::{Docker, DockerView};

/// The longest grace: whoever dies meanwhile leaves an end that comes so late.
pub(super) const LONGEST_GRACE: Duration = Duration::from_secs(60);

/// How often it is asked whether to stop half-way.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Stops a container through its engine.
pub(crate) struct ContainerStop;

/// How it is stopped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// How long it may take to end by itself, at most 60 s; then it is killed.
    #[serde(default = "usual_grace")]
    pub(crate) grace: literal::Duration,
}

pub(super) fn usual_grace() -> literal::Duration {
    literal::Duration::from_secs(10)
}

/// The engine counts in seconds.
pub(super) fn check_grace(grace: literal::Duration) -> Vec<SpecError> {
    if grace.get() > LONGEST_GRACE {
        let longest = literal::Duration::from(LONGEST_GRACE);
        return vec![SpecError::new("grace", format!("{grace} is too long: at most {longest}")).hint(format!("`grace: {longest}`"))];
    }
    if grace.get().subsec_nanos() != 0 {
        return vec![
            SpecError::new("grace", "an engine counts it in whole seconds").hint(format!("`grace: {}s`", grace.get().as_secs() + 1)),
        ];
    }
    Vec::new()
}

/// Who was stopped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// How long it may take.
        grace: literal::Duration,
        /// Does it remove itself as it ends?
        removed: bool,
    },
}

impl Fault for ContainerStop {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.stop";

    fn profile(&self) -> Profile {
        Profile {
            summary: "stops a container as `docker stop` does, and keeps it down",
            about: "The engine sends its stop signal (SIGTERM unless the image says another), and SIGKILL when the grace is over. No restart \
                policy applies to what is stopped so: it stays down for as long as the fault is held. Shutting down in good order \
                is what this tests; `container.kill` is the crash.\n\n\
                Taken back by `start`, if nobody else has started it meanwhile; what is lost then stands in the plan: memory and tmpfs, addresses and \
                host ports that the engine chose. Until then it counts as stopped by hand: an engine that starts meanwhile leaves it \
                down if its policy is `unless-stopped`. A container that removes itself as it ends (`--rm`) cannot be taken back.",
            example: "inject: container.stop\ninto: replicas\npick: 1\nwith: {grace: 5s}\nfor: 30s",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket",
            reach: Reach::Target,
            reversibility: Reversibility::WithLoss,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::Stamp,
            settle: LONGEST_GRACE.saturating_add(SETTLE),
            revert_budget: Duration::from_secs(20),
            rampable: &[],
            class: Class::Api,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        check_grace(spec.grace)
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        let Found { subject: at, container, .. } = Found::running(target, id, view).await?;
        let claim = at.claim();
        let removed = container.auto_remove;
        let mut prepared = Prepared::new(Undo::V1 { at, grace: spec.grace, removed }).claim(claim);
        if removed {
            prepared.reversibility = Some(Reversibility::Irreversible);
            prepared.notes = losses_of_removal(&container);
            return Ok(prepared);
        }
        prepared.notes = losses(&container);
        prepared.notes.push(policy(&container, Ending::ByHand));
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
        let Undo::V1 { at, grace, .. } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let engine = at.engine_of(world).await?;
        let seconds = i32::try_from(grace.get().as_secs()).unwrap_or(i32::MAX);
        let stopping = engine.api().stop_container(&at.id, Some(StopContainerOptionsBuilder::new().t(seconds).build()));
        let doing = format!("stop container {}", at.name);
        let stopping = engine.call(&doing, grace.get() + REQUEST, stopping);
        tokio::pin!(stopping);
        let mut hurried = false;
        loop {
            tokio::select! {
                stopped = &mut stopping => {
                    stopped?;
                    return Ok(Observed::note("stopped 1 container"));
                }
                () = tokio::time::sleep(ASK_EVERY), if !hurried => {
                    // What was asked for cannot be called off: its end is made sure of, so that it can be taken back at once.
                    if armed.cancelled() {
                        hurried = true;
                        hurry(at, &engine).await;
                    }
                }
            }
        }
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, removed, .. } = undo;
        let now = match at.now(&at.engine(view).await?).await? {
            Now::Here(now) => now,
            Now::Gone(_) if *removed => return Ok(Presence::whole().finding(removed_itself(at))),
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        Ok(match at.life(&now) {
            Life::Down => Presence::whole(),
            Life::Up => Presence::none().finding(format!("container {} runs", at.name)),
            Life::UpAgain | Life::Returning => Presence::none().finding(format!("container {} was started again", at.name)),
            Life::DownAgain => Presence::none().finding(format!("container {} was started again, and has ended since", at.name)),
        })
    }

    fn settle(&self, undo: &Undo) -> Duration {
        let Undo::V1 { grace, .. } = undo;
        grace.get() + SETTLE
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
        vec![at.command(&format!("start {}", at.id)), at.clear_command()]
    }
}

/// Ends the grace now. If that fails, the grace ends it.
async fn hurry(at: &Subject, engine: &Engine) {
    let killing = engine.api().kill_container(&at.id, Some(KillContainerOptionsBuilder::new().signal("SIGKILL").build()));
    let _ = engine.call(&format!("kill container {}", at.name), REQUEST, killing).await;
}
