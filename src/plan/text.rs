//! A plan for people: what will be harmed, how it is taken back, what is measured, before anything happens.

use std::fmt::Write;

use chaos_core::experiment::{Action, BlastRadius, Experiment, Hold, Hypothesis, Objective, SetLimits, Step};
use chaos_core::fault::{Grade, Reach, Reversibility};
use chaos_core::plan::{Plan, PlannedInjection};

/// Marks, where colour is wanted.
struct Paint(bool);

impl Paint {
    fn bold(&self, text: &str) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(&self, text: &str) -> String {
        if self.0 { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The plan, as text.
#[must_use]
pub fn render(plan: &Plan, experiment: &Experiment, color: bool) -> String {
    let paint = Paint(color);
    let mut out = heading(experiment, &paint);
    let _ = writeln!(out, "{}", paint.dim(&format!("seed {} · plan {}", plan.seed, &plan.hash()[..12])));
    let _ = writeln!(out, "\n{}", paint.bold("What may be harmed"));
    for population in &plan.populations {
        let healthy = population.members.iter().filter(|m| m.healthy).count();
        let _ = writeln!(out, "  {}: {} found, {healthy} healthy", population.set, population.members.len());
        for member in population.members.iter().take(8) {
            let _ = writeln!(out, "    {}", member.label);
        }
        if population.members.len() > 8 {
            let _ = writeln!(out, "    … and {} more", population.members.len() - 8);
        }
    }
    limits(&mut out, &experiment.blast_radius, &paint);
    let _ = writeln!(out, "\n{}", paint.bold("What will be done"));
    for injection in &plan.injections {
        describe(&mut out, injection, &paint);
    }
    for step in &plan.not_drawn {
        let _ = writeln!(out, "  {step}: not drawn by its probability; its time passes all the same");
    }
    others(&mut out, &experiment.method, 1);
    measured(&mut out, experiment, &paint);
    for note in &plan.notes {
        let _ = writeln!(out, "\nnote: {note}");
    }
    out
}

/// What can be said before the experiment's own system runs and its targets exist.
#[must_use]
pub fn outline(experiment: &Experiment, color: bool) -> String {
    let paint = Paint(color);
    let mut out = heading(experiment, &paint);
    let _ = writeln!(out, "\n{}", paint.bold("What it starts itself"));
    for process in &experiment.system {
        let _ = writeln!(out, "  {}: {}", process.name, process.run.join(" "));
    }
    let _ = writeln!(out, "\n{}", paint.bold("What may be harmed"));
    for set in &experiment.targets {
        let expect = set.expect.map_or(String::new(), |n| format!(", {n} expected"));
        let _ = writeln!(out, "  {}: {} {}{expect}", set.name, set.kind, set.selector);
    }
    let _ = writeln!(out, "  which of them exactly is known once the system runs; every limit is checked again then");
    limits(&mut out, &experiment.blast_radius, &paint);
    let _ = writeln!(out, "\n{}", paint.bold("What will be done"));
    steps(&mut out, &experiment.method, 1);
    measured(&mut out, experiment, &paint);
    out
}

fn heading(experiment: &Experiment, paint: &Paint) -> String {
    format!("{}\n{}\n", paint.bold(&experiment.title), paint.dim(&format!("{} · {}", experiment.slug, experiment.file.display())))
}

fn limits(out: &mut String, blast: &BlastRadius, paint: &Paint) {
    let _ = writeln!(out, "\n{}", paint.bold("Limits"));
    let _ = writeln!(
        out,
        "  everything is over {} after the first injection{}",
        blast.duration,
        blast.at_most.map_or(String::new(), |n| format!("; at most {n} targets at once"))
    );
    if !blast.reach.is_empty() {
        let words: Vec<String> = blast.reach.iter().map(Reach::to_string).collect();
        let _ = writeln!(out, "  may be felt beyond the targets: {}", words.join(", "));
    }
    for set in &blast.targets {
        let _ = writeln!(out, "  {}: {}", set.set, limit_words(set));
    }
}

fn limit_words(set: &SetLimits) -> String {
    let mut words = Vec::new();
    words.extend(set.at_most.map(|n| format!("at most {n} at once")));
    words.extend(set.share.map(|s| format!("at most {s} at once")));
    words.extend(set.leave.map(|n| format!("{n} healthy ones must remain")));
    words.extend(set.in_total.map(|n| format!("{n} different ones in total")));
    words.extend(set.per.map(|g| format!("in each {}", g.word())));
    words.join(", ")
}

fn describe(out: &mut String, i: &PlannedInjection, paint: &Paint) {
    let held = i.hold.map_or(String::new(), |d| format!(", for {d}"));
    let with = if i.with.as_object().is_none_or(serde_json::Map::is_empty) { String::new() } else { format!(" with {}", i.with) };
    let _ = writeln!(
        out,
        "  {} {} into {}{held}{with}",
        paint.dim(&format!("[{}] from {}", i.slot, i.at)),
        paint.bold(&i.fault),
        i.target.label
    );
    let _ = writeln!(out, "      {}", facts(i).join(" · "));
    for note in &i.notes {
        let _ = writeln!(out, "      {note}");
    }
    if i.bystanders.count > 0 {
        let _ = writeln!(out, "      also felt by {} others: {}", i.bystanders.count, i.bystanders.names.join(", "));
    }
    for line in &i.undo {
        let _ = writeln!(out, "      {} {line}", paint.dim("undo:"));
    }
}

fn facts(i: &PlannedInjection) -> Vec<String> {
    let back = match i.reversibility {
        Reversibility::Exact => format!("taken back exactly, within {}", i.revert_budget),
        Reversibility::WithLoss => format!("taken back with loss, within {}", i.revert_budget),
        Reversibility::Irreversible => "never taken back".to_owned(),
    };
    let mut facts = vec![format!("felt by the {}", i.reach), back];
    if i.reversibility != Reversibility::Irreversible {
        facts.push(grade(i.grade).to_owned());
        facts.push(format!("second net: {}", i.second_net));
    }
    if i.latent {
        facts.push("latent: nothing happens until it is activated".to_owned());
    }
    facts
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Bound => "bound: it dies with the executor",
        Grade::Leased => "leased: the executor takes it back alone",
        Grade::Recorded => "recorded: its undo waits for the next `chaos`",
    }
}

/// Steps that are not injections, so that the method can be followed.
fn others(out: &mut String, steps: &[Step], depth: usize) {
    for step in steps {
        let indent = "  ".repeat(depth);
        match &step.action {
            Action::Wait(d) => drop(writeln!(out, "{indent}{}: wait {d}", step.path)),
            Action::WaitFor(w) => drop(writeln!(out, "{indent}{}: wait for `{}`, within {}", step.path, w.hypothesis, w.within)),
            Action::Run(r) => drop(writeln!(out, "{indent}{}: run `{}`", step.path, r.command.join(" "))),
            Action::Parallel(inner) => others(out, inner, depth),
            Action::Inject(inject) => {
                if let Hold::Meanwhile(inner) = &inject.hold {
                    others(out, inner, depth);
                }
            }
        }
    }
}

fn steps(out: &mut String, list: &[Step], depth: usize) {
    let indent = "  ".repeat(depth);
    for step in list {
        if let Action::Inject(inject) = &step.action {
            let held = if let Hold::For(d) = &inject.hold { format!(", for {d}") } else { String::new() };
            let _ = writeln!(out, "{indent}inject {} into {}{held}", inject.fault, inject.into);
            if let Hold::Meanwhile(inner) = &inject.hold {
                steps(out, inner, depth + 1);
            }
        } else if let Action::Parallel(inner) = &step.action {
            steps(out, inner, depth + 1);
        } else {
            others(out, std::slice::from_ref(step), depth);
        }
    }
}

fn measured(out: &mut String, experiment: &Experiment, paint: &Paint) {
    let _ = writeln!(out, "\n{}", paint.bold("What is measured"));
    for hypothesis in &experiment.hypotheses {
        let q = &hypothesis.question;
        let _ = writeln!(out, "  {}: {} every {}, timeout {}, good: {}", hypothesis.name, q.probe, q.every, q.timeout, q.good);
        for line in objectives(hypothesis) {
            let _ = writeln!(out, "      {line}");
        }
    }
    let asked = experiment.hypotheses.iter().flat_map(|h| std::iter::once(&h.question).chain(h.health.as_ref().map(|h| &h.question)));
    let load: f64 = asked.map(|q| 1.0 / q.every.get().as_secs_f64().max(1e-6)).sum();
    let _ = writeln!(out, "  all probes together ask {load:.0} questions a second");
    for stop in &experiment.stop_when {
        let _ = writeln!(out, "  stops at once when {stop}");
    }
}

fn objectives(hypothesis: &Hypothesis) -> Vec<String> {
    let list = |objectives: &[Objective]| objectives.iter().map(Objective::to_string).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if let Some(b) = &hypothesis.baseline {
        lines.push(format!("before anything is injected, for {}: {}", b.lasts, list(&b.objectives)));
    }
    if !hypothesis.during.is_empty() {
        lines.push(format!("while faults act: {}", list(&hypothesis.during)));
    }
    if let Some(p) = &hypothesis.prove {
        lines.push(format!("proved with {} confidence: {}", p.confidence, list(&p.objectives)));
    }
    if let Some(r) = &hypothesis.recovery {
        let within = r.within.map(|d| format!("within {d} of the effect"));
        let after = r.after_revert.map(|d| format!("within {d} of the last revert"));
        let words: Vec<String> = within.into_iter().chain(after).collect();
        lines.push(format!("well again {}, and for {}", words.join(" and "), r.hold));
    }
    if let Some(h) = &hypothesis.health {
        let claims = h
            .false_ready
            .as_ref()
            .map(|c| format!("wrongly ready {c}"))
            .into_iter()
            .chain(h.false_alarm.as_ref().map(|c| format!("wrongly alarmed {c}")));
        lines.push(format!("its own health check ({}) may be {}", h.question.probe, claims.collect::<Vec<_>>().join(", ")));
    }
    lines
}
