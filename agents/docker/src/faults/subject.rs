//! The container that an undo names, and what has become of it.

use std::time::Duration;

use chaos_core::World;
use chaos_core::fault::{FaultError, InjectionId};
use chaos_core::target::Target;
use serde::{Deserialize, Serialize};

use crate::container::{Container, RestartPolicy, State};
use crate::engine::{Engine, Fate};
use crate::stamp::{self, quoted};
use crate::world::{Docker, DockerView};

/// How long one request that changes something may take, beside the time it asks for itself.
pub(super) const REQUEST: Duration = Duration::from_secs(15);

/// How long after it was given up such a request may still have its effect, beside the time it asks for itself: as long as a loaded
/// engine may take for it, and a little more.
pub(super) const SETTLE: Duration = Duration::from_secs(20);

/// How long a restart policy's attempt is waited for while taking back.
const POLICY_ACTS_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A container, one life of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    /// Where its engine is reached.
    pub(super) engine: String,
    /// The full id: never used again.
    pub(super) id: String,
    /// Its name, for people.
    pub(super) name: String,
    /// The tag of the injection, and the name of its stamp.
    pub(super) tag: String,
    /// When the life began that was harmed: each start gives another time.
    pub(super) started_at: String,
}

/// What has become of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It goes on, frozen or not.
    Up,
    /// It ended, and nobody has started the container since.
    Down,
    /// The engine is about to start the container again.
    Returning,
    /// The container lives another one.
    UpAgain,
    /// The container was started again, and that has ended too.
    DownAgain,
}

/// What has become of a container.
pub(super) enum Now {
    /// It exists.
    Here(Box<Container>),
    /// It does not, or is about not to: why, in words.
    Gone(String),
}

/// A target, looked up.
pub(super) struct Found {
    pub(super) subject: Subject,
    pub(super) engine: Engine,
    pub(super) container: Container,
}

impl Found {
    /// Looks a target up and has it running: what does not run cannot be harmed.
    pub(super) async fn running(target: &Target, injection: &InjectionId, view: &DockerView) -> Result<Self, FaultError> {
        let found = Self::existing(target, injection, view).await?;
        let Container { name, state, .. } = &found.container;
        match state {
            State::Running => Ok(found),
            State::Paused => Err(FaultError::new(format!("container {name} is already paused"))
                .hint(format!("by somebody else; `docker unpause {name}` lets it go on"))),
            State::Restarting => Err(FaultError::new(format!("container {name} ends again and again: its restart policy is at work"))
                .hint(format!("`docker logs {name}` may say why"))),
            state => Err(FaultError::new(format!("container {name} does not run: it is {state}")).hint(format!("`docker start {name}`"))),
        }
    }

    /// Looks a target up, whatever it does.
    pub(super) async fn existing(target: &Target, injection: &InjectionId, view: &DockerView) -> Result<Self, FaultError> {
        let facet = target.facets.container.as_ref().ok_or_else(|| FaultError::new(format!("{} is no container", target.label)))?;
        let engine = view.engine(&facet.engine).await?;
        let container = match engine.fate(&facet.id, &facet.name).await? {
            Fate::Exists(container) => *container,
            gone => return Err(FaultError::gone(gone.finding(&facet.name).unwrap_or_default())),
        };
        let subject = Subject {
            engine: facet.engine.clone(),
            id: container.id.clone(),
            name: container.name.clone(),
            tag: injection.tag(),
            started_at: container.started_at.clone(),
        };
        Ok(Self { subject, engine, container })
    }
}

impl Subject {
    /// What nobody else may touch meanwhile.
    pub(super) fn claim(&self) -> String {
        format!("container:{}", self.id)
    }

    /// Its engine.
    pub(super) async fn engine(&self, view: &DockerView) -> Result<Engine, FaultError> {
        Ok(view.engine(&self.engine).await?)
    }

    /// Its engine, to be asked to do something.
    pub(super) async fn engine_of(&self, world: &Docker) -> Result<Engine, FaultError> {
        self.engine(world.view()).await
    }

    /// As it is now.
    pub(super) async fn now(&self, engine: &Engine) -> Result<Now, FaultError> {
        Ok(match engine.fate(&self.id, &self.name).await? {
            // Nothing is done to it any more, by anybody.
            Fate::Exists(container) if matches!(container.state, State::Removing | State::Dead) => {
                Now::Gone(format!("container {} is being removed", self.name))
            }
            Fate::Exists(container) => Now::Here(container),
            gone => Now::Gone(gone.finding(&self.name).unwrap_or_default()),
        })
    }

