//! Asks until the answer is good: for what must be up before a run begins.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::experiment::Question;
use chaos_core::probe::{ProbeError, ProbeTable};
use chaos_core::secret::Secrets;
use chaos_core::target::Target;

use super::ask::{Ended, ask};
use super::open::Opener;

/// Why something was not found ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The question cannot be asked.
    #[error(transparent)]
    Open(#[from] ProbeError),
    /// No good answer in time.
    #[error("no good answer within {within:?}; the last one: {last}")]
    NotGood {
        /// How long it was asked.
        within: Duration,
        /// What the last question gave.
        last: String,
    },
}

/// Asks until one answer is good, at the question's cadence, one question at a time. Runs in the caller's runtime.
///
/// # Errors
/// If the question cannot be opened, or no answer was good in time.
pub async fn wait_until_good(
    table: Arc<ProbeTable>,
    question: &Question,
    within: Duration,
    secrets: Secrets,
    folder: PathBuf,
    targets: Vec<Target>,
) -> Result<(), NotReady> {
    let opener = Opener { table, secrets, folder };
    let client = opener.open(question, [], targets).await?;
    let deadline = Mono::now().plus(within);
    let mut last = "it was never asked".to_owned();
    while deadline.from_now() > Duration::ZERO {
        let asked = Mono::now();
        let patience = question.timeout.get().min(deadline.from_now());
        match ask(&*client, &question.good, asked, patience).await.ended {
            Ended::Answered(_, Ok(())) => return Ok(()),
            Ended::Answered(_, Err(reason)) | Ended::NoAnswer(reason) => last = opener.redact(reason),
            Ended::TimedOut => last = "no answer within its timeout".into(),
        }
        let next = asked.plus(question.every.get());
        tokio::time::sleep(next.from_now().min(deadline.from_now())).await;
    }
    Err(NotReady::NotGood { within, last })
}
