//! Targets that are containers.

mod matching;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chaos_core::World;
use chaos_core::fault::SpecError;
use chaos_core::literal::Pattern;
use chaos_core::target::{
    ContainerFacet, Facets, Identity, Population, ResolveContext, ResolveError, Target, TargetKind, TargetKindProfile, TargetKindTable,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::{Health, State, is_well, short};
use crate::engine::Engine;
use crate::listed::Listed;
use crate::resident::{self, Resident};
use crate::world::{Docker, DockerView};

/// The label that says which zone a container counts to.
const ZONE: &str = "chaos.zone";

/// Every kind of target that an engine knows.
#[must_use]
pub fn target_kinds(docker: &Arc<Docker>) -> TargetKindTable {
    TargetKindTable::new().with(Containers(docker.view().clone()))
}

/// Finds containers of the engine that is meant.
struct Containers(DockerView);

/// Which containers. Every field that is given must match.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selector {
    /// The replicas of a service that Compose has made: `{project: shop, service: ranker}`. What `docker compose run` starts is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compose: Option<ComposeSelector>,
    /// Patterns of names, one of which must match: `[gateway, store-*]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<Pattern>,
    /// Labels that it must bear, those of its image included: `{app: ranker}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Pattern of its image, as it was named when the container was made. Without a tag, any is meant: `redis` also finds `redis:7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<Pattern>,
    /// The name or id of a network that it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
}

/// What Compose has made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComposeSelector {
    /// The project. Left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The service. Left out: every one of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

impl Selector {
    fn is_empty(&self) -> bool {
        self.compose.is_none() && self.names.is_empty() && self.labels.is_empty() && self.image.is_none() && self.network.is_none()
    }
}

impl TargetKind for Containers {
    type Selector = Selector;
    const KIND: &'static str = "containers";

    fn profile(&self) -> TargetKindProfile {
        TargetKindProfile {
            summary: "containers of this host's engine, by Compose service, name, label, image or network",
            about: "The engine is the one that the `docker` command line would use: by `DOCKER_HOST`, else `DOCKER_CONTEXT`, else the \
                current context; where nobody says, the first that answers of `/var/run/docker.sock`, a rootless engine's and Podman's. \
                Docker 20.10 and Podman 3 and later are spoken to.\n\n\
                Every container that matches is a member, running or not; it is healthy while it runs, is not paused, and its health check, \
                where it has one, has passed. A container that was removed and made again is another member; one that was restarted is the \
                same. Groups: `zone` is the label `chaos.zone`, `owner` the Compose service.\n\n\
                Faults of the host (`process.*`, `net.*`, `cpu.*` …) reach a container through its first process, which is proved to be the \
                container's by its own control group before anything is done to it. Where the engine runs elsewhere, or `chaos` in a \
                container without `--pid=host`, there is no such process here, and only faults through the engine's API remain.\n\n\
                Never found: the container that `chaos` runs in, whatever `chaos` made, and what bears the label `chaos.exempt=true`; nor is \
                a process in such a container ever harmed, where its engine can be asked. A process that `processes` finds inside a \
                container counts as that container wherever both are harmed.",
            example: "rankers: {containers: {compose: {project: shop, service: ranker}}, expect: 3}",
        }
    }

    fn check(&self, selector: &Selector) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if selector.is_empty() {
            errors.push(
                SpecError::new("", "which containers? nothing is selected by")
                    .hint("for example `containers: {compose: {project: shop, service: ranker}}` or `containers: {names: [gateway]}`"),
            );
        }
        if selector.compose.as_ref().is_some_and(|c| c.project.is_none() && c.service.is_none()) {
            errors
                .push(SpecError::new("compose", "neither project nor service is said").hint("`compose: {project: shop, service: ranker}`"));
        }
        errors
    }

    async fn resolve(&self, selector: &Selector, _: &ResolveContext) -> Result<Population, ResolveError> {
        let engine = self.0.discovered().await?;
        let mut listed: Vec<Listed> = engine.list_with(matching::labels(selector)).await?.into_iter().filter_map(Listed::of).collect();
        if selector.image.is_some() {
            named(&engine, &mut listed).await?;
        }
        let (found, never) = matching::select(selector, &listed, self.0.own());
        if found.is_empty() {
            // What is nearest is among those that the engine left out.
            let everything: Vec<Listed> = engine.list().await?.into_iter().filter_map(Listed::of).collect();
            return Err(matching::nothing(selector, &everything, &never, engine.endpoint()));
        }
        let residents = tokio::task::spawn_blocking(|| resident::residents(Path::new("/proc"))).await;
        let residents = residents.map_err(|e| e.to_string()).and_then(|r| r.map_err(|e| e.to_string()));
        let residents = residents.map_err(|e| ResolveError::new(format!("list the processes of this host: {e}")))?;
        let own_network = resident::own_network_namespace();
        let mut members: Vec<Target> =
            found.into_iter().map(|container| target(container, residents.get(&container.id), &engine, own_network)).collect();
        members.sort_by(|a, b| (&a.order, &a.identity).cmp(&(&b.order, &b.identity)));
        Ok(members)
    }
}

