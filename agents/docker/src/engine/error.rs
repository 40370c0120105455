//! Why an engine could not be asked, or would not do it.

use chaos_core::fault::FaultError;
use chaos_core::probe::{NoAnswer, ProbeError};
use chaos_core::target::ResolveError;

/// A call that failed: which engine, which call, on what, what happened, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// `the engine at unix:///run/docker.sock: pause container ranker-1: it is not running`.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// What kind of failure it is.
    pub kind: Failing,
}

/// What kind of failure it is, as far as a caller acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Nothing answers there, or it may not be asked.
    Unreachable,
    /// It speaks an API that is too old, or too new.
    Version,
    /// The thing that was asked about does not exist (404).
    Missing,
    /// The thing is in another state than the call needs (409).
    Conflict,
    /// The engine refused, with this status.
    Refused(u16),
    /// No answer in time: **what was asked for may still happen** (RULES 1).
    Unanswered,
    /// The answer makes no sense to us.
    Unreadable,
    /// A container is between two states, in a word that is not Docker's: it passes, so ask again.
    Between,
}

impl EngineError {
    pub(crate) fn new(kind: Failing, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, kind }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Does the thing that was asked about not exist?
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.kind == Failing::Missing
    }

    /// Does an inspect say so, in this or that way? Podman finds a container and then not its details, where it is just being removed.
    pub(super) fn is_of_none(&self) -> bool {
        let vanished = self.kind == Failing::Refused(500) && self.message.ends_with("does not exist in database: no such container");
        self.is_missing() || vanished
    }

    /// A failed call of an engine's API. `doing` names engine, call and thing.
    pub(crate) fn of_call(doing: &str, error: &bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                let kind = match status_code {
                    404 => Failing::Missing,
                    409 => Failing::Conflict,
                    status => Failing::Refused(*status),
                };
                Self::new(kind, format!("{doing}: {}", message.trim()))
            }
            Error::RequestTimeoutError => Self::unanswered(doing),
            // Podman's word for what has ended and is not cleared up yet; one such container makes a whole list unreadable.
            Error::JsonDataError { message, .. } if message.contains("unknown variant `stopped`") => {
                Self::new(Failing::Between, format!("{doing}: a container has ended, and the engine has not cleared up after it"))
                    .hint("`podman container cleanup --all` does that by hand")
            }
            Error::JsonDataError { message, .. } => {
                Self::new(Failing::Unreadable, format!("{doing}: the answer cannot be read: {message}"))
            }
            Error::APIVersionParseError {} => Self::new(Failing::Unreadable, format!("{doing}: the answer names no version")),
            other => Self::new(Failing::Unreachable, format!("{doing}: {}", innermost(other))).hint("is the engine still running?"),
        }
    }

    /// A call that got no answer in time.
    pub(crate) fn unanswered(doing: &str) -> Self {
        Self::new(Failing::Unanswered, format!("{doing}: no answer in time; it may still happen"))
            .hint("is the engine under load, or hung?")
    }
}

/// The cause at the bottom: the layers above it only say that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl From<EngineError> for FaultError {
    fn from(error: EngineError) -> Self {
        let gone = error.is_missing();
        Self { hint: error.hint, gone, ..Self::new(error.message) }
    }
}

impl From<EngineError> for ResolveError {
    fn from(error: EngineError) -> Self {
        Self { hint: error.hint, ..Self::new(error.message) }
    }
}

impl From<EngineError> for ProbeError {
    fn from(error: EngineError) -> Self {
        Self { message: error.message, hint: error.hint }
    }
}

impl From<EngineError> for NoAnswer {
    fn from(error: EngineError) -> Self {
        Self(error.message)
    }
}
