//! The verdict: what is written into the record, and what every report shows.
//!
//! Times are seconds since the run began; lengths are seconds.

use chaos_core::event::{AbortedBy, Phase, StepState};
use chaos_core::experiment::{Action, Hold, Step};
use chaos_core::fault::{Grade, Reversibility};
use serde::{Deserialize, Serialize};

use super::exit::{Facts, Headline};
use super::hypothesis;
use super::injection::Injection;
use super::record::{Record, is_system};
use super::recovery::Merit;
use super::wording::{Secs, plural};

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
    /// So many things met it, where that is counted.
    pub met: Option<u64>,
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

/// Judges a run. Pure: the same record gives the same verdict, anywhere and at any time.
#[must_use]
pub fn judge(record: &Record) -> Verdict {
    let injections = Injection::all(record);
    let count = record.started.experiment.hypotheses.len();
    let hypotheses: Vec<_> = (0..count).map(|i| hypothesis::judge(record, &injections, i)).collect();
    let cleanup = cleanup(record, &injections);
    let facts = facts(record, &injections, &hypotheses, &cleanup);
    let experiment = &record.started.experiment;
    Verdict {
        verdict: VERDICT_VERSION,
        run: record.started.run.clone(),
        experiment: experiment.slug.clone(),
        title: experiment.title.clone(),
        headline: facts.headline(),
        exit: facts.exit(),
        sentence: sentence(record, facts.headline(), &injections, &hypotheses, &cleanup),
        facts,
        injections: injections.iter().map(|i| told(record, i)).collect(),
        hypotheses,
        cleanup,
        lasted: Secs::floor(record.since(record.end)),
    }
}

fn facts(record: &Record, injections: &[Injection], hypotheses: &[HypothesisVerdict], cleanup: &Cleanup) -> Facts {
    let by = |which: &[AbortedBy]| record.aborted.iter().any(|(_, by, _)| which.contains(by));
    let touched = record.first_intent().is_some();
    let failed_before_method =
        record.aborted.iter().any(|(at, by, _)| *by == AbortedBy::Failure && record.phase_at(*at) < Some(Phase::Method));
    let baseline_missed = !touched && (record.gate.as_ref().is_some_and(|(_, met, _)| !met) || failed_before_method);
    let aborted = record.lost
        || by(&[AbortedBy::Person, AbortedBy::Signal, AbortedBy::Lever, AbortedBy::Guard, AbortedBy::Executor, AbortedBy::Slept]);
    let is = |state| hypotheses.iter().any(|h| h.state == state);
    let cut_short = aborted || record.stop.is_some() || by(&[AbortedBy::StopCondition]);
    let refused = !touched && !record.refused.is_empty();
    Facts {
        residue: !cleanup.clean,
        defect: by(&[AbortedBy::Defect]),
        refused,
        baseline_missed,
        aborted,
        not_injected: (!failed_before_method && by(&[AbortedBy::Failure]))
            || injections.iter().any(|i| not_injected(i, cut_short))
            || command_failed(record)
            || (!touched && !cut_short && !baseline_missed && !refused),
        refuted: is(State::Refuted),
        stopped: record.stop.is_some() || by(&[AbortedBy::StopCondition]),
        inconclusive: is(State::Inconclusive) || left_out(record) || hypotheses.iter().all(|h| h.state == State::Observed),
    }
}

/// A fault that failed, or was seen in place never although there was time to look.
fn not_injected(injection: &Injection, cut_short: bool) -> bool {
    injection.failure.is_some() || (injection.intended.is_some() && injection.effective.is_none() && !cut_short)
}

/// A step of the method that was not done.
fn left_out(record: &Record) -> bool {
    record.steps.iter().any(|(_, _, state)| matches!(state, StepState::LeftOut(_) | StepState::Failed(_)))
}

/// A command of the method that ended otherwise than it should.
fn command_failed(record: &Record) -> bool {
    record.steps.iter().any(|(_, path, state)| {
        matches!(state, StepState::Failed(_))
            && step(&record.started.experiment.method, path).is_some_and(|s| matches!(s.action, Action::Run(_)))
    })
}

/// The step at a path.
fn step<'a>(steps: &'a [Step], path: &str) -> Option<&'a Step> {
    steps.iter().find_map(|s| {
        if s.path == path {
            return Some(s);
        }
        match &s.action {
            Action::Parallel(inner) => step(inner, path),
            Action::Inject(inject) => match &inject.hold {
                Hold::Meanwhile(inner) => step(inner, path),
                Hold::For(_) | Hold::Never => None,
            },
            _ => None,
        }
    })
}

