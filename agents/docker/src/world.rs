//! Container engines as a world: what may be read of them, and the one place from which anything is done to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaos_core::World;
use chaos_core::target::Target;

use crate::engine::{Engine, EngineError, Surroundings};
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
    /// `None`: it may be one, or is no container's. Where no engine can be asked, nothing is known of what a container says of itself.
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
        let why = known.unwrap_or_else(|| {
            let why = self.spared(id);
            self.shared.spared.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), why.clone());
            why
        });
        Some(format!("it lies in a container that is never harmed: {}", why?))
    }

    /// What the engine knows of a container's labels. Asked from a thread of its own: who wants to know does not wait as others do.
    fn spared(&self, id: &str) -> Option<String> {
        let ask = async {
            let container = self.discovered().await.ok()?.container(id).await.ok()??;
            guard::never(&self.shared.own, id, &container.labels)
        };
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
                runtime.block_on(async { tokio::time::timeout(AT_MOST, ask).await.ok()? })
            });
            asking.join().ok()?
        })
    }

    fn keep(&self, engine: Engine) -> Engine {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.insert(engine.endpoint().to_owned(), engine.clone());
        engine
    }
}