    /// What has become of the life that was harmed.
    pub(super) fn life(&self, now: &Container) -> Life {
        match (now.state, now.started_at == self.started_at) {
            (State::Running | State::Paused, true) => Life::Up,
            (State::Running | State::Paused, false) => Life::UpAgain,
            (State::Restarting, _) => Life::Returning,
            (_, true) => Life::Down,
            (_, false) => Life::DownAgain,
        }
    }

    /// Who has brought it back, or what keeps it down, in words; none while nothing but the fault has acted.
    pub(super) fn story(&self, now: &Container) -> Option<String> {
        let name = &self.name;
        Some(match self.life(now) {
            Life::Up | Life::Down => return None,
            Life::UpAgain if now.restart_count > 0 => format!("container {name} was started again by its restart policy"),
            Life::UpAgain => format!("container {name} was started again by somebody"),
            Life::Returning => format!("container {name} ends as soon as it starts; its restart policy goes on trying"),
            Life::DownAgain => format!("container {name} was started again, and has ended since (exit code {})", now.exit_code),
        })
    }

    /// Starts the container if it is down and nothing else has started it; says what was done or found. Somebody else's change wins: what
    /// was started since, and ended, is left alone, unless its restart policy has tried as often as it may.
    pub(super) async fn bring_back(&self, engine: &Engine) -> Result<Option<String>, FaultError> {
        let container = match self.when_policy_has_acted(engine).await? {
            Now::Here(container) => container,
            Now::Gone(finding) => return Ok(Some(finding)),
        };
        let is_ours = match self.life(&container) {
            Life::Down => true,
            Life::DownAgain => policy_gave_up(&container),
            Life::Up | Life::UpAgain | Life::Returning => false,
        };
        if !is_ours {
            return Ok(self.story(&container));
        }
        let name = &self.name;
        let starting = engine.api().start_container(&self.id, None::<bollard::query_parameters::StartContainerOptions>);
        engine.call(&format!("start container {name}"), REQUEST, starting).await?;
        Ok(Some(format!("container {name} was down, and was started to take this back")))
    }

    /// A restart policy gets its chance: an attempt of it under way is waited for.
    async fn when_policy_has_acted(&self, engine: &Engine) -> Result<Now, FaultError> {
        let give_up = tokio::time::Instant::now() + POLICY_ACTS_WITHIN;
        loop {
            match self.now(engine).await? {
                Now::Here(container) if container.state == State::Restarting && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                now => return Ok(now),
            }
        }
    }

    /// Waits until the life has ended, at most so long. A life that goes on is an error: it may still end, and what is taken back is only
    /// waited for where something went wrong (RULES 1).
    pub(super) async fn until_ended(
        &self,
        engine: &Engine,
        within: Duration,
        cancelled: impl Fn() -> bool + Send,
    ) -> Result<(), FaultError> {
        let give_up = tokio::time::Instant::now() + within;
        loop {
            match self.now(engine).await? {
                Now::Here(container) if self.life(&container) == Life::Up => {}
                _ => return Ok(()),
            }
            if cancelled() {
                return Err(FaultError::cancelled());
            }
            if tokio::time::Instant::now() >= give_up {
                let says = format!("container {} still runs {} s after it was signalled", self.name, within.as_secs());
                return Err(FaultError::new(says).hint("`signal: KILL` cannot be caught"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Removes the stamp: the last act of taking back.
    pub(super) async fn clear(&self, engine: &Engine) -> Result<(), FaultError> {
        Ok(stamp::clear(engine, &self.tag).await?)
    }

    /// A command of `docker` on its engine, for a person.
    pub(super) fn command(&self, words: &str) -> String {
        format!("docker --host {} {words}", quoted(&self.engine))
    }

    /// The command that removes the stamp.
    pub(super) fn clear_command(&self) -> String {
        self.command(&format!("volume rm {}  # the stamp", quoted(&self.tag)))
    }
}

/// Has its restart policy tried as often as it may?
fn policy_gave_up(container: &Container) -> bool {
    matches!(container.restart_policy, RestartPolicy::OnFailure(most) if most > 0 && container.restart_count >= most)
}

/// Why nothing of this host stands beside a container.
pub(super) fn beyond(target: &Target) -> String {
    let why = target.facets.container.as_ref().and_then(|container| container.beyond.clone());
    why.unwrap_or_else(|| "it is no process of this host".into())
}
