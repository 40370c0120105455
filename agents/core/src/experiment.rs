//! One experiment, read and checked: place-free, serialisable, the first thing in every record.
//!
//! Made only by the root package's `experiment` module, which knows YAML and places. Secrets stand here as `$(name)`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expression::Expression;
use crate::fault::Reach;
use crate::literal::{Comparison, Duration, Percent};

/// One validated file: what healthy means, what may be harmed and how much, what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Experiment {
    /// Identity in history and reports.
    pub slug: String,
    /// The claim, in one sentence.
    pub title: String,
    /// The file it was read from, for people.
    pub file: PathBuf,
    /// Its folder: relative paths start here.
    pub folder: PathBuf,
    /// Parameters as set for this run; secrets as `(secret)`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Names of those that were set from outside, by `--set`: whoever repeats the run sets them again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub set: BTreeSet<String>,
    /// What the experiment itself starts, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemProcess>,
    /// What healthy means, in the order of the file.
    pub hypotheses: Vec<Hypothesis>,
    /// What may be harmed, in the order of the file.
    pub targets: Vec<TargetSet>,
    /// How much of it.
    pub blast_radius: BlastRadius,
    /// When to stop at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_when: Vec<StopCondition>,
    /// What to do.
    pub method: Vec<Step>,
    /// Of every random choice, where the file or the command line says; else drawn when planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Experiment {
    /// The hypothesis of this name.
    #[must_use]
    pub fn hypothesis(&self, name: &str) -> Option<&Hypothesis> {
        self.hypotheses.iter().find(|h| h.name == name)
    }

    /// The target set of this name.
    #[must_use]
    pub fn target_set(&self, name: &str) -> Option<&TargetSet> {
        self.targets.iter().find(|t| t.name == name)
    }
}

/// A process that the experiment starts before the baseline and stops at the very end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SystemProcess {
    /// Its name in the file.
    pub name: String,
    /// The command, split into words. `chaos` as the first word is this very program.
    pub run: Vec<String>,
    /// Added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the experiment's folder where not said.
    pub folder: PathBuf,
    /// When it counts as up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// Where its output goes; the run's own folder where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// Started again so long after it died; without it, what dies stays dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_after: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub stop_grace: Duration,
}

impl SystemProcess {
    /// Where its output lies, for a run with this folder.
    #[must_use]
    pub fn log_path(&self, run_folder: &Path) -> PathBuf {
        let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
        let own = || run_folder.join(format!("{}.log", self.name.chars().map(fit).collect::<String>()));
        self.folder.join(self.log.clone().unwrap_or_else(own))
    }
}

/// When a process of `system:` counts as up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// The question.
    pub question: Question,
    /// It must be answered well within this.
    pub within: Duration,
}

/// A probe and how often it is asked: the part that hypothesis, health and `ready` share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// Kind of the probe.
    pub probe: String,
    /// The probe's own fields.
    pub with: Value,
    /// The target set that it looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Where it is asked from; `here`.
    pub at: String,
    /// Is this sample good?
    pub good: Expression,
    /// Cadence.
    pub every: Duration,
    /// After it, the sample is bad.
    pub timeout: Duration,
}

/// What healthy means, measured all the time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hypothesis {
    /// Its name.
    pub name: String,
    /// What is asked.
    pub question: Question,
    /// Must be seen before anything is injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// Judged on what was observed while faults acted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub during: Vec<Objective>,
    /// Claims beyond this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prove: Option<Prove>,
    /// How soon it must be well again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What the system itself claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

impl Hypothesis {
    /// Without objectives it is an observation: recorded, drawn, waited for, never judged.
    #[must_use]
    pub fn is_observation(&self) -> bool {
        self.baseline.is_none()
            && self.during.is_empty()
            && self.recovery.is_none()
            && self.prove.is_none()
            && self.health.as_ref().is_none_or(|h| h.false_ready.is_none() && h.false_alarm.is_none())
    }
}

/// The gate before anything is injected.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baseline {
    /// What must not be evidently missed.
    pub objectives: Vec<Objective>,
    /// How long it is watched.
    #[serde(rename = "for")]
    pub lasts: Duration,
}

/// One thing that must hold: a metric, compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// What is measured.
    pub metric: Metric,
    /// What it must be.
    pub must: Comparison,
}

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.metric, self.must)
    }
}

/// What an objective measures. Written as in the file: `success`, `p99`, `p95 of first_token`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Share of good samples.
    Success,
    /// Count of bad samples.
    Bad,
    /// A quantile of latency from the due time.
    Latency(Quantile),
    /// Longest row of bad samples, by due time.
    LongestOutage,
    /// All of them together.
    Downtime,
    /// A quantile, minimum or maximum of a field.
    Field(Quantile, String),
}

/// Which value of a sorted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantile {
    /// The smallest. Only of fields.
    Min,
    /// The largest.
    Max,
    /// In thousandths: 500, 900, 950, 990, 999.
    Permille(u16),
}

impl Quantile {
    /// Its word: `p99`, `p999`, `max`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Permille(500) => "p50",
            Self::Permille(900) => "p90",
            Self::Permille(950) => "p95",
            Self::Permille(990) => "p99",
            Self::Permille(_) => "p999",
        }
    }

    /// The word's meaning.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "min" => Self::Min,
            "max" => Self::Max,
            "p50" => Self::Permille(500),
            "p90" => Self::Permille(900),
            "p95" => Self::Permille(950),
            "p99" => Self::Permille(990),
            "p999" => Self::Permille(999),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Bad => f.write_str("bad"),
            Self::Latency(q) => f.write_str(q.word()),
            Self::LongestOutage => f.write_str("longest_outage"),
            Self::Downtime => f.write_str("downtime"),
            Self::Field(q, field) => write!(f, "{} of {field}", q.word()),
        }
    }
}

