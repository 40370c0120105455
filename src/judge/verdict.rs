//! The verdict: what is written into the record, and what every report shows.
//!
//! Times are seconds since the run began; lengths are seconds.

use chaos_core::fault::{Grade, Reversibility};
use serde::{Deserialize, Serialize};

use super::exit::{Facts, Headline};
use super::record::{is_own, is_system};
use super::recovery::Merit;
use super::wording::Secs;

/// Version of [`Verdict`] as JSON.
pub const VERDICT_VERSION: u32 = 1;

/// What came of an objective, or of a hypothesis. Ordered: the worst decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has no objectives: recorded, never judged.
    Observed,
    /// It held.
    Upheld,
    /// Too little evidence.
    Inconclusive,
    /// It did not hold.
    Refuted,
}

impl State {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Upheld => "upheld",
            Self::Inconclusive => "inconclusive",
            Self::Refuted => "refuted",
        }
    }
}

/// Which part of a hypothesis asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Before anything is injected.
    Baseline,
    /// While faults act.
    During,
    /// Beyond this run.
    Prove,
    /// Well again in time.
    Recovery,
    /// What the system claims of itself.
    Health,
}

impl Part {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::During => "during",
            Self::Prove => "prove",
            Self::Recovery => "recovery",
            Self::Health => "health",
        }
    }
}

/// From and to, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Range {
    /// At the least, or the beginning.
    pub from: Secs,
    /// At the most, or the end.
    pub to: Secs,
}

impl Range {
    /// From bounds in seconds.
    #[must_use]
    pub fn of((from, to): (f64, f64)) -> Self {
        Self { from: Secs(from), to: Secs(to) }
    }

    /// Both lengths in words: `1.02s to 1.36s`.
    #[must_use]
    pub fn words(self) -> String {
        super::measure::between((self.from.0, self.to.0))
    }
}

/// The verdict of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`VERDICT_VERSION`].
    pub verdict: u32,
    /// The run's id.
    pub run: String,
    /// The experiment's slug.
    pub experiment: String,
    /// The claim.
    pub title: String,
    /// In one word.
    pub headline: Headline,
    /// The exit code: a function of `facts`.
    pub exit: u8,
    /// In one sentence.
    pub sentence: String,
    /// Everything that the exit code depends on.
    pub facts: Facts,
    /// By hypothesis, in the order of the file.
    pub hypotheses: Vec<HypothesisVerdict>,
    /// By fault, in the order of the plan.
    pub injections: Vec<InjectionVerdict>,
    /// What came of taking everything back.
    pub cleanup: Cleanup,
    /// How long the run took.
    pub lasted: Secs,
}

/// The verdict on one hypothesis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HypothesisVerdict {
    /// Its name.
    pub name: String,
    /// Kind of its probe.
    #[serde(default)]
    pub probe: String,
    /// The worst of its lines, or inconclusive where nothing can be concluded.
    pub state: State,
    /// Why it is inconclusive.
    pub why: Option<String>,
    /// Objective by objective.
    pub lines: Vec<Line>,
    /// Before anything was injected.
    pub baseline: Option<Summary>,
    /// All fault windows together.
    pub during: Option<Summary>,
    /// Samples that say something.
    pub samples: usize,
    /// Samples that say nothing: the prober could not keep up.
    pub void: usize,
    /// Why samples were bad, most frequent first.
    pub reasons: Vec<(String, usize)>,
    /// Each fault window by itself.
    pub windows: Vec<WindowVerdict>,
    /// Each recovery clock.
    pub clocks: Vec<ClockVerdict>,
    /// Outages since the first intent.
    pub outages: Outages,
    /// Where there is a health probe: how long its claim was wrong.
    pub truth: Option<Truthfulness>,
    /// How many such failures a month may have.
    pub allowance: Option<Allowance>,
}

/// One objective: what was asked, what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Which part asked.
    pub part: Part,
    /// As in the file: `success >= 99%`.
    pub asked: String,
    /// What was observed.
    pub observed: String,
    /// Beside it; decides nothing, save for `prove`.
    pub context: Option<String>,
    /// What came of it.
    pub state: State,
    /// Why, where that is not plain.
    pub why: Option<String>,
}

/// Some samples in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many.
    pub samples: usize,
    /// How many of them bad.
    pub bad: usize,
    /// Share of good ones, from 0 to 1.
    pub success: f64,
    /// Median latency; none: beyond the timeout.
    pub p50: Option<Secs>,
    /// The same at 99 %.
    pub p99: Option<Secs>,
    /// The largest.
    pub max: Option<Secs>,
}

