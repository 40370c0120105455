//! One self-contained page: light and dark, readable without scripts, small whatever the number of samples, and fit to
//! be printed. Everything in it is escaped by the templates (RULES 36).

mod chart;
mod outline;

use maud::{DOCTYPE, Markup, PreEscaped, html as page};

use super::heading::{self, Heading};
use super::{advice, phrases};
use crate::judge::Record;
use crate::judge::recovery::Merit;
use crate::judge::verdict::{HypothesisVerdict, InjectionVerdict, Part, State, Verdict, slot_words};
use crate::judge::wording::{count, length, share};
use chart::Axis;

const CSS: &str = include_str!("html/page.css");

/// Renders a run as one HTML file.
#[must_use]
pub fn html(record: &Record, verdict: &Verdict) -> String {
    let axis = Axis::of(record);
    page! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (heading::of_run(record, verdict).word) ": " (verdict.title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    (header(record, verdict))
                    @if heading::anybody_looked(record) {
                        (numbers(verdict))
                        @for index in 0..verdict.hypotheses.len() { (hypothesis(record, verdict, index, &axis)) }
                    }
                    (timeline(record, verdict, &axis))
                    (proof(verdict))
                    (next(record, verdict))
                    (remarks(record, verdict))
                    (resolved(record))
                }
                (foot(record, verdict))
            }
        }
    }
    .into_string()
}

const fn class(state: State) -> &'static str {
    match state {
        State::Upheld => "good",
        State::Refuted => "bad",
        State::Inconclusive => "doubt",
        State::Observed => "mute",
    }
}

fn pill(heading: Heading) -> Markup {
    page! {
        span.pill.(class(heading.state)) { span.sign aria-hidden="true" { (heading.sign) } (phrases::capital(heading.word)) }
    }
}

