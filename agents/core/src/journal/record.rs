//! What a journal says, and which record may follow which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{Boot, Wall};
use crate::event::HostId;
use crate::fault::{Class, Persistence, Reversibility, UndoJson};
use crate::literal::Duration;

/// Version of the journal. A reader refuses a higher one and reads all lower ones.
pub const JOURNAL_VERSION: u32 = 1;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// First of all: whose journal this is.
    Identity(Box<Writer>),
    /// The plan that was approved; only its injections are done.
    Approved {
        /// [`crate::plan::Plan::hash`].
        plan: String,
    },
    /// An undo. Synced before anything else happens.
    Intended(Box<Intent>),
    /// Our own objects of this injection stand. Synced before the effect.
    Staged {
        /// Which.
        slot: String,
    },
    /// The effect was had. For people: nothing depends on it.
    Injected {
        /// Which.
        slot: String,
    },
    /// It is taken back and inspection finds nothing. Synced before that is reported.
    Reverted {
        /// Which.
        slot: String,
        /// What was done.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// Given up for now. For people: recovery tries again.
    Residue {
        /// Which.
        slot: String,
        /// What was found.
        finding: String,
    },
    /// A person decided that this need not be taken back any more. Synced.
    Forgotten {
        /// Which; [`DAMAGE`] for the damage itself.
        slot: String,
        /// Why.
        because: String,
    },
    /// The line before this one broke off when its writer died: nothing was in force by it.
    TornTail,
    /// Another process goes on with this journal.
    Reopened(Box<Writer>),
    /// Nothing is in force any more.
    Finished,
}

/// The slot by which the damage of a journal is forgotten.
pub const DAMAGE: &str = "damage";

/// Who writes a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// [`JOURNAL_VERSION`].
    pub journal: u32,
    /// The run.
    pub run: String,
    /// Where.
    pub host: HostId,
    /// As which user.
    pub uid: u32,
    /// Its pid.
    pub pid: i32,
    /// Version of `chaos`.
    pub chaos: String,
    /// Silence of the coordinator that ends the run.
    pub lease: Duration,
    /// Wall clock, for people.
    pub wall: Wall,
}

/// Everything that taking one injection back needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Its slot in the plan, or `system.NAME`, or `scaffold.N`.
    pub slot: String,
    /// Kind of the fault.
    pub fault: String,
    /// Label of the target, for people.
    pub target: String,
    /// How to take it back.
    pub undo: UndoJson,
    /// What nobody else may touch meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// The claims of the scaffolds that it stands on: they are taken back after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands_on: Vec<String>,
    /// Order of reverting.
    pub class: Class,
    /// What the effect survives.
    pub persistence: Persistence,
    /// What inspection can be expected to find afterwards.
    pub reversibility: Reversibility,
    /// When the effect must be gone.
    pub deadline: Boot,
    /// When this was written.
    pub at: Boot,
}

/// Where one injection is, as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The undo is on disk; perhaps nothing else.
    Intended,
    /// Our own objects stand; perhaps the effect does too.
    Staged,
    /// The effect was had.
    Injected,
    /// Given up for now.
    Residue,
    /// Taken back.
    Reverted,
    /// A person let it be.
    Forgotten,
}

impl Status {
    /// Is nothing left to do about it?
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Reverted | Self::Forgotten)
    }
}

/// A record that cannot follow what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illegal;

/// Where a record takes an injection. The only place that knows the order of records.
///
/// # Errors
/// If the record cannot follow.
pub fn next_status(now: Option<Status>, record: &Record) -> Result<Status, Illegal> {
    use Status as S;
    match (now, record) {
        (None, Record::Intended(_)) => Ok(S::Intended),
        (Some(S::Intended), Record::Staged { .. }) => Ok(S::Staged),
        (Some(S::Intended | S::Staged), Record::Injected { .. }) => Ok(S::Injected),
        (Some(now), Record::Reverted { .. }) if now != S::Forgotten => Ok(S::Reverted),
        (Some(now), Record::Residue { .. }) if !now.is_over() => Ok(S::Residue),
        (Some(now), Record::Forgotten { .. }) if !now.is_over() => Ok(S::Forgotten),
        _ => Err(Illegal),
    }
}

impl Record {
    /// The injection that it is about.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        match self {
            Self::Intended(intent) => Some(&intent.slot),
            Self::Staged { slot }
            | Self::Injected { slot }
            | Self::Reverted { slot, .. }
            | Self::Residue { slot, .. }
            | Self::Forgotten { slot, .. } => Some(slot),
            _ => None,
        }
    }
}