/// One fault window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowVerdict {
    /// From the first effect to the last asking of a revert.
    pub span: Range,
    /// The faults that acted in it.
    pub faults: Vec<String>,
    /// Their slots.
    pub slots: Vec<String>,
    /// Its samples.
    pub summary: Option<Summary>,
}

/// One recovery clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockVerdict {
    /// The faults whose effect started it.
    pub faults: Vec<String>,
    /// When.
    pub started: Secs,
    /// By whose merit it is well again.
    pub merit: Merit,
    /// When the first bad sample was due.
    pub first_bad: Option<Secs>,
    /// When the first good sample of the lasting row was due.
    pub recovered_at: Option<Secs>,
    /// How long it took from the effect, with true bounds.
    pub recovery: Option<Range>,
    /// How long it took from the last revert.
    pub after_revert: Option<Range>,
    /// Not recovered when observation ended: it takes longer than this.
    pub more_than: Option<Secs>,
    /// Bad samples after it had recovered.
    pub relapses: usize,
}

/// What users and service went through since the first intent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Outages {
    /// Rows of failed requests, by due time.
    pub rows: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Their share between the first and the last of them.
    pub share: f64,
    /// The longest row.
    pub longest: Range,
    /// All rows together.
    pub total: Range,
    /// Outages of the service that samples tell apart.
    pub episodes: usize,
    /// The longest of them, by time.
    pub service: Vec<ServiceOutage>,
}

/// One time during which the service did not work, with true bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServiceOutage {
    /// It began in here.
    pub began: Range,
    /// It ended after this …
    pub ended_after: Secs,
    /// … and before this; none: not seen well again.
    pub ended_before: Option<Secs>,
    /// It lasted so long at the least …
    pub at_least: Secs,
    /// … and at the most.
    pub at_most: Option<Secs>,
    /// Samples that showed it.
    pub failed: usize,
}

/// How long the system's claim about itself was wrong, over fault windows and recovery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Truthfulness {
    /// It said well while users got errors.
    pub false_ready: Secs,
    /// It said not well while users were served.
    pub false_alarm: Secs,
    /// Time in which both were known.
    pub known: Secs,
}

/// Failures of this kind that a month of 30 days may have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    /// For this recovery time, the upper bound of the slowest.
    pub recovery: Secs,
    /// For 99.9 % availability.
    pub at_99_9: f64,
    /// For 99.99 %.
    pub at_99_99: f64,
}

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InjectionVerdict {
    /// Its slot.
    pub slot: String,
    /// Kind of the fault.
    pub fault: String,
    /// The target set.
    pub set: String,
    /// The target, for people.
    pub target: String,
    /// The target, once and for all.
    pub identity: String,
    /// What is promised of it.
    pub grade: Option<Grade>,
    /// Can it be taken back?
    pub reversibility: Reversibility,
    /// When it was granted.
    pub asked: Option<Secs>,
    /// When inspection first saw it in place.
    pub effective: Option<Secs>,
    /// When it was in place.
    pub in_force: Vec<Range>,
    /// A latent fault was activated: when and by what.
    pub activated: Option<(Secs, String)>,
    /// When taking it back was asked for, and why.
    pub revert_asked: Option<(Secs, String)>,
    /// When it was taken back and inspection found nothing.
    pub reverted: Option<Secs>,
    /// Why it was not injected.
    pub failure: Option<String>,
    /// In place all the time, yet nothing met it.
    pub idle: bool,
    /// So many things met it, where that is counted: all of them if `met_to_the_end`, else as many as the last look before the revert
    /// counted.
    pub met: Option<u64>,
    /// What met it was counted in the act of ending it.
    #[serde(default)]
    pub met_to_the_end: bool,
    /// What inject, inspect and revert had to say.
    pub findings: Vec<String>,
    /// The undo, as shell commands for a person.
    pub undo: Vec<String>,
    /// What is left of it.
    pub residue: Option<String>,
}

/// What came of taking everything back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Nothing is left.
    pub clean: bool,
    /// In one sentence: the undo proof.
    pub sentence: String,
    /// What is left: slot and finding.
    pub residue: Vec<(String, String)>,
}

/// The slot of a residue in words: the fault and its target, or the process of `system:`.
#[must_use]
pub fn slot_words(verdict: &Verdict, slot: &str) -> String {
    if is_system(slot) {
        return format!("the process \"{}\"", slot.trim_start_matches("system."));
    }
    if is_own(slot) {
        return format!("what faults stood on ({slot})");
    }
    let injection = verdict.injections.iter().find(|i| i.slot == slot);
    injection.map_or_else(|| slot.to_owned(), |i| format!("{} on {}", i.fault, i.target))
}
