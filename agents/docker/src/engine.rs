//! An engine that has answered: Docker 20.10 and later, or Podman's compatible service.

mod connect;
mod discovery;
mod endpoint;
mod error;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::ClientVersion;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub(crate) use discovery::Surroundings;
pub use error::{EngineError, Failing};

use crate::container::Container;
use endpoint::Endpoint;

/// How long a question (a list, an inspect) may take. A list of a thousand containers takes a loaded engine a second.
pub const QUESTION: Duration = Duration::from_secs(20);

/// How long an answer may be that of a moment between two states. Podman clears up in a tenth of a second, a loaded one in a few.
const BETWEEN: Duration = Duration::from_secs(10);

/// How soon it is asked again then.
const AGAIN: Duration = Duration::from_millis(50);

/// How many containers are inspected at once.
const AT_ONCE: usize = 16;

/// A connection to an engine. Cheap to clone; each call opens its own, so a restarted engine is no trouble.
#[derive(Debug, Clone)]
pub struct Engine {
    endpoint: Arc<str>,
    local: bool,
    speaks: ClientVersion,
    api: bollard::Docker,
}

/// What has become of a container that was known by id and name.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It exists, maybe under another name.
    Exists(Box<Container>),
    /// It does not; another one bears its name now.
    Recreated(Box<Container>),
    /// It does not, and nothing bears its name.
    Removed,
}

impl Fate {
    /// In words, for a finding: `container ranker-1 was recreated as 3f9a02c11b7d`. Nothing, where it is as it was.
    #[must_use]
    pub fn finding(&self, name: &str) -> Option<String> {
        match self {
            Self::Exists(now) if now.name == name => None,
            Self::Exists(now) => Some(format!("container {name} was renamed to {}", now.name)),
            Self::Recreated(other) => Some(format!("container {name} was recreated as {}", other.short_id())),
            Self::Removed => Some(format!("container {name} was removed")),
        }
    }
}

impl Engine {
    /// Connects and agrees on a version.
    pub(crate) async fn connect(endpoint: &str) -> Result<Self, EngineError> {
        Self::at(&Endpoint::read(endpoint, "the plan")?).await
    }

    /// The engine that these surroundings mean.
    pub(crate) async fn discover(surroundings: &Surroundings) -> Result<Self, EngineError> {
        let candidates = surroundings.candidates()?;
        let mut failures = Vec::new();
        for endpoint in &candidates.endpoints {
            match Self::at(endpoint).await {
                Ok(engine) => return Ok(engine),
                Err(e) => failures.push(e),
            }
        }
        Err(none_answered(candidates.said.as_deref(), failures))
    }

    async fn at(endpoint: &Endpoint) -> Result<Self, EngineError> {
        let (api, speaks) = connect::connect(endpoint).await?;
        Ok(Self { endpoint: endpoint.to_string().into(), local: endpoint.is_local(), speaks, api })
    }

    /// Where it is reached: enough, by itself, to reach it again.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Could its containers be processes of this host? Each one is proved before it is entered (RULES 16).
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The version of the API that is agreed on. The client's own word for it is what that would speak at most.
    pub(crate) fn speaks(&self) -> ClientVersion {
        self.speaks
    }

    /// The API itself. What is asked of it goes through [`Engine::call`], so that it ends and its error says what was asked.
    #[must_use]
    pub fn api(&self) -> &bollard::Docker {
        &self.api
    }

    /// One call of the API, given up after `within`. `doing` says call and thing: `pause container ranker-1`.
    ///
    /// # Errors
    /// If the engine refuses, or does not answer in time ([`Failing::Unanswered`]: what was asked for may still happen).
    pub async fn call<T>(
        &self,
        doing: &str,
        within: Duration,
        asking: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        let doing = format!("the engine at {}: {doing}", self.endpoint);
        match tokio::time::timeout(within, asking).await {
            Ok(answer) => answer.map_err(|e| EngineError::of_call(&doing, &e)),
            Err(_) => Err(EngineError::unanswered(&doing)),
        }
    }

