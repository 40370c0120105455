//! Container engines as a world: what may be read of them, and the one place from which anything is done to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chaos_core::World;

use crate::engine::{Engine, EngineError, Surroundings};
use crate::guard::Own;

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
        let shared = Shared { surroundings, own: Own::of_this_process(), engines: Mutex::default(), meant: Mutex::default() };
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

    fn keep(&self, engine: Engine) -> Engine {
        let mut engines = self.shared.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.insert(engine.endpoint().to_owned(), engine.clone());
        engine
    }
}