/// Where the name of an image has become another's, a list says the image's id; only an inspection says how it was named.
async fn named(engine: &Engine, listed: &mut [Listed]) -> Result<(), ResolveError> {
    let renamed = listed.iter().filter(|container| container.image.starts_with("sha256:")).map(|container| container.id.clone());
    let images: BTreeMap<String, String> = engine.inspected(renamed).await?.into_iter().map(|found| (found.id, found.image)).collect();
    for container in listed {
        if let Some(image) = images.get(&container.id) {
            container.image.clone_from(image);
        }
    }
    Ok(())
}

fn target(container: &Listed, resident: Option<&Resident>, engine: &Engine, own_network: Option<u64>) -> Target {
    let network_namespace = resident.and_then(|r| resident::network_namespace(r.process));
    let has_own_network = network_namespace.is_some() && network_namespace != own_network;
    Target {
        identity: Identity(format!("container:{}", container.id)),
        label: label(container),
        place: "here".into(),
        order: order(container),
        healthy: is_well(container.state, container.health),
        started: container.created,
        groups: groups(container),
        facets: Facets {
            process: resident.map(|r| r.process),
            tree: resident.map(|r| r.tree.clone()).unwrap_or_default(),
            cgroup: resident.map(|r| r.cgroup.clone()),
            listening: resident.filter(|_| has_own_network).map(|r| resident::listening(r.process)).unwrap_or_default(),
            network_namespace,
            container: Some(ContainerFacet {
                engine: engine.endpoint().to_owned(),
                id: container.id.clone(),
                name: container.name.clone(),
                beyond: resident.is_none().then(|| beyond(container, engine)),
            }),
            ..Facets::default()
        },
    }
}

/// Why nothing of this host stands beside it.
fn beyond(container: &Listed, engine: &Engine) -> String {
    match container.state {
        State::Running | State::Paused if engine.is_local() => {
            "its processes are not seen from here: host faults need an executor on that engine's host, with its processes in view \
             (in a container: `--pid=host`)"
                .to_owned()
        }
        State::Running | State::Paused => {
            format!("its engine is elsewhere ({}), and host faults need an executor on that engine's host", engine.endpoint())
        }
        state => format!("it is {state}, not running"),
    }
}

/// `shop-ranker-1 (3f9a02c11b7d, exited)`.
fn label(container: &Listed) -> String {
    let state = match (container.state, container.health) {
        (State::Running, Health::None | Health::Healthy) => String::new(),
        (State::Running, Health::Starting) => ", health check not passed yet".to_owned(),
        (State::Running, Health::Unhealthy) => ", unhealthy".to_owned(),
        (state, _) => format!(", {state}"),
    };
    format!("{} ({}{state})", container.name, short(&container.id))
}

/// The same in the same world: a replica's number, so that the tenth comes after the ninth; else the name.
fn order(container: &Listed) -> String {
    match &container.compose {
        Some(compose) => format!("{}/{}/{:06} {}", compose.project, compose.service, compose.number, container.name),
        None => container.name.clone(),
    }
}

fn groups(container: &Listed) -> BTreeMap<String, String> {
    let zone = container.labels.get(ZONE).map(|zone| ("zone".to_owned(), zone.clone()));
    let owner = container.compose.as_ref().map(|c| ("owner".to_owned(), c.service.clone()));
    zone.into_iter().chain(owner).collect()
}

#[cfg(test)]
mod tests;