    /// One question about containers, asked again while one of them is between two states.
    async fn ask<T, A>(&self, doing: &str, asking: impl Fn() -> A) -> Result<T, EngineError>
    where
        A: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let until = Instant::now() + BETWEEN;
        loop {
            match self.call(doing, QUESTION, asking()).await {
                Err(e) if e.kind == Failing::Between && Instant::now() < until => tokio::time::sleep(AGAIN).await,
                answer => return answer,
            }
        }
    }

    /// Every container, running or not, as the list has it.
    ///
    /// # Errors
    /// If the list cannot be had.
    pub(crate) async fn list(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_with(Vec::new()).await
    }

    /// Every container that bears all these labels (`app=ranker`), running or not, as the list has it: one call, whatever their number.
    ///
    /// # Errors
    /// If the list cannot be had.
    pub(crate) async fn list_with(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let all = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.ask("list containers", || self.api.list_containers(Some(all.clone()))).await
    }

    /// Every container, running or not, sorted by name: one list, then each is inspected. Those that vanish meanwhile are left out.
    ///
    /// # Errors
    /// If one cannot be inspected.
    pub async fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let ids = self.list().await?.into_iter().filter_map(|c| c.id);
        let mut found = self.inspected(ids).await?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// These containers, in no order, a few at once. Those that do not exist are left out.
    ///
    /// # Errors
    /// If one cannot be inspected.
    pub async fn inspected(&self, ids: impl IntoIterator<Item = String>) -> Result<Vec<Container>, EngineError> {
        let turn = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for id in ids {
            let (engine, turn) = (self.clone(), Arc::clone(&turn));
            asking.spawn(async move {
                let _turn = turn.acquire_owned().await;
                engine.container(&id).await
            });
        }
        let mut found = Vec::new();
        while let Some(ended) = asking.join_next().await {
            let answer = ended.map_err(|e| EngineError::new(Failing::Unreadable, format!("inspect containers: {e}")))?;
            found.extend(answer?);
        }
        Ok(found)
    }

    /// The container of this id or name; `None`: there is none.
    ///
    /// # Errors
    /// If the engine cannot say.
    pub async fn container(&self, id_or_name: &str) -> Result<Option<Container>, EngineError> {
        let asking = || self.api.inspect_container(id_or_name, None::<InspectContainerOptions>);
        match self.ask(&format!("inspect container {id_or_name}"), asking).await {
            // Not "there is none": whoever takes something back would be done with it.
            Ok(answer) => Container::of(answer).map(Some).ok_or_else(|| {
                let says = format!("the engine at {}: inspect container {id_or_name}: the answer has no id or no name", self.endpoint);
                EngineError::new(Failing::Unreadable, says).hint("is it a Docker engine, or a Podman service, that listens there?")
            }),
            Err(e) if e.is_of_none() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What has become of the container of this id, which bore this name.
    ///
    /// # Errors
    /// If the engine cannot say.
    pub async fn fate(&self, id: &str, name: &str) -> Result<Fate, EngineError> {
        if let Some(container) = self.container(id).await? {
            return Ok(Fate::Exists(Box::new(container)));
        }
        let other = self.container(name).await?.filter(|c| c.name == name);
        Ok(other.map_or(Fate::Removed, |c| Fate::Recreated(Box::new(c))))
    }
}

/// Everything that was tried, and what to do.
fn none_answered(said: Option<&str>, failures: Vec<EngineError>) -> EngineError {
    let mut tried: Vec<String> = failures.iter().map(|e| e.message.clone()).collect();
    // What an engine that is there says counts for more than the absence of others.
    let hint = failures.iter().find_map(|e| e.hint.clone());
    let kind = failures.iter().map(|e| e.kind).find(|kind| *kind != Failing::Unreachable).unwrap_or(Failing::Unreachable);
    if let (Some(said), [only]) = (said, failures.as_slice()) {
        let hint = hint.unwrap_or_else(|| "start that engine, or name another".into());
        return EngineError::new(only.kind, format!("{} (as {said} says)", only.message)).hint(hint);
    }
    if tried.is_empty() {
        tried.push("no place is known where one would listen".into());
    }
    let start = "start it (`sudo systemctl start docker`; rootless: `systemctl --user start docker`; `systemctl --user start podman.socket`), or set DOCKER_HOST";
    EngineError::new(kind, format!("no container engine can be used here: {}", tried.join("; "))).hint(hint.unwrap_or_else(|| start.into()))
}

#[cfg(test)]
mod tests;
