//! A summary for CI and pull requests, in GitHub's Markdown.

use std::fmt::Write as _;

use super::advice;
use super::heading::{self, sign};
use super::phrases;
use crate::judge::Record;
use crate::judge::verdict::{HypothesisVerdict, State, Verdict, slot_words};

/// Renders a run.
#[must_use]
pub fn markdown(record: &Record, verdict: &Verdict) -> String {
    let mut out = String::new();
    let head = heading::of_run(record, verdict);
    let _ = writeln!(out, "## {} {}: {}\n", emblem(head.state), phrases::capital(head.word), escape(&verdict.title));
    let _ = writeln!(out, "{}\n", escape_but_code(&verdict.sentence));
    if !verdict.injections.is_empty() {
        let _ = writeln!(out, "| fault | target | in force | taken back |\n|---|---|---|---|");
        for i in &verdict.injections {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                code(&i.fault),
                escape(&i.target),
                escape(&phrases::in_force(i)),
                escape(&phrases::taken_back(i))
            );
        }
        out.push('\n');
    }
    for h in verdict.hypotheses.iter().filter(|_| heading::anybody_looked(record)) {
        hypothesis(&mut out, verdict, h);
    }
    left(&mut out, verdict);
    let remarks = phrases::remarks(record, verdict);
    for remark in &remarks {
        let _ = writeln!(out, "> {}", escape(remark));
    }
    if !remarks.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "**What to do next**\n");
    for step in advice::next(record, verdict) {
        let _ = writeln!(out, "- {}", escape_but_code(&step));
    }
    let started = &record.started;
    let _ = writeln!(
        out,
        "\n<sub>run {}{} · chaos {} · {} · exit {}</sub>",
        escape(&started.run),
        record.plan.as_ref().map_or(String::new(), |p| format!(" · seed {}", p.seed)),
        escape(&started.chaos),
        escape(&started.host.name),
        verdict.exit
    );
    out
}

fn hypothesis(out: &mut String, verdict: &Verdict, h: &HypothesisVerdict) {
    let head = heading::of_hypothesis(verdict, h);
    let _ = writeln!(out, "### {} {}: {}\n", emblem(head.state), escape(&h.name), head.word);
    let mut facts: Vec<String> = Vec::new();
    facts.extend(phrases::while_faults_acted(h));
    facts.extend(phrases::outage(h));
    facts.extend(h.clocks.iter().map(|c| phrases::recovery(h, c)));
    facts.extend(phrases::truth(h));
    facts.extend(phrases::commonest_failure(h));
    if head.state == State::Inconclusive && h.state == State::Inconclusive {
        facts.extend(h.why.as_ref().map(|why| format!("inconclusive: {why}")));
    }
    for fact in &facts {
        let _ = writeln!(out, "- {}", escape(fact));
    }
    if !facts.is_empty() {
        out.push('\n');
    }
    if h.lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "| | asked | observed | |\n|---|---|---|---|");
    for l in &h.lines {
        let beside = [&l.context, &l.why];
        let beside: Vec<String> = beside.into_iter().flatten().map(|t| escape(t)).collect();
        let _ =
            writeln!(out, "| {} {} | {} | {} | {} |", sign(l.state), l.part.word(), code(&l.asked), escape(&l.observed), beside.join("; "));
    }
    out.push('\n');
}

fn left(out: &mut String, verdict: &Verdict) {
    let mark = emblem(match verdict.cleanup.clean {
        true => State::Upheld,
        false => State::Refuted,
    });
    let _ = writeln!(out, "{mark} **{}**\n", escape(&verdict.cleanup.sentence));
    for (slot, finding) in &verdict.cleanup.residue {
        let what = slot_words(verdict, slot);
        let _ = writeln!(out, "- {}: {}", escape(&what), escape(finding));
    }
    if !verdict.cleanup.residue.is_empty() {
        out.push('\n');
    }
}

const fn emblem(state: State) -> &'static str {
    match state {
        State::Upheld => "✅",
        State::Refuted => "❌",
        State::Inconclusive => "⚠️",
        State::Observed => "👁️",
    }
}

/// Nothing in it is markup: no HTML, no table cell, no link, no emphasis, no line of its own.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// As code: nothing in it is markup, and it cannot end itself.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() || c == '`' { ' ' } else { c }).collect();
    format!("`{}`", text.replace('|', "\\|"))
}

/// Our own sentences keep what stands between backticks as code.
fn escape_but_code(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| match i % 2 {
            0 => escape(part),
            _ => code(part),
        })
        .collect()
}