impl std::str::FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("unknown metric `{text}`");
        Ok(match text {
            "success" => Self::Success,
            "bad" => Self::Bad,
            "longest_outage" => Self::LongestOutage,
            "downtime" => Self::Downtime,
            _ => match text.split_once(" of ") {
                Some((q, field)) if !field.trim().is_empty() => {
                    Self::Field(Quantile::from_word(q.trim()).ok_or_else(unknown)?, field.trim().to_owned())
                }
                _ => match Quantile::from_word(text) {
                    Some(Quantile::Min) | None => return Err(unknown()),
                    Some(q) => Self::Latency(q),
                },
            },
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

/// Claims beyond this run: judged by interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prove {
    /// What is claimed.
    pub objectives: Vec<Objective>,
    /// With what confidence, two-sided.
    pub confidence: Percent,
}

/// How soon it must be well again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recovery {
    /// Counted from the clock's start, whether or not the fault is still on (the recovery time objective).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// Counted from the last revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_revert: Option<Duration>,
    /// How long it must stay well to count as recovered.
    pub hold: Duration,
    /// The preset that the values come from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
}

/// What the system itself claims, and how long the claim may be wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// What is asked of the system about itself.
    pub question: Question,
    /// Health says well while a user's sample is bad: total over fault windows and recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_ready: Option<Comparison>,
    /// The reverse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_alarm: Option<Comparison>,
}

/// Things of one kind, found by a selector.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetSet {
    /// Its name.
    pub name: String,
    /// `processes`, `files` …
    pub kind: String,
    /// The selector's fields.
    pub selector: Value,
    /// The place; `here`.
    pub at: String,
    /// How many must be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
}

/// The hard limits of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BlastRadius {
    /// From the first intent to the last revert, or the end of the method.
    pub duration: Duration,
    /// Targets at once, over all sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// What may be felt beyond the targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Reach>,
    /// Never harmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<NeverSelector>,
    /// Limits by set.
    pub targets: Vec<SetLimits>,
}

impl BlastRadius {
    /// The limits of a set.
    #[must_use]
    pub fn of(&self, set: &str) -> Option<&SetLimits> {
        self.targets.iter().find(|l| l.set == set)
    }
}

/// A selector whose matches are never harmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NeverSelector {
    /// `processes`, `files` …
    pub kind: String,
    /// The selector's fields.
    pub selector: Value,
}

/// The limits of one target set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SetLimits {
    /// The set.
    pub set: String,
    /// Harmed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Of the set's population, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// Healthy members that must remain unharmed at every moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<u64>,
    /// The limits hold in each group of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Group>,
    /// Different members harmed over the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_total: Option<u64>,
}

/// A kind of group that members belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Failure zone.
    Zone,
    /// Place of the experiment.
    Place,
    /// Kubernetes node.
    Node,
    /// Owner in the platform.
    Owner,
}

impl Group {
    /// Its word, which is also its key in [`crate::target::Target::groups`].
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Place => "place",
            Self::Node => "node",
            Self::Owner => "owner",
        }
    }
}

/// When to stop and revert at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopCondition {
    /// The hypothesis that is watched.
    pub hypothesis: String,
    /// What is observed, compared.
    pub when: Objective,
    /// Over so long a window.
    pub over: Duration,
}

impl std::fmt::Display for StopCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} over {}", self.hypothesis, self.when, self.over)
    }
}

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Where it stands in the file: `method[0].meanwhile[1]`.
    pub path: String,
    /// Begins so long after its `parallel` did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A fault.
    Inject(Box<Inject>),
    /// Nothing, for so long.
    Wait(Duration),
    /// Until a hypothesis is good.
    WaitFor(WaitFor),
    /// A command.
    Run(RunCommand),
    /// Several steps that begin together.
    Parallel(Vec<Step>),
}

/// An inject step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Inject {
    /// Kind of the fault.
    pub fault: String,
    /// The target set.
    pub into: String,
    /// The fault's own fields.
    pub with: Value,
    /// How many of the set; without it the set must have exactly one member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
    /// How long it is held.
    pub hold: Hold,
    /// Again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// In steps up to its strength.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Whether it happens at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<Percent>,
}

/// How long an injection is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// From its effect, then taken back.
    For(Duration),
    /// While these steps run, then taken back.
    Meanwhile(Vec<Step>),
    /// Irreversible: there is nothing to hold.
    Never,
}

/// How many of a set, and which.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// How many.
    pub amount: Amount,
    /// Which; by the seed where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The amount is taken in each group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Group>,
}

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// So many.
    Count(u64),
    /// A share, rounded down.
    Share(Percent),
    /// Every one.
    All,
}

/// Which members are taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By start time.
    Oldest,
    /// By start time, backwards.
    Newest,
    /// By lease.
    Leader,
}

/// Again at each multiple of `every`, `times` in all.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Repeat {
    /// From asking to asking.
    pub every: Duration,
    /// In all.
    pub times: u32,
}

/// In equal steps to the value in `with`; then `for` begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ramp {
    /// The field of `with` that is moved.
    pub field: String,
    /// Where it starts, as the field is written.
    pub from: Value,
    /// How long it takes.
    pub over: Duration,
    /// In how many steps.
    pub steps: u32,
}

/// Waits until a hypothesis is good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitFor {
    /// Which.
    pub hypothesis: String,
    /// At the longest.
    pub within: Duration,
    /// Good for so long; zero: one good sample.
    pub hold: Duration,
}

/// A command that the method runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunCommand {
    /// Split into words; no shell.
    pub command: Vec<String>,
    /// Added to the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Killed after this.
    pub timeout: Duration,
    /// The exit code that is expected.
    pub exit: i32,
}
