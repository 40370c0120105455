//! A whole run, judged: its hypotheses, its faults, what is left of them, and what all that comes to.

use chaos_core::event::{AbortedBy, Phase, StepState};
use chaos_core::experiment::{Action, Hold, RunCommand, Step};
use chaos_core::fault::Reversibility;

use super::exit::{Facts, Headline};
use super::hypothesis;
use super::injection::Injection;
use super::record::Record;
use super::verdict::{Cleanup, HypothesisVerdict, InjectionVerdict, Range, State, VERDICT_VERSION, Verdict};
use super::wording::{Secs, plural};

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
            || failed_command(record).is_some()
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

/// The command of the method that ended otherwise than it should.
#[must_use]
pub fn failed_command(record: &Record) -> Option<&RunCommand> {
    let failed = record.steps.iter().filter(|(_, _, state)| matches!(state, StepState::Failed(_)));
    let steps = failed.filter_map(|(_, path, _)| step(&record.started.experiment.method, path));
    steps.into_iter().find_map(|s| if let Action::Run(run) = &s.action { Some(run) } else { None })
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
    let lossy = injections.iter().filter(|i| i.effective.is_some() && i.reversibility == Reversibility::WithLoss).count();
    let clean = residue.is_empty();
    let mut sentence = proof(clean, reversible, irreversible, residue.len());
    if clean && lossy > 0 {
        sentence += " What the plan lists as lost stays lost.";
    }
    Cleanup { clean, sentence, residue }
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
        Headline::BaselineNotMet if record.not_started().is_some() => format!("{}.", record.not_started().unwrap_or_default()),
        Headline::BaselineNotMet => "The system was not well to begin with, so nothing was injected.".into(),
        Headline::Aborted if record.lost => "The coordinator was lost before the run had ended.".into(),
        Headline::Aborted => match record.aborted.last() {
            Some((_, by, because)) => format!("The run was ended early by {}: {because}.", by_whom(*by)),
            None => "The run was ended early; it does not say why.".into(),
        },
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
        Headline::Upheld if all == 2 => "The claim holds: both hypotheses were upheld.".into(),
        Headline::Upheld => format!("The claim holds: all {all} hypotheses were upheld."),
    }
}

/// Who ended a run early.
#[must_use]
pub const fn by_whom(by: AbortedBy) -> &'static str {
    match by {
        AbortedBy::Person => "a person",
        AbortedBy::Signal => "a signal",
        AbortedBy::Lever => "the lever",
        AbortedBy::StopCondition => "a stop condition",
        AbortedBy::Guard => "the blast radius",
        AbortedBy::Failure => "a failure",
        AbortedBy::Executor => "the loss of the executor",
        AbortedBy::Slept => "a pause of the machine or of the coordinator",
        AbortedBy::Defect => "a defect of chaos",
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
        met_to_the_end: i.met_to_the_end,
        findings: i.findings.clone(),
        undo: i.undo.clone(),
        residue: i.residue.clone(),
    }
}