fn header(record: &Record, verdict: &Verdict) -> Markup {
    let heading = heading::of_run(record, verdict);
    let started = &record.started;
    page! {
        header.(class(heading.state)) {
            p.verdict { (pill(heading)) span.slug { (verdict.experiment) } }
            h1 { (verdict.title) }
            p.sentence { (with_code(&verdict.sentence)) }
            dl.meta {
                (fact("when", &moment(started.wall.0)))
                (fact("took", &verdict.lasted.to_string()))
                (fact("on", &started.host.name))
                (fact("by", &started.user))
                @if let Some(plan) = &record.plan { (fact("seed", &plan.seed.to_string())) }
                (fact("exit", &verdict.exit.to_string()))
            }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    page! { div { dt { (name) } dd { (value) } } }
}

fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    jiff::Timestamp::from_millisecond(ms).map(|t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
}

/// The handful of numbers that people repeat to one another, of the hypothesis that decided.
fn numbers(verdict: &Verdict) -> Markup {
    let judged = verdict.hypotheses.iter().filter(|h| h.state != State::Observed);
    let several = judged.clone().count() > 1;
    let decisive = judged.filter(|h| h.samples > 0).max_by_key(|h| (h.state, h.outages.failed));
    let left = &verdict.cleanup;
    page! {
        section.numbers {
            @if let Some(h) = decisive {
                @if several { p.of { "Of " b { (h.name) } } }
                (good_number(h))
                (recovery_number(h))
                (failed_number(h))
                (truth_number(h))
            }
            @if left.clean {
                @let touched = verdict.injections.iter().any(|i| i.asked.is_some());
                @let how = if touched { "inspected, not assumed" } else { "nothing was injected" };
                (number("left behind", "nothing", how, "good"))
            } @else {
                (number("left behind", &count(left.residue.len()), "see below", "bad"))
            }
        }
    }
}

fn good_number(h: &HypothesisVerdict) -> Markup {
    let Some(during) = &h.during else { return page! {} };
    let before = h.baseline.map(|b| format!("{} before", share(b.success))).unwrap_or_default();
    number("good while faults acted", &share(during.success), &before, class_of(h, Part::During).unwrap_or_default())
}

fn failed_number(h: &HypothesisVerdict) -> Markup {
    let beside = match h.outages.failed {
        0 => "not one".to_owned(),
        _ => format!("of {}", count(h.samples)),
    };
    number(&format!("{}s failed", phrases::noun(h)), &count(h.outages.failed), &beside, "")
}

fn truth_number(h: &HypothesisVerdict) -> Markup {
    let Some(truth) = h.truth else { return page! {} };
    let reverse = match truth.false_alarm.0 > 0.0 {
        true => format!("and the reverse for {}", truth.false_alarm),
        false => "and never the reverse".to_owned(),
    };
    let class = class_of(h, Part::Health).unwrap_or_default();
    number("health said well, users got errors", &truth.false_ready.to_string(), &reverse, class)
}

/// How the objectives of this part came out, where there are any.
fn class_of(h: &HypothesisVerdict, part: Part) -> Option<&'static str> {
    let lines = h.lines.iter().filter(|l| l.part == part);
    lines.map(|l| l.state).max().map(class)
}

fn number(label: &str, value: &str, beside: &str, class: &str) -> Markup {
    page! { div.number.(class) { span.label { (label) } strong { (value) } span.beside { (beside) } } }
}

fn recovery_number(h: &HypothesisVerdict) -> Markup {
    let slowest = h.clocks.iter().max_by(|a, b| {
        let time = |c: &crate::judge::verdict::ClockVerdict| match (c.recovery, c.more_than) {
            (_, Some(more)) => f64::MAX.min(1e9 + more.0),
            (Some(r), None) => r.to.0,
            (None, None) => -1.0,
        };
        time(a).total_cmp(&time(b))
    });
    let Some(clock) = slowest else { return page! {} };
    let (value, beside, class) = match (clock.merit, clock.recovery) {
        (Merit::Unaffected, _) => ("0s".to_owned(), "users never noticed", "good"),
        (Merit::ByItself, Some(r)) => (phrases::short(r), "by itself", "good"),
        (Merit::AfterRevert, Some(r)) => (phrases::short(r), "only after the revert", "bad"),
        (Merit::NotRecovered, _) => {
            (format!("> {}", clock.more_than.map(|m| m.to_string()).unwrap_or_default()), "not recovered while observed", "bad")
        }
        _ => ("unknown".to_owned(), "no samples", "doubt"),
    };
    number("recovered in", &value, beside, class_of(h, Part::Recovery).unwrap_or(class))
}

fn hypothesis(record: &Record, verdict: &Verdict, index: usize, axis: &Axis) -> Markup {
    let h = &verdict.hypotheses[index];
    let heading = heading::of_hypothesis(verdict, h);
    let asked = &record.started.experiment.hypotheses[index].question;
    page! {
        section.card.observation[h.state == State::Observed] {
            div.head {
                h2 { (h.name) }
                (pill(heading))
            }
            p.ask {
                code { (asked.probe) } " every " (asked.every) ", timeout " (asked.timeout) " · "
                (count(h.samples)) " samples"
                @if h.void > 0 { ", " (count(h.void)) " void" }
            }
            (chart::hypothesis(record, h, index, axis))
            @if let (Some(why), State::Inconclusive) = (&h.why, heading.state) {
                p.why { "Inconclusive: " (why) "." }
            }
            div.columns {
                ul.facts {
                    @if let Some(s) = &h.during {
                        @let verb = if h.state == State::Observed { "said yes" } else { "good" };
                        li { b { (share(s.success)) } " of " (count(s.samples)) " " (phrases::noun(h)) "s " (verb) " while faults acted" }
                    }
                    @if let Some(text) = phrases::outage(h) { li { (text) } }
                    @for clock in &h.clocks {
                        li {
                            @if h.clocks.len() > 1 { span.mute { (clock.faults.join(" and ")) ": " } }
                            (phrases::recovery(h, clock))
                        }
                    }
                    @if let [outage] = h.outages.service.as_slice() {
                        @if let Some(most) = outage.at_most {
                            li { "the service was down for " (outage.at_least) " to " (most) }
                        }
                    }
                    @if let Some(a) = h.allowance {
                        li {
                            "at " (a.recovery) " a failure, a month may have "
                            b { (advice::few(a.at_99_9)) } " of them for 99.9%, " b { (advice::few(a.at_99_99)) } " for 99.99%"
                        }
                    }
                    @if let Some(truth) = phrases::truth(h) { li { (truth) } }
                    @for (reason, n) in h.reasons.iter().take(3) {
                        li { span.reason { (reason) } " × " (count(*n)) }
                    }
                }
                @if !h.lines.is_empty() { (objectives(h)) }
            }
        }
    }
}

fn objectives(h: &HypothesisVerdict) -> Markup {
    page! {
        table.objectives {
            thead { tr { th { "" } th { "asked" } th { "observed" } } }
            tbody {
                @for l in &h.lines {
                    tr.(class(l.state)) {
                        td { span.sign title=(l.state.word()) { (heading::sign(l.state)) } " " (l.part.word()) }
                        td { code { (l.asked) } }
                        td {
                            (l.observed)
                            @for beside in [&l.context, &l.why].into_iter().flatten() { small { (beside) } }
                        }
                    }
                }
            }
        }
    }
}

fn timeline(record: &Record, verdict: &Verdict, axis: &Axis) -> Markup {
    if verdict.injections.is_empty() && !heading::anybody_looked(record) {
        return page! {};
    }
    page! {
        section.card {
            h2 { "Timeline" }
            (chart::timeline(record, verdict, axis))
        }
    }
}

fn proof(verdict: &Verdict) -> Markup {
    let left = &verdict.cleanup;
    let (state, word) = if left.clean { (State::Upheld, "nothing left") } else { (State::Refuted, "residue") };
    let pill = pill(Heading { word, sign: heading::sign(state), state });
    page! {
        section.card {
            div.head { h2 { "Undo proof" } (pill) }
            p { (left.sentence) }
            @for (slot, finding) in &left.residue {
                p.why { b { (slot_words(verdict, slot)) } ": " (finding) }
            }
            @for i in &verdict.injections { (injection(i)) }
        }
    }
}

fn injection(i: &InjectionVerdict) -> Markup {
    page! {
        article.injection {
            h3 { code { (i.fault) } " on " (i.target) }
            dl.meta {
                (fact("effect", &phrases::in_force(i)))
                (fact("undo", &phrases::taken_back(i)))
                @if let Some((at, by)) = &i.activated { (fact("activated", &format!("at {at} by {by}"))) }
                @if let Some(n) = i.met { (fact("met it", &phrases::times(n, i.met_to_the_end))) }
                @if let Some(g) = i.grade { (fact("promise", phrases::grade(g))) }
                (fact("reversible", phrases::reversibility(i.reversibility)))
                (fact("identity", &i.identity))
            }
            @if !i.findings.is_empty() {
                p.mute { (i.findings.join(" · ")) }
            }
            @if !i.undo.is_empty() {
                details { summary { "the undo, as commands" } pre { (i.undo.join("\n")) } }
            }
        }
    }
}

fn next(record: &Record, verdict: &Verdict) -> Markup {
    page! {
        section.card {
            h2 { "What to do next" }
            ul.next { @for step in advice::next(record, verdict) { li { (with_code(&step)) } } }
        }
    }
}

/// Our own sentences keep what stands between backticks as code.
fn with_code(text: &str) -> Markup {
    page! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn remarks(record: &Record, verdict: &Verdict) -> Markup {
    let all = phrases::remarks(record, verdict);
    page! {
        @if !all.is_empty() || !record.commands.is_empty() {
            section.card {
                h2 { "To know" }
                ul { @for remark in &all { li { (remark) } } }
                @for c in &record.commands {
                    details {
                        summary {
                            code { (c.command.join(" ")) } " at " (length(record.since(c.at).as_secs_f64())) ": "
                            @match c.exit { Some(code) => { "exit " (code) } None => "no exit code" }
                        }
                        pre { (c.output) }
                    }
                }
            }
        }
    }
}

fn resolved(record: &Record) -> Markup {
    let experiment = serde_json::to_value(&record.started.experiment).unwrap_or_default();
    page! {
        section.card {
            details {
                summary { h2 { "The experiment, as resolved" } }
                pre.source { (outline::outline(&experiment)) }
            }
        }
    }
}

fn foot(record: &Record, verdict: &Verdict) -> Markup {
    let s = &record.started;
    page! {
        footer {
            "run " code { (s.run) } " · chaos " (s.chaos) " · record " (s.record) " · verdict " (verdict.verdict)
            @if let Some(plan) = &record.plan { " · seed " (plan.seed) }
            " · machine " (s.host.machine) " · boot " (s.host.boot)
        }
    }
}
