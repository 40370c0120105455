//! What to do next: for a tired person, the most useful first.

use chaos_core::event::AbortedBy;

use crate::judge::exit::Headline;
use crate::judge::recovery::Merit;
use crate::judge::verdict::{HypothesisVerdict, State, Verdict, slot_words};
use crate::judge::wording::{count, length, number};
use crate::judge::{Record, failed_command};

/// Sentences, at most a handful.
pub(super) fn next(record: &Record, verdict: &Verdict) -> Vec<String> {
    let again = again(record);
    let mut all = Vec::new();
    match verdict.headline {
        Headline::Residue => residue(verdict, &mut all),
        Headline::Defect => all.push(format!(
            "This is our fault. `chaos status` shows that nothing is in force; please report it with the record of run {}.",
            verdict.run
        )),
        Headline::Refused => all.extend(record.refused.iter().filter_map(|(_, _, hint)| hint.clone())),
        Headline::BaselineNotMet => all.push(match record.not_started() {
            Some(cause) => to_start(record, cause, &again),
            None => format!("Make the system well first, or say in `baseline:` what well means, then run `{again}` again."),
        }),
        Headline::Aborted | Headline::Stopped => all.push(match record.aborted.last() {
            Some((_, AbortedBy::Person | AbortedBy::Signal, _)) => format!("Run it again: `{again}`."),
            Some((_, AbortedBy::Lever, _)) => format!("`chaos resume` allows runs again; then `{again}`."),
            _ => format!("When the cause is understood, run `{again}` again."),
        }),
        Headline::NotInjected => match failed_command(record) {
            Some(_) => {
                all.push(format!("Repair the command, or say which exit code is expected, such as `exit: 1`; then run `{again}` again."))
            }
            None => all.push(format!(
                "Nothing was proved. `{}` shows what each fault needs; run it again when it has that.",
                again.replacen("run", "plan", 1)
            )),
        },
        Headline::Refuted => {}
        Headline::Inconclusive => {
            let why = verdict.hypotheses.iter().filter(|h| h.state == State::Inconclusive);
            all.extend(why.filter_map(|h| Some(format!("{}: {}.", h.name, h.why.as_ref()?))));
        }
        Headline::Upheld => upheld(verdict, &again, &mut all),
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

fn upheld(verdict: &Verdict, again: &str, all: &mut Vec<String>) {
    let slowest = verdict.hypotheses.iter().filter_map(|h| h.allowance).max_by(|a, b| a.recovery.0.total_cmp(&b.recovery.0));
    if let Some(allowance) = slowest {
        all.push(format!(
            "At this recovery time ({}) a month may have {} such failures for 99.9%, {} for 99.99%.",
            length(allowance.recovery.0),
            few(allowance.at_99_9),
            few(allowance.at_99_99)
        ));
    }
    let rolled_back = |h: &&HypothesisVerdict| h.clocks.iter().any(|c| c.merit == Merit::AfterRevert);
    for h in verdict.hypotheses.iter().filter(|h| h.state == State::Upheld).filter(rolled_back) {
        all.push(format!(
            "{}: it was well only after the fault was taken back. Hold the fault longer than `within` to see whether it recovers by itself.",
            h.name
        ));
    }
    all.push(format!("One run is one drill: let CI repeat it with `{again}`."));
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
}

/// The command that repeats this run: everything that was set from outside is set again, save secrets.
fn again(record: &Record) -> String {
    let experiment = &record.started.experiment;
    let mut command = format!("chaos run {}", quoted(&experiment.file.display().to_string()));
    for name in &experiment.set {
        if let Some(value) = experiment.parameters.get(name).filter(|value| *value != "(secret)") {
            command.push_str(&format!(" --set {}", quoted(&format!("{name}={value}"))));
        }
    }
    command
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// What lets the experiment's own system start.
fn to_start(record: &Record, cause: &str, again: &str) -> String {
    let Some(port) = held_port(cause) else {
        return format!("Everything that it wrote lies in the run's folder. When it starts, run `{again}` again.");
    };
    let experiment = &record.started.experiment;
    let names_it = |value: &str| value == port || value.strip_suffix(port).is_some_and(|before| before.ends_with(':'));
    match experiment.parameters.iter().find(|(_, value)| names_it(value)) {
        Some((name, _)) => format!("Free port {port}, then run `{again}` again; or take another port with `--set {name}=…`."),
        None => format!("Free port {port}, then run `{again}` again."),
    }
}

/// The port of our own sentence "port 8080 is held by …".
fn held_port(cause: &str) -> Option<&str> {
    let (before, _) = cause.split_once(" is held by ")?;
    let (_, port) = before.rsplit_once("port ")?;
    port.chars().all(|c| c.is_ascii_digit()).then_some(port)
}
