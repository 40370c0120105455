//! A plan for people: what will be harmed, how it is taken back, what is measured, before anything happens.

use chaos_core::experiment::{Action, BlastRadius, Experiment, Hold, Hypothesis, Objective, SetLimits, Step, SystemProcess, TargetSet};
use chaos_core::fault::{Grade, Reach, Reversibility};
use chaos_core::plan::{Plan, PlannedInjection};
use chaos_core::target::Target;
use serde::Deserialize;
use serde_json::Value;

use super::style::{Ink, Style, wrap};

/// Members of a population that are named.
const MEMBERS_SHOWN: usize = 8;

/// The plan, as text.
#[must_use]
pub fn plan(plan: &Plan, experiment: &Experiment, style: Style) -> String {
    let mut page = Page::about(experiment, style);
    page.faint(0, &format!("seed {} · plan {}", plan.seed, &plan.hash()[..12]));
    page.heading("What may be harmed");
    for population in &plan.populations {
        let healthy = population.members.iter().filter(|m| m.healthy).count();
        page.line(2, &format!("{}: {} found, {healthy} healthy", population.set, population.members.len()));
        for member in population.members.iter().take(MEMBERS_SHOWN) {
            page.line(4, &member.label);
        }
        if population.members.len() > MEMBERS_SHOWN {
            page.line(4, &format!("… and {} more", population.members.len() - MEMBERS_SHOWN));
        }
    }
    page.limits(&experiment.blast_radius);
    page.heading("What will be done");
    for injection in &plan.injections {
        page.injection(injection);
    }
    for step in &plan.not_drawn {
        page.line(2, &format!("{step}: not drawn by its probability; its time passes all the same"));
    }
    page.steps(&experiment.method, 2, false);
    page.measured(experiment);
    for note in &plan.notes {
        page.out.push('\n');
        page.line(0, &format!("note: {note}"));
    }
    page.out
}

/// What can be said before what the run starts itself is there, and the targets exist.
#[must_use]
pub fn outline(experiment: &Experiment, own: &[SystemProcess], style: Style) -> String {
    let mut page = Page::about(experiment, style);
    page.heading("What it starts itself");
    for process in own {
        page.line(2, &format!("{}: {}", process.name, process.run.join(" ")));
    }
    page.heading("What may be harmed");
    for set in &experiment.targets {
        page.line(2, &format!("{}: {}", set.name, selector(set)));
    }
    page.line(2, "which of them exactly is known once that runs; every limit is checked again then");
    page.limits(&experiment.blast_radius);
    page.heading("What will be done");
    page.steps(&experiment.method, 2, true);
    page.measured(experiment);
    page.out
}

/// `processes with listening_on 8001-8003, 3 expected`.
fn selector(set: &TargetSet) -> String {
    let fields = set.selector.as_object().into_iter().flatten().map(|(k, v)| format!("{k} {}", plain(v)));
    let expect = set.expect.map_or(String::new(), |n| format!(", {n} expected"));
    format!("{} with {}{expect}", set.kind, fields.collect::<Vec<_>>().join(", "))
}

