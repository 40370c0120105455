//! Container engines as a world: what may be read of them, and the one place from which anything is done to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaos_core::World;
use chaos_core::target::Target;

use crate::container::short;
use crate::engine::{Engine, EngineError, Failing, Surroundings};
use crate::guard::{self, Own};
use crate::resident::innermost;

/// How long an engine may take to say whether a container is to be spared.
const AT_MOST: Duration = Duration::from_secs(5);

/// The container engines that one executor uses.
#[derive(Debug)]
pub struct Docker {
    view: DockerView,
}

/// What can be read of engines. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DockerView {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    surroundings: Surroundings,
    /// The container that this process runs in.
    own: Own,
    /// Those that have answered, by endpoint.
    engines: Mutex<BTreeMap<String, Engine>>,
    /// The one that is meant where nobody names one, once it was found.
    meant: Mutex<Option<Engine>>,
    /// Why containers that were asked about are spared. A container's labels never change.
    spared: Mutex<BTreeMap<String, Option<String>>>,
}

impl Docker {
    /// Those that this process' environment means. None is connected yet: each is when it is first asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::among(Surroundings::of_this_process())
    }

    /// As if `DOCKER_HOST` said this, and no other variable were set.
    #[must_use]
    pub fn with_host(host: &str) -> Self {
        Self::among(Surroundings::with_host(host))
    }

    fn among(surroundings: Surroundings) -> Self {
        let shared = Shared {
            surroundings,
            own: Own::of_this_process(),
            engines: Mutex::default(),
            meant: Mutex::default(),
            spared: Mutex::default(),
        };
        Self { view: DockerView { shared: Arc::new(shared) } }
    }
}

impl Default for Docker {
    fn default() -> Self {
        Self::new()
    }
}

impl World for Docker {
    type View = DockerView;

    fn view(&self) -> &DockerView {
        &self.view
    }
}

impl DockerView {
    /// The engine at this endpoint, as [`Engine::endpoint`] and an undo name it.
    ///
    /// # Errors
    /// If it does not answer, may not be asked, or is too old.
    pub async fn engine(&self, endpoint: &str) -> Result<Engine, EngineError> {
        let known = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).cloned();
        match known {
            Some(engine) => Ok(engine),
            None => Ok(self.keep(Engine::connect(endpoint).await?)),
        }
    }

    /// The engine that is meant where nobody names one: by `DOCKER_HOST`, a context, or because it answers on a usual socket.
    ///
    /// # Errors
    /// If none can be used: everything that was tried, and how to start one.
    pub async fn discovered(&self) -> Result<Engine, EngineError> {
        let known = self.shared.meant.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(engine) = known {
            return Ok(engine);
        }
        let engine = self.keep(Engine::discover(&self.shared.surroundings).await?);
        *self.shared.meant.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine.clone());
        Ok(engine)
    }

    /// The container that this process runs in.
    pub(crate) fn own(&self) -> &Own {
        &self.shared.own
    }

    /// Why this is never a target, by no setting: it is a container that is never harmed, or a process in one that says so of itself.
    /// `None`: it may be one, or is no container's. Where there is no engine to be asked, nothing is known of what a container says of
    /// itself; where there is one that does not answer, it is spared.
    #[must_use]
    pub fn protected(&self, target: &Target) -> Option<String> {
        if let Some(container) = &target.facets.container {
            return guard::never(&self.shared.own, &container.id, &BTreeMap::new());
        }
        let id = innermost(target.facets.cgroup.as_deref()?)?;
        // What runs beside chaos in one container may be harmed; the container may not.
        if self.shared.own.is(id) {
            return None;
        }
        let known = self.shared.spared.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let why = match known.map_or_else(|| self.spared(id), Ok) {
            Ok(why) => why,
            // Nobody is there who could be asked.
            Err(e) if matches!(e.kind, Failing::Unreachable | Failing::Version) => None,
            Err(e) => return Some(format!("it lies in a container, and whether that may be harmed is not known: {e}")),
        };
        Some(format!("it lies in a container that is never harmed: {}", why?))
    }

    /// What the engine knows of a container's labels, remembered once it has said so. Asked from a thread of its own: who wants to know does
    /// not wait as others do.
    fn spared(&self, id: &str) -> Result<Option<String>, EngineError> {
        let doing = format!("ask for the labels of container {}", short(id));
        let failed = |why: String| EngineError::new(Failing::Unreadable, format!("{doing}: {why}"));
        let ask = async {
            let container = self.discovered().await?.container(id).await?;
            Ok(container.and_then(|container| guard::never(&self.shared.own, id, &container.labels)))
        };
        let why = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(e.to_string()))?;
                runtime.block_on(async { tokio::time::timeout(AT_MOST, ask).await.map_err(|_| EngineError::unanswered(&doing))? })
            });
            asking.join().unwrap_or_else(|_| Err(failed("a defect of ours".into())))
        })?;
        self.shared.spared.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), why.clone());
        Ok(why)
    }

    fn keep(&self, engine: Engine) -> Engine {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.insert(engine.endpoint().to_owned(), engine.clone());
        engine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_core::target::{Facets, Identity};

    /// A process in a container.
    fn process(id: &str) -> Target {
        Target {
            identity: Identity("process:1@1".into()),
            label: "sleep".into(),
            place: "here".into(),
            order: String::new(),
            healthy: true,
            started: 0,
            groups: BTreeMap::new(),
            facets: Facets { cgroup: Some(format!("/docker/{id}")), ..Facets::default() },
        }
    }

    #[test]
    fn where_an_engine_is_silent_what_lies_in_containers_is_spared_and_where_there_is_none_nothing_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("docker.sock");
        let silent = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        let id = "0123456789abcdef".repeat(4);
        let docker = Docker::with_host(&format!("unix://{}", socket.display()));
        let why = docker.view().protected(&process(&id)).expect("it is spared");
        assert!(why.contains("is not known") && why.contains("no answer in time"), "{why}");
        drop(silent);
        assert_eq!(docker.view().protected(&process(&id)), None);
    }
}
