//! What recovery did.

use serde::{Deserialize, Serialize};

use crate::journal::Damage;

/// What became of every run that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryReport {
    /// One a run.
    pub runs: Vec<RecoveredRun>,
}

/// What became of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredRun {
    /// Its id.
    pub run: String,
    /// What became of it.
    pub outcome: RunOutcome,
    /// What became of each injection that was not over.
    pub injections: Vec<RecoveredInjection>,
    /// What cannot be read of its journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<Damage>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Nothing is left of it.
    Clean,
    /// Something is left, named below.
    Residue,
    /// Its executor lives; nothing was touched.
    Live,
    /// Somebody else's; nothing was touched: why.
    Foreign(String),
    /// It cannot be recovered: why.
    Failed(String),
}

/// What became of one injection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredInjection {
    /// Its slot.
    pub slot: String,
    /// Its fault.
    pub fault: String,
    /// Label of its target.
    pub target: String,
    /// What became of it.
    pub outcome: InjectionOutcome,
}

/// What became of an injection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectionOutcome {
    /// Taken back, and inspection finds nothing: what was done.
    Reverted(Vec<String>),
    /// Still there: what was found.
    Residue(String),
}

impl RecoveryReport {
    /// Is something left that nobody decided about?
    #[must_use]
    pub fn has_residue(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.outcome, RunOutcome::Residue | RunOutcome::Failed(_)))
    }
}
