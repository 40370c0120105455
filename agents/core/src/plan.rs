//! The plan as the executor gets it: the exact injections, and the permission for each.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock::Boot;
use crate::fault::{Bystanders, Grade, Reach, Reversibility};
use crate::literal::Duration;
use crate::target::{Identity, Target};

/// What `chaos plan` prints and `chaos run` executes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run it was made for.
    pub run: String,
    /// The experiment's slug.
    pub experiment: String,
    /// Of every random choice.
    pub seed: u64,
    /// The injections, in the order in which they are asked.
    pub injections: Vec<PlannedInjection>,
    /// Injections of draws that came out "no" (`probability`), by step: their time passes all the same.
    pub not_drawn: Vec<String>,
    /// What was found for each target set, and is counted from.
    pub populations: Vec<PlannedPopulation>,
    /// The most injections that may be in force at once; the executor counts too.
    pub at_once: u64,
    /// Everything is taken back by so long after the first intent.
    pub lasts_at_most: Duration,
    /// Sentences for the reader: warnings, what survives what.
    pub notes: Vec<String>,
}

impl Plan {
    /// Identifies the plan: grants and journal carry it. SHA-256 of its JSON, in hex.
    #[must_use]
    pub fn hash(&self) -> String {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The injection of this slot.
    #[must_use]
    pub fn injection(&self, slot: &str) -> Option<&PlannedInjection> {
        self.injections.iter().find(|i| i.slot == slot)
    }
}

/// What was found for one target set when planning.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedPopulation {
    /// The set.
    pub set: String,
    /// Members found.
    pub members: Vec<Target>,
}

/// One injection: a fault on one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedInjection {
    /// `step.repetition.slot`; unique in the plan.
    pub slot: String,
    /// Path of its step.
    pub step: String,
    /// Kind of the fault.
    pub fault: String,
    /// The fault's own fields.
    pub with: Value,
    /// The target set.
    pub set: String,
    /// The member chosen when planning. Chosen again, by the same rule, right before the step.
    pub target: Target,
    /// When it will be asked, counted from the start of the method, if all goes at its longest.
    pub at: Duration,
    /// How long it is held from its effect; none: until asked (`meanwhile`) or irreversible.
    pub hold: Option<Duration>,
    /// What is promised of it.
    pub grade: Grade,
    /// Can it be taken back?
    pub reversibility: Reversibility,
    /// What feels it.
    pub reach: Reach,
    /// How long taking it back may take.
    pub revert_budget: Duration,
    /// Nothing happens until it is activated.
    pub latent: bool,
    /// Where else its undo can be found, for people.
    pub second_net: String,
    /// The fault's own sentences: what is lost, what is kept.
    pub notes: Vec<String>,
    /// The undo as shell commands, for people.
    pub undo: Vec<String>,
    /// Who else feels it.
    pub bystanders: Bystanders,
}

/// Permission for one injection, valid for five seconds. The executor checks it against the plan it was given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    /// Which injection.
    pub slot: String,
    /// [`Plan::hash`].
    pub plan: String,
    /// The target as found again just now.
    pub target: Target,
    /// When this was granted.
    pub issued: Boot,
}

/// For how long a [`Grant`] is good.
pub const GRANT_VALIDITY: std::time::Duration = std::time::Duration::from_secs(5);

/// The executor's own never-list, which no plan overrides.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Never {
    /// Never harmed, by identity.
    pub identities: Vec<Identity>,
    /// Never filled, corrupted or limited: the journal's own folder.
    pub paths: Vec<PathBuf>,
}

/// The id of a run: time-ordered, unique, and fit for a file name and a tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(pub String);
