//! Sentences that several formats share.

use chaos_core::event::StepState;
use chaos_core::fault::{Grade, Reversibility};

use super::heading;
use crate::judge::recovery::Merit;
use crate::judge::verdict::{ClockVerdict, HypothesisVerdict, InjectionVerdict, Range, State, Summary, Truthfulness, Verdict};
use crate::judge::wording::{at_least, count, length, plural, share};
use crate::judge::{Record, by_whom, judge};

/// With a capital first letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A range of lengths in few characters: `9.94–10.2s`.
pub(super) fn short(range: Range) -> String {
    let words = range.words();
    let Some((from, to)) = words.split_once(" to ") else { return words };
    let unit = to.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = from.strip_suffix(unit).filter(|n| n.ends_with(|c: char| c.is_ascii_digit()));
    format!("{}–{to}", number.unwrap_or(from))
}

/// What a grade promises.
pub(super) const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Bound => "bound: gone when its executor dies",
        Grade::Leased => "leased: its executor takes it back alone",
        Grade::Recorded => "recorded: its undo waits on disk",
    }
}

/// Can it be taken back?
pub(super) const fn reversibility(reversibility: Reversibility) -> &'static str {
    match reversibility {
        Reversibility::Exact => "exact",
        Reversibility::WithLoss => "with loss",
        Reversibility::Irreversible => "irreversible",
    }
}

/// When a fault was in force, or why it was not.
pub(super) fn in_force(i: &InjectionVerdict) -> String {
    if let Some(why) = &i.failure {
        return format!("not injected: {why}");
    }
    let Some(effective) = i.effective else {
        return match i.asked {
            Some(_) => "never in force".into(),
            None => "not reached".into(),
        };
    };
    if i.reversibility == Reversibility::Irreversible {
        let idle = if i.idle { "; nothing met it" } else { "" };
        return format!("done at {effective}; cannot be taken back{idle}");
    }
    let held: f64 = i.in_force.iter().map(|r| r.to.0 - r.from.0).sum();
    let mut text = format!("in force for {} from {effective}", length(held));
    if i.in_force.len() > 1 {
        text.push_str(", with gaps");
    }
    if i.idle {
        text.push_str("; nothing met it");
    }
    text
}

/// How often something met it.
pub(super) fn times(met: u64, to_the_end: bool) -> String {
    let least = if to_the_end { "" } else { "at least " };
    let times = if met == 1 { "time" } else { "times" };
    format!("{least}{met} {times}")
}

/// How it was taken back.
pub(super) fn taken_back(i: &InjectionVerdict) -> String {
    match (&i.revert_asked, i.reverted, &i.residue) {
        (_, _, Some(left)) => format!("still there: {left}"),
        _ if i.effective.is_none() && i.reverted.is_none() => "nothing to take back".into(),
        _ if i.reversibility == Reversibility::Irreversible => "irreversible; its recovery was observed".into(),
        (Some((asked, why)), Some(done), _) => {
            format!("taken back at {done}, in {} ({why}); inspected: nothing left", length(done.0 - asked.0))
        }
        (None, Some(done), _) => format!("taken back at {done}; inspected: nothing left"),
        _ => "no revert is on record".into(),
    }
}

/// What one sample of a hypothesis is to a reader: a request that a user might have sent, or a look at the system.
pub(super) fn noun(h: &HypothesisVerdict) -> &'static str {
    match h.probe.as_str() {
        "process" | "file" | "command" | "container" | "kubernetes" | "prometheus" | "progress" => "check",
        _ => "request",
    }
}

/// A recovery clock in one sentence.
pub(super) fn recovery(h: &HypothesisVerdict, clock: &ClockVerdict) -> String {
    let time = clock.recovery.map(|r| r.words()).unwrap_or_default();
    let relapse = match clock.relapses {
        0 => String::new(),
        n => format!("; {} failed again later", plural(n, noun(h))),
    };
    match clock.merit {
        Merit::Unaffected if noun(h) == "request" => "users never noticed".into(),
        Merit::Unaffected => "never bad".into(),
        Merit::ByItself => format!("recovered by itself in {time}{relapse}"),
        Merit::AfterRevert => {
            let after = clock.after_revert.map(|r| format!("{} after the revert, ", r.words())).unwrap_or_default();
            format!("well only after the fault was taken back: {after}{time} after its effect")
        }
        Merit::NotRecovered => {
            format!("not recovered when observation ended, after {}", clock.more_than.map(|s| at_least(s.0)).unwrap_or_default())
        }
        Merit::Unknown => "no samples after the effect".into(),
    }
}

/// What users went through, in one sentence; none: nothing failed.
pub(super) fn outage(h: &HypothesisVerdict) -> Option<String> {
    let o = &h.outages;
    if o.failed == 0 || h.state == State::Observed {
        return None;
    }
    let requests = plural(o.failed, noun(h));
    if o.rows == 1 {
        return Some(format!("{requests} failed in a row, over {}", o.longest.words()));
    }
    Some(format!("{requests} failed: {} of all between the first and the last of them", share(o.share)))
}

