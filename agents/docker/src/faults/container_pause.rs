//! `container.pause`: every process of a container is frozen at one moment.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::subject::{Found, Life, Now, REQUEST, SETTLE, Subject};
use crate::container::State;
use crate::stamp;
use crate::world::{Docker, DockerView};

/// Freezes a container through its engine.
pub(crate) struct ContainerPause;

/// Nothing to say: a container runs, or it does not.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {}

/// Who was frozen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
    },
}

impl Fault for ContainerPause {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.pause";

    fn profile(&self) -> Profile {
        Profile {
            summary: "freezes a container: it exists, its ports accept connections, and nothing answers",
            about: "The engine freezes the control group of the container, so all its processes stop at one moment and none can notice. The kernel goes \
                on accepting connections into the listen queues: clients wait instead of being refused. The engine goes on saying \
                `running`, now with `paused`, and its health check is not run meanwhile.\n\n\
                Taken back by `unpause`, exactly, only where the container is still paused and lives the same life. One that is paused \
                already is refused: nobody could tell afterwards who paused it. Should somebody else let it go on, that ends the fault.",
            example: "inject: container.pause\ninto: replicas\npick: 1\nfor: 30s",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::Stamp,
            settle: SETTLE,
            revert_budget: Duration::from_secs(5),
            rampable: &[],
            class: Class::Process,
            internal: false,
        }
    }

    async fn prepare(&self, _: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        let Found { subject: at, .. } = Found::running(target, id, view).await?;
        let claim = at.claim();
        Ok(Prepared::new(Undo::V1 { at }).claim(claim))
    }

    async fn stage(&self, armed: &Armed<Undo>, world: &Docker) -> Result<(), FaultError> {
        let Undo::V1 { at } = armed.undo();
        stamp::put(&at.engine_of(world).await?, armed.id(), Self::KIND, armed.undo()).await
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let engine = at.engine_of(world).await?;
        engine.call(&format!("pause container {}", at.name), REQUEST, engine.api().pause_container(&at.id)).await?;
        Ok(Observed::note("paused 1 container"))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at } = undo;
        let name = &at.name;
        let now = match at.now(&at.engine(view).await?).await? {
            Now::Here(now) => now,
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        Ok(match (at.life(&now), now.state) {
            (Life::Up, State::Paused) => Presence::whole(),
            (Life::Up, _) => Presence::none().finding(format!("container {name} is not paused")),
            (Life::Down, state) => Presence::none().finding(format!("container {name} has ended: it is {state}")),
            (Life::Returning | Life::UpAgain | Life::DownAgain, _) => {
                Presence::none().finding(format!("container {name} was started again"))
            }
        })
    }

    async fn revert(&self, undo: &Undo, world: &Docker) -> Result<Reverted, FaultError> {
        let Undo::V1 { at } = undo;
        let engine = at.engine_of(world).await?;
        let note = match at.now(&engine).await? {
            Now::Here(now) if now.state == State::Paused && at.life(&now) == Life::Up => {
                let doing = format!("unpause container {}", at.name);
                let unpausing = engine.call(&doing, REQUEST, engine.api().unpause_container(&at.id));
                unpausing.await.map_err(|e| cannot_go_on(e.into(), at))?;
                Some(format!("container {} goes on", at.name))
            }
            Now::Here(_) => None,
            Now::Gone(finding) => Some(finding),
        };
        at.clear(&engine).await?;
        Ok(Reverted { notes: note.into_iter().collect(), ..Reverted::default() })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at } = undo;
        vec![at.command(&format!("unpause {}", at.id)), at.clear_command()]
    }
}

/// Its processes may have been ended while they were frozen, behind the engine's back.
fn cannot_go_on(e: FaultError, at: &Subject) -> FaultError {
    let hint = format!("if its processes are gone, `docker restart {}` sets the engine right", at.name);
    if e.hint.is_some() { e } else { e.hint(hint) }
}
