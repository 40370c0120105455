//! What to do next: for a tired person, the most useful first.

use crate::judge::Record;
use crate::judge::exit::Headline;
use crate::judge::recovery::Merit;
use crate::judge::verdict::{HypothesisVerdict, State, Verdict, slot_words};
use crate::judge::wording::{count, length, number};

/// Sentences, at most a handful.
pub(super) fn next(record: &Record, verdict: &Verdict) -> Vec<String> {
    let file = record.started.experiment.file.display().to_string();
    let mut all = Vec::new();
    match verdict.headline {
        Headline::Residue => residue(verdict, &mut all),
        Headline::Defect => all.push(format!(
            "This is our fault. `chaos status` shows that nothing is in force; please report it with the record of run {}.",
            verdict.run
        )),
        Headline::Refused => all.extend(record.refused.iter().filter_map(|(_, _, hint)| hint.clone())),
        Headline::BaselineNotMet => {
            all.push(format!("Make the system well first, or say in `baseline:` what well means, then run `chaos run {file}` again."))
        }
        Headline::Aborted | Headline::Stopped => {
            all.push(format!("When the cause is understood, run `chaos run {file}` again."));
        }
        Headline::NotInjected => {
            all.push(format!("Nothing was proved. `chaos plan {file}` shows what each fault needs; run it again when it has that."))
        }
        Headline::Refuted => {}
        Headline::Inconclusive => {
            let why = verdict.hypotheses.iter().filter(|h| h.state == State::Inconclusive);
            all.extend(why.filter_map(|h| Some(format!("{}: {}.", h.name, h.why.as_ref()?))));
        }
        Headline::Upheld => upheld(verdict, &file, &mut all),
    }
    for h in verdict.hypotheses.iter().filter(|h| h.state == State::Refuted) {
        refuted(h, &mut all);
    }
    all
}

fn residue(verdict: &Verdict, all: &mut Vec<String>) {
    all.push("Run `chaos recover` now; `chaos recover --print` shows the commands instead.".into());
    for (slot, finding) in &verdict.cleanup.residue {
        all.push(format!("{}: {finding}", slot_words(verdict, slot)));
    }
}

fn upheld(verdict: &Verdict, file: &str, all: &mut Vec<String>) {
    let slowest = verdict.hypotheses.iter().filter_map(|h| h.allowance).max_by(|a, b| a.recovery.0.total_cmp(&b.recovery.0));
    if let Some(allowance) = slowest {
        all.push(format!(
            "At this recovery time ({}) a month may have {} such failures for 99.9%, {} for 99.99%.",
            length(allowance.recovery.0),
            few(allowance.at_99_9),
            few(allowance.at_99_99)
        ));
    }
    all.push(format!("One run is one drill: let CI repeat it with `chaos run {file}`."));
}

/// A count of failures: whole numbers, but tenths where there are few.
pub(super) fn few(failures: f64) -> String {
    if failures < 10.0 {
        return number((failures * 10.0).floor() / 10.0);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "failures of a month")]
    count(failures as usize)
}

fn refuted(h: &HypothesisVerdict, all: &mut Vec<String>) {
    let lied = h.truth.filter(|t| t.false_ready.0 >= 1.0);
    if let Some(truth) = lied {
        all.push(format!(
            "{}: the health check said well for {} while users got errors. Make it ask what users ask.",
            h.name, truth.false_ready
        ));
    }
    let stuck = h.clocks.iter().find(|c| matches!(c.merit, Merit::AfterRevert | Merit::NotRecovered));
    if let Some(clock) = stuck {
        all.push(format!(
            "{}: nothing in the system dealt with {}. Find what should have noticed it, and why it did not.",
            h.name,
            clock.faults.join(" and ")
        ));
    } else if lied.is_none() {
        let line = h.lines.iter().find(|l| l.state == State::Refuted);
        all.extend(line.map(|l| format!("{}: {} was asked, {} seen.", h.name, l.asked, l.observed)));
    }
    if let Some((reason, count)) = h.reasons.first() {
        all.push(format!("{}: the commonest failure was \"{reason}\" ({count} times).", h.name));
    }
}
