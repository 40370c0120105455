//! `container.remove`: a container is gone, with all it wrote.

use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss::anonymous_volumes;
use super::subject::{Found, Subject};
use crate::container::State;
use crate::engine::Fate;
use crate::world::{Docker, DockerView};

/// How long an engine may take to end a container and remove its files.
const REMOVED_WITHIN: Duration = Duration::from_secs(60);

/// Removes a container through its engine.
pub(crate) struct ContainerRemove;

/// What goes with it, and the permission.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spec {
    /// Must be `true`: what the container wrote is lost for ever.
    pub(crate) allowed: bool,
    /// Its volumes without a name go with it. Those with one always stay.
    pub(crate) volumes: bool,
}

/// Who was removed. There is nothing to take back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// Its volumes without a name, too?
        volumes: bool,
    },
}

impl Fault for ContainerRemove {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.remove";

    fn profile(&self) -> Profile {
        Profile {
            summary: "removes a container for ever, as `docker rm --force` does",
            about: "The engine kills the container and removes it with everything that it wrote outside of volumes. Nothing can be taken back, and no restart \
                policy brings it back: only whoever made it can, an orchestrator or a person. Whether somebody does, and how soon, is what is \
                observed.\n\n\
                It needs `allowed: true`, in so many words. Volumes with a name always stay; those without one stay unless `volumes: true`, but \
                nothing leads to them any more.",
            example: "inject: container.remove\ninto: replicas\npick: 1\nwith: {allowed: true}",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket",
            reach: Reach::Target,
            reversibility: Reversibility::Irreversible,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::ZERO,
            rampable: &[],
            class: Class::Api,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        if spec.allowed {
            return Vec::new();
        }
        let message = "a container is removed for ever, with all it wrote: that must be allowed in so many words";
        vec![SpecError::new("", message).hint("`with: {allowed: true}`")]
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        if let Some(refused) = self.check(spec).pop() {
            return Err(FaultError { hint: refused.hint, ..FaultError::new(refused.message) });
        }
        let Found { subject: at, container, .. } = Found::running(target, id, view).await?;
        let claim = at.claim();
        let mut prepared = Prepared::new(Undo::V1 { at, volumes: spec.volumes })
            .claim(claim)
            .note(format!("container {} is lost for ever, with all it wrote outside of volumes", container.name));
        if let Some(places) = anonymous_volumes(&container) {
            prepared.notes.push(match spec.volumes || container.auto_remove {
                true => format!("its volumes without a name are lost too: {places}"),
                false => format!("its volumes without a name stay, but nothing leads to them any more: {places}"),
            });
        }
        Ok(prepared.note(match &container.compose {
            Some(made) => format!("Compose made it, and makes it again only when it is asked to (`docker compose up {}`)", made.service),
            None => "nothing is known here that would make it again".into(),
        }))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at, volumes } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        let engine = at.engine_of(world).await?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(*volumes).build();
        let removing = engine.api().remove_container(&at.id, Some(options));
        engine.call(&format!("remove container {}", at.name), REMOVED_WITHIN, removing).await?;
        Ok(Observed::note("removed 1 container"))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, .. } = undo;
        Ok(match at.engine(view).await?.fate(&at.id, &at.name).await? {
            Fate::Removed | Fate::Recreated(_) => Presence::whole(),
            Fate::Exists(now) if now.state == State::Removing => Presence::partial(format!("container {} is being removed", at.name)),
            Fate::Exists(now) if now.state == State::Dead => Presence::partial(format!("container {} could not be removed", at.name)),
            Fate::Exists(_) => Presence::none(),
        })
    }

    async fn revert(&self, _: &Undo, _: &Docker) -> Result<Reverted, FaultError> {
        Ok(Reverted::default())
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at, .. } = undo;
        vec![format!("# container {} was removed; nothing can be taken back", at.name)]
    }
}
