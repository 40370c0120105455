//! What recovery did.

use serde::{Deserialize, Serialize};

use crate::journal::{DAMAGE, Damage};

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
    /// Slots that had been taken back before, as the journal has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
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
    /// Nothing is left but the processes of its `system:`, as was asked for.
    SystemStands,
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

    /// Slots that are taken back, now or before.
    #[must_use]
    pub fn reverted(&self) -> Vec<String> {
        self.runs.iter().flat_map(RecoveredRun::reverted).collect()
    }

    /// Slots that are residue; `damage` for what cannot be read of a journal.
    #[must_use]
    pub fn residue(&self) -> Vec<String> {
        let left = |run: &&RecoveredRun| !matches!(run.outcome, RunOutcome::Clean | RunOutcome::SystemStands);
        self.runs.iter().filter(left).flat_map(RecoveredRun::residue).collect()
    }
}

impl RecoveredRun {
    fn reverted(&self) -> Vec<String> {
        let now = self.injections.iter().filter(|i| matches!(i.outcome, InjectionOutcome::Reverted(_))).map(|i| &i.slot);
        now.chain(&self.over).cloned().collect()
    }

    fn residue(&self) -> Vec<String> {
        let slots = self.injections.iter().filter(|i| matches!(i.outcome, InjectionOutcome::Residue(_)));
        let mut residue: Vec<String> = slots.map(|i| i.slot.clone()).collect();
        if !self.damage.is_empty() {
            residue.push(DAMAGE.into());
        }
        if residue.is_empty() {
            residue.push("journal".into());
        }
        residue
    }
}

impl std::fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, run) in self.runs.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{run}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for RecoveredRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let back = self.injections.iter().filter(|i| matches!(i.outcome, InjectionOutcome::Reverted(_))).count();
        let what = if back == 1 { "injection" } else { "injections" };
        write!(f, "run {}: ", self.run)?;
        match &self.outcome {
            RunOutcome::Clean if back == 0 => write!(f, "nothing was left")?,
            RunOutcome::Clean => write!(f, "{back} {what} taken back, nothing is left")?,
            RunOutcome::SystemStands => write!(f, "{back} {what} taken back, and its system stands")?,
            RunOutcome::Residue => write!(f, "{back} {what} taken back, and this is left:")?,
            RunOutcome::Live => write!(f, "its executor lives; nothing was touched")?,
            RunOutcome::Foreign(why) => write!(f, "{why}; nothing was touched")?,
            RunOutcome::Failed(why) => write!(f, "could not be recovered: {why}")?,
        }
        for injection in &self.injections {
            if let InjectionOutcome::Residue(finding) = &injection.outcome {
                write!(f, "\n  {}/{} {} on {}: {finding}", self.run, injection.slot, injection.fault, injection.target)?;
            }
        }
        for damage in &self.damage {
            write!(f, "\n  {}/{DAMAGE} {damage}", self.run)?;
        }
        Ok(())
    }
}