fn cleanup(record: &Record, injections: &[Injection]) -> Cleanup {
    let mut residue = record.residue.clone();
    for injection in injections {
        let known = residue.iter().any(|(slot, _)| *slot == injection.slot);
        if let Some(left) = injection.residue.as_ref().filter(|_| !known) {
            residue.push((injection.slot.clone(), left.clone()));
        }
    }
    let taken = |i: &&Injection| i.intended.is_some() && !i.is_irreversible();
    let open: Vec<&Injection> = injections
        .iter()
        .filter(taken)
        .filter(|i| i.reverted.is_none())
        .filter(|i| residue.iter().all(|(slot, _)| *slot != i.slot))
        .collect();
    if record.finished.is_some() || record.lost {
        for injection in &open {
            let what = "no revert is on record; `chaos recover` finishes it";
            residue.push((injection.slot.clone(), what.into()));
        }
    }
    let reversible = injections.iter().filter(taken).count();
    let irreversible = injections.iter().filter(|i| i.intended.is_some() && i.is_irreversible()).count();
    let clean = residue.is_empty();
    Cleanup { clean, sentence: proof(clean, reversible, irreversible, residue.len()), residue }
}

fn proof(clean: bool, reversible: usize, irreversible: usize, left: usize) -> String {
    let also = match irreversible {
        0 => String::new(),
        n => format!(" {} cannot be taken back and {} observed instead.", plural(n, "effect"), if n == 1 { "was" } else { "were" }),
    };
    match (clean, reversible) {
        (false, _) => format!("{} {} left behind.", plural(left, "effect"), if left == 1 { "was" } else { "were" }),
        (true, 0) if irreversible == 0 => "Nothing was injected, so nothing is left.".into(),
        (true, 0) => format!("Nothing of ours is left.{also}"),
        (true, 1) => format!("The fault was taken back; inspection found nothing left.{also}"),
        (true, n) => {
            format!("All {n} faults were taken back; inspection found nothing left.{also}")
        }
    }
}

fn sentence(record: &Record, headline: Headline, injections: &[Injection], hypotheses: &[HypothesisVerdict], cleanup: &Cleanup) -> String {
    let judged = hypotheses.iter().filter(|h| h.state != State::Observed);
    let all = judged.clone().count();
    let named = |state: State| {
        let names = judged.clone().filter(|h| h.state == state);
        names.map(|h| format!("\"{}\"", h.name)).collect::<Vec<_>>().join(", ")
    };
    let because = record.aborted.last().map(|(_, _, because)| because.clone());
    match headline {
        Headline::Residue => cleanup.sentence.clone(),
        Headline::Defect => format!("chaos itself failed: {}.", because.unwrap_or_else(|| "it does not say why".into())),
        Headline::Refused => record.refused.first().map_or_else(|| "Refused.".into(), |(_, m, _)| format!("Refused: {m}.")),
        Headline::BaselineNotMet => "The system was not well to begin with, so nothing was injected.".into(),
        Headline::Aborted if record.lost => "The coordinator was lost before the run had ended.".into(),
        Headline::Aborted => format!("The run was ended early: {}.", because.unwrap_or_else(|| "it does not say why".into())),
        Headline::NotInjected => injections.iter().find(|i| not_injected(i, false)).map_or_else(
            || because.unwrap_or_else(|| "Nothing was injected.".into()),
            |i| match &i.failure {
                Some(why) => format!("{} could not be injected: {why}.", i.label()),
                None => format!("{} was never in force.", i.label()),
            },
        ),
        Headline::Refuted => format!("The claim does not hold: {}.", named(State::Refuted)),
        Headline::Stopped => record.stop.as_ref().map_or_else(
            || "A stop condition was met.".into(),
            |(_, condition, observed)| format!("Stopped by \"{condition}\": {observed}."),
        ),
        Headline::Inconclusive => match named(State::Inconclusive) {
            names if names.is_empty() => "The evidence does not suffice.".into(),
            names => format!("The evidence does not suffice: {names}."),
        },
        Headline::Upheld if all == 1 => "The claim holds.".into(),
        Headline::Upheld => format!("The claim holds: all {all} hypotheses were upheld."),
    }
}

fn told(record: &Record, i: &Injection) -> InjectionVerdict {
    let secs = |at| Secs::floor(record.since(at));
    InjectionVerdict {
        slot: i.slot.clone(),
        fault: i.fault.clone(),
        set: i.set.clone(),
        target: i.target.clone(),
        identity: i.identity.clone(),
        grade: i.grade,
        reversibility: i.reversibility,
        asked: i.asked.map(secs),
        effective: i.effective.map(secs),
        in_force: i.in_force.iter().map(|s| Range { from: secs(s.from), to: secs(s.to) }).collect(),
        activated: i.activated.as_ref().map(|(at, by)| (secs(*at), by.clone())),
        revert_asked: i.revert_asked.as_ref().map(|(at, why)| (secs(*at), why.clone())),
        reverted: i.reverted.map(secs),
        failure: i.failure.clone(),
        idle: i.idle,
        met: i.met,
        findings: i.findings.clone(),
        undo: i.undo.clone(),
        residue: i.residue.clone(),
    }
}

/// The slot of a residue in words: the fault and its target, or the process of `system:`.
#[must_use]
pub fn slot_words(verdict: &Verdict, slot: &str) -> String {
    if is_system(slot) {
        return format!("the process \"{}\"", slot.trim_start_matches("system."));
    }
    let injection = verdict.injections.iter().find(|i| i.slot == slot);
    injection.map_or_else(|| slot.to_owned(), |i| format!("{} on {}", i.fault, i.target))
}
