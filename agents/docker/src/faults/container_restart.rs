//! `container.restart`: a container ends as it is asked to, and is started again at once.

use std::time::Duration;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container_stop::{check_grace, usual_grace};
use super::loss::losses;
use super::subject::{Found, Life, Now, REQUEST, Subject};
use crate::world::{Docker, DockerView};

/// How long an engine may take to start what it has stopped.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Restarts a container through its engine.
pub(crate) struct ContainerRestart;

/// How it is stopped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// How long it may take to end by itself, at most 60 s; then it is killed.
    #[serde(default = "usual_grace")]
    pub(crate) grace: literal::Duration,
}

/// Who was restarted. There is nothing to take back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// How long it may take to end.
        grace: literal::Duration,
    },
}

impl Fault for ContainerRestart {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.restart";

    fn profile(&self) -> Profile {
        Profile {
            summary: "stops a container and starts it again at once, as `docker restart` does",
            about: "The engine sends its stop signal (SIGTERM unless the image says another), SIGKILL when the grace is over, and starts it as soon as it \
                has ended. This is the shortest outage that a deployment makes: what is seen is how long the program takes to end and to be \
                ready again, and what its callers do meanwhile.\n\n\
                The effect is over when the engine is done, so there is nothing to hold and nothing to take back; how the system \
                recovers is what is observed. What is lost stands in the plan. A container that the engine could stop but not start again is \
                started once more at the end.",
            example: "inject: container.restart\ninto: ranker\nwith: {grace: 2s}",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket",
            reach: Reach::Target,
            reversibility: Reversibility::Irreversible,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
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
        let mut prepared = Prepared::new(Undo::V1 { at, grace: spec.grace }).claim(claim);
        prepared.notes = losses(&container);
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at, grace } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let engine = at.engine_of(world).await?;
        let seconds = i32::try_from(grace.get().as_secs()).unwrap_or(i32::MAX);
        let restarting = engine.api().restart_container(&at.id, Some(RestartContainerOptionsBuilder::new().t(seconds).build()));
        engine.call(&format!("restart container {}", at.name), grace.get() + STARTS_WITHIN + REQUEST, restarting).await?;
        Ok(Observed::note("restarted 1 container"))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, .. } = undo;
        let now = match at.now(&at.engine(view).await?).await? {
            Now::Here(now) => now,
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        Ok(match at.life(&now) {
            Life::Up => Presence::none(),
            Life::UpAgain => Presence::whole(),
            Life::Returning => Presence::whole().finding(format!("container {} ends as soon as it starts", at.name)),
            Life::Down => Presence::partial(format!("container {} was stopped, and not started again", at.name)),
            Life::DownAgain => Presence::whole().finding(format!("container {} has ended since (exit code {})", at.name, now.exit_code)),
        })
    }

    async fn revert(&self, undo: &Undo, world: &Docker) -> Result<Reverted, FaultError> {
        let Undo::V1 { at, .. } = undo;
        let engine = at.engine_of(world).await?;
        match at.now(&engine).await? {
            Now::Here(now) if at.life(&now) == Life::Down => {
                Ok(Reverted { notes: at.bring_back(&engine).await?.into_iter().collect(), ..Reverted::default() })
            }
            _ => Ok(Reverted::default()),
        }
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at, .. } = undo;
        vec![format!("# container {} was restarted; should it be down:", at.name), at.command(&format!("start {}", at.id))]
    }
}