fn plain(value: &Value) -> String {
    if let Ok(target) = Target::deserialize(value) {
        return target.label;
    }
    if let (Some(Value::String(name)), Some(addresses)) = (value.get("name"), value.get("addresses")) {
        return format!("{name} ({})", plain(addresses));
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields.iter().map(|(k, v)| format!("{k} {}", plain(v))).collect::<Vec<_>>().join(" "),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Text that is wrapped by words, continuation lines under the first.
struct Page {
    style: Style,
    out: String,
}

impl Page {
    fn about(experiment: &Experiment, style: Style) -> Self {
        let mut page = Self { style, out: String::new() };
        page.inked(Ink::Strong, 0, &experiment.title);
        page.faint(0, &format!("{} · {}", experiment.slug, experiment.file.display()));
        page
    }

    fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.inked(Ink::Strong, 0, text);
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.each(indent, text, |_, line| line.to_owned());
    }

    fn faint(&mut self, indent: usize, text: &str) {
        self.inked(Ink::Faint, indent, text);
    }

    fn inked(&mut self, ink: Ink, indent: usize, text: &str) {
        self.each(indent, text, |style, line| style.ink(ink, line));
    }

    fn each(&mut self, indent: usize, text: &str, paint: impl Fn(Style, &str) -> String) {
        let style = self.style;
        for (i, line) in wrap(text, style.width.saturating_sub(indent + 2).max(20)).iter().enumerate() {
            let hanging = if i == 0 { indent } else { indent + 2 };
            self.out.push_str(&" ".repeat(hanging));
            self.out.push_str(&paint(style, line));
            self.out.push('\n');
        }
    }

    fn limits(&mut self, blast: &BlastRadius) {
        self.heading("Limits");
        let at_most = blast.at_most.map_or(String::new(), |n| format!("; at most {n} targets at once"));
        self.line(2, &format!("everything is over {} after the first injection{at_most}", blast.duration));
        if !blast.reach.is_empty() {
            let words: Vec<String> = blast.reach.iter().map(Reach::to_string).collect();
            self.line(2, &format!("may be felt beyond the targets: {}", words.join(", ")));
        }
        for set in &blast.targets {
            self.line(2, &format!("{}: {}", set.set, limit_words(set)));
        }
    }

    fn injection(&mut self, i: &PlannedInjection) {
        let held = i.hold.map_or(String::new(), |d| format!(", for {d}"));
        let with = i.with.as_object().filter(|m| !m.is_empty());
        let with = with.map_or(String::new(), |m| {
            let fields = m.iter().map(|(k, v)| format!("{k} {}", plain(v)));
            format!(", with {}", fields.collect::<Vec<_>>().join(", "))
        });
        self.line(2, &format!("[{}] from {}: {} into {}{held}{with}", i.slot, i.at, i.fault, i.target.label));
        self.line(6, &facts(i).join(" · "));
        for note in &i.notes {
            self.line(6, note);
        }
        if i.bystanders.count > 0 {
            self.line(6, &format!("also felt by {} others: {}", i.bystanders.count, i.bystanders.names.join(", ")));
        }
        // Commands are not wrapped: they are there to be copied.
        for line in &i.undo {
            let line = self.style.ink(Ink::Faint, &format!("undo: {line}"));
            self.out.push_str(&format!("      {line}\n"));
        }
    }

    /// The steps, so that the method can be followed; injections only where they are not listed by target.
    fn steps(&mut self, steps: &[Step], indent: usize, injections: bool) {
        for step in steps {
            match &step.action {
                Action::Wait(d) => self.line(indent, &format!("{}: wait {d}", step.path)),
                Action::WaitFor(w) => self.line(indent, &format!("{}: wait for `{}`, within {}", step.path, w.hypothesis, w.within)),
                Action::Run(r) => self.line(indent, &format!("{}: run `{}`", step.path, r.command.join(" "))),
                Action::Parallel(inner) => self.steps(inner, indent + 2, injections),
                Action::Inject(inject) => {
                    if injections {
                        let held = if let Hold::For(d) = &inject.hold { format!(", for {d}") } else { String::new() };
                        self.line(indent, &format!("{}: inject {} into {}{held}", step.path, inject.fault, inject.into));
                    }
                    if let Hold::Meanwhile(inner) = &inject.hold {
                        self.steps(inner, indent + 2, injections);
                    }
                }
            }
        }
    }

    fn measured(&mut self, experiment: &Experiment) {
        self.heading("What is measured");
        for hypothesis in &experiment.hypotheses {
            let q = &hypothesis.question;
            let asked = format!("{}: {} every {}, timeout {}, good: {}", hypothesis.name, q.probe, q.every, q.timeout, q.good);
            self.line(2, &asked);
            for line in objectives(hypothesis) {
                self.line(6, &line);
            }
        }
        let asked = experiment.hypotheses.iter().flat_map(|h| std::iter::once(&h.question).chain(h.health.as_ref().map(|h| &h.question)));
        let load: f64 = asked.map(|q| 1.0 / q.every.get().as_secs_f64().max(1e-6)).sum();
        self.line(2, &format!("all probes together ask {load:.0} questions a second"));
        for stop in &experiment.stop_when {
            self.line(2, &format!("stops at once when {stop}"));
        }
    }
}

fn limit_words(set: &SetLimits) -> String {
    let mut words = Vec::new();
    words.extend(set.at_most.map(|n| format!("at most {n} at once")));
    words.extend(set.share.map(|s| format!("at most {s} at once")));
    words.extend(set.leave.map(|n| format!("{n} healthy must remain")));
    words.extend(set.in_total.map(|n| format!("{n} different ones in total")));
    words.extend(set.per.map(|g| format!("in each {}", g.word())));
    words.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_a_peer_are_shown_by_what_they_are() {
        let member = |label: &str| {
            serde_json::json!({
                "identity": format!("process:{label}"), "label": label, "place": "here", "order": "", "healthy": true, "started": 0,
                "groups": {}, "facets": {}
            })
        };
        assert_eq!(plain(&serde_json::json!([member("store (pid 7)"), member("store (pid 8)")])), "store (pid 7), store (pid 8)");
        assert_eq!(plain(&serde_json::json!({"field": ["a", 1]})), "field a, 1");
        assert_eq!(plain(&serde_json::json!({"name": "store", "addresses": ["10.0.0.7"]})), "store (10.0.0.7)");
    }
}