/// Why samples were bad, where an objective was missed: the commonest reason, in one sentence.
pub(super) fn commonest_failure(h: &HypothesisVerdict) -> Option<String> {
    let missed = h.lines.iter().any(|l| l.state == State::Refuted);
    let (reason, times) = h.reasons.first().filter(|_| missed)?;
    Some(format!("the commonest failure was \"{reason}\" ({})", plural(*times, "time")))
}

/// What health claimed against what users got, in one sentence; none where no fault was in force.
pub(super) fn truth(h: &HypothesisVerdict) -> Option<String> {
    h.truth.as_ref().filter(|_| !h.windows.is_empty()).map(claims)
}

fn claims(t: &Truthfulness) -> String {
    match (t.known.0 > 0.0, t.false_ready.0 > 0.0, t.false_alarm.0 > 0.0) {
        (false, ..) => "health and users were not sampled together".into(),
        (true, false, false) => "the health check told the truth".into(),
        (true, true, false) => format!("the health check said well for {} while users got errors", t.false_ready),
        (true, false, true) => format!("the health check said not well for {} while users were served", t.false_alarm),
        (true, true, true) => format!(
            "the health check said well for {} while users got errors, and not well for {} while they were served",
            t.false_ready, t.false_alarm
        ),
    }
}

/// What was seen while faults acted, in one line; an observation is never good or bad.
pub(super) fn while_faults_acted(h: &HypothesisVerdict) -> Option<String> {
    let s = h.during.as_ref()?;
    Some(match h.state {
        State::Observed => format!("while faults acted: yes in {} of {}", share(s.success), count(s.samples)),
        _ => format!("while faults acted: {}", summary(s)),
    })
}

/// Some samples in one line.
fn summary(s: &Summary) -> String {
    let beyond = "beyond the timeout".to_owned();
    let p99 = s.p99.map_or(beyond, |p| p.to_string());
    format!("{} of {} good, p99 {p99}", share(s.success), count(s.samples))
}

/// What the reader must know beside the verdict.
pub(super) fn remarks(record: &Record, verdict: &Verdict) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    if let Some((_, _, missed)) = &record.gate {
        // Hypotheses say it better, with all their samples; and what did not start is the headline.
        let told = record.not_started().is_some() || verdict.hypotheses.iter().any(|h| h.samples > 0 && heading::baseline_missed(h));
        all.extend(missed.iter().filter(|_| !told).cloned());
    }
    let early = record.aborted.iter().filter(|(_, _, because)| !verdict.sentence.contains(because.as_str()));
    all.extend(early.map(|(_, by, because)| format!("Ended early by {}: {because}", by_whom(*by))));
    all.extend(not_done(record));
    for (at, target, finding) in &record.changes {
        let when = length(record.since(*at).as_secs_f64());
        all.push(format!("At {when}, not by any fault of ours: {}: {finding}", target.label));
    }
    for (_, message) in &record.executor_lost {
        all.push(format!("The executor was lost: {message}"));
    }
    for h in verdict.hypotheses.iter().filter(|h| h.void > 0) {
        let say = if h.void == 1 { "says" } else { "say" };
        all.push(format!("{}: {} {say} nothing, because the prober itself was late", h.name, plural(h.void, "sample")));
    }
    all.extend(
        record
            .plan
            .iter()
            .flat_map(|p| p.not_drawn.iter())
            .map(|step| format!("{step} was not drawn (`probability`); its time passed all the same")),
    );
    all.extend(record.notes.iter().map(|(_, text)| text.clone()));
    all.extend(record.damage.iter().map(|d| format!("The record is damaged: {d}")));
    all.extend(judged_again(record, verdict));
    let mut seen = std::collections::HashSet::new();
    all.retain(|text| seen.insert(text.clone()));
    all
}

/// Steps that did not end as they should, and how many were left out because of them.
fn not_done(record: &Record) -> Vec<String> {
    let failed = record.steps.iter().filter_map(|(_, path, state)| match state {
        StepState::Failed(why) => Some(format!("{path}: {why}")),
        _ => None,
    });
    let mut all: Vec<String> = failed.collect();
    match record.steps.iter().filter(|(_, _, state)| matches!(state, StepState::LeftOut(_))).count() {
        0 => {}
        1 => all.push("1 step after it was left out".into()),
        n => all.push(format!("{n} steps after it were left out")),
    }
    all
}

/// A verdict as judged then stands for ever; what this version would say otherwise is shown beside it (RULES 34).
fn judged_again(record: &Record, verdict: &Verdict) -> Option<String> {
    record.judged.as_ref()?;
    let now = judge(record);
    let differs = now
        .hypotheses
        .iter()
        .zip(&verdict.hypotheses)
        .filter(|(now, then)| now.state != then.state)
        .map(|(now, _)| format!("\"{}\" {}", now.name, now.state.word()))
        .collect::<Vec<_>>();
    if now.headline == verdict.headline && differs.is_empty() {
        return None;
    }
    Some(format!(
        "Judged again by this version, the run would be {}{}{}; the verdict of then stands.",
        now.headline.words(),
        if differs.is_empty() { "" } else { ": " },
        differs.join(", ")
    ))
}
