//! JUnit XML for CI servers: one case a hypothesis, one named `cleanup`.
//!
//! Refuted is a failure. Inconclusive is an *error*, never a pass and never a skip: too little evidence is not success.

use std::fmt::Write as _;

use super::{heading, phrases};
use crate::judge::exit::Headline;
use crate::judge::verdict::{HypothesisVerdict, State, Verdict, slot_words};
use crate::judge::{Record, Verdict as Judged};

/// Renders a run as one test suite.
#[must_use]
pub fn junit(record: &Record, verdict: &Judged) -> String {
    let mut cases: Vec<Case> = verdict.hypotheses.iter().map(|h| hypothesis(record, verdict, h)).collect();
    cases.push(cleanup(verdict));
    cases.extend(run(record, verdict));
    let count = |kind: &str| cases.iter().filter(|c| c.outcome.0 == kind).count();
    let time = verdict.lasted.0;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let totals = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\"",
        cases.len(),
        count("failure"),
        count("error"),
        count("skipped")
    );
    let _ = writeln!(out, "<testsuites name=\"chaos\" {totals}>");
    let _ = writeln!(
        out,
        "  <testsuite name=\"{}\" {totals} timestamp=\"{}\" hostname=\"{}\">",
        escape(&verdict.experiment),
        timestamp(record.started.wall.0),
        escape(&record.started.host.name)
    );
    for case in &cases {
        case.write(&mut out, &verdict.experiment);
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

struct Case {
    name: String,
    /// Element and message; an empty element is a pass.
    outcome: (&'static str, String),
    detail: String,
}

impl Case {
    fn write(&self, out: &mut String, class: &str) {
        let head = format!("    <testcase classname=\"{}\" name=\"{}\"", escape(class), escape(&self.name));
        let (element, message) = &self.outcome;
        let detail = escape(&self.detail);
        let _ = match *element {
            "" => writeln!(out, "{head}>\n      <system-out>{detail}</system-out>\n    </testcase>"),
            "skipped" => writeln!(out, "{head}>\n      <skipped message=\"{}\"/>\n    </testcase>", escape(message)),
            _ => writeln!(out, "{head}>\n      <{element} message=\"{}\">{detail}</{element}>\n    </testcase>", escape(message)),
        };
    }
}

fn hypothesis(record: &Record, verdict: &Verdict, h: &HypothesisVerdict) -> Case {
    let head = heading::of_hypothesis(verdict, h);
    if !heading::anybody_looked(record) {
        let outcome = ("error", "inconclusive: nothing was sampled".to_owned());
        return Case { name: h.name.clone(), outcome, detail: String::new() };
    }
    let wanted = |l: &&crate::judge::verdict::Line| l.state == head.state;
    let first = h.lines.iter().find(wanted);
    let said = first.map(|l| format!("{} {}: {}", l.part.word(), l.asked, l.observed));
    let outcome = match h.state {
        State::Upheld if head.state != State::Upheld => ("error", format!("{}: the run ended early", head.word)),
        State::Upheld => ("", String::new()),
        State::Observed => ("skipped", "an observation: recorded, never judged".into()),
        State::Refuted => ("failure", said.unwrap_or_else(|| "refuted".into())),
        // A baseline that is not met says more than that nothing was injected.
        State::Inconclusive if head.state == State::Refuted => ("error", format!("{}: {}", head.word, said.unwrap_or_default())),
        State::Inconclusive => ("error", format!("inconclusive: {}", h.why.clone().or(said).unwrap_or_default())),
    };
    let mut detail = String::new();
    for l in &h.lines {
        let _ = writeln!(detail, "{:<12} {} {}: {}", l.state.word(), l.part.word(), l.asked, l.observed);
    }
    if let Some(failure) = phrases::commonest_failure(h) {
        let _ = writeln!(detail, "{failure}");
    }
    for clock in &h.clocks {
        let _ = writeln!(detail, "{}: {}", clock.faults.join(" and "), phrases::recovery(h, clock));
    }
    Case { name: h.name.clone(), outcome, detail }
}

fn cleanup(verdict: &Verdict) -> Case {
    let mut detail = String::new();
    for i in &verdict.injections {
        let _ = writeln!(detail, "{} on {}: {}", i.fault, i.target, phrases::taken_back(i));
    }
    for (slot, finding) in &verdict.cleanup.residue {
        let _ = writeln!(detail, "{}: {finding}", slot_words(verdict, slot));
    }
    let outcome = match verdict.cleanup.clean {
        true => ("", String::new()),
        false => ("failure", verdict.cleanup.sentence.clone()),
    };
    Case { name: "cleanup".into(), outcome, detail }
}

/// What no hypothesis can say: that the run itself came to nothing.
fn run(record: &Record, verdict: &Verdict) -> Option<Case> {
    let told = matches!(verdict.headline, Headline::Upheld | Headline::Refuted | Headline::Residue);
    let by_hypothesis = verdict.headline == Headline::Inconclusive && verdict.hypotheses.iter().any(|h| h.state == State::Inconclusive);
    (!told && !by_hypothesis).then(|| Case {
        name: "run".into(),
        outcome: ("error", format!("{}: {}", heading::of_run(record, verdict).word, verdict.sentence)),
        detail: String::new(),
    })
}

fn timestamp(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    jiff::Timestamp::from_millisecond(ms).map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// For text and attributes alike. Characters that XML 1.0 cannot hold become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
