//! The last screen of a run: what was broken, what users saw, how long, the verdict, what to do next.

use std::fmt::Write as _;

use chaos_core::clock::Mono;
use chaos_core::experiment::Hypothesis;
use chaos_core::fault::Reversibility;

use super::advice;
use super::heading::{self, Heading, sign};
use super::phrases;
use super::strip;
use super::style::{Ink, Style, clip, plain, wrap};
use crate::judge::Record;
use crate::judge::verdict::{HypothesisVerdict, Line, State, Verdict};

/// Renders the final screen.
#[must_use]
pub fn terminal(record: &Record, verdict: &Verdict, style: Style) -> String {
    let mut screen = Screen { record, verdict, style, out: String::new() };
    screen.headline();
    screen.broken();
    screen.seen();
    screen.taken_back();
    screen.remarks();
    screen.next();
    screen.out
}

struct Screen<'a> {
    record: &'a Record,
    verdict: &'a Verdict,
    style: Style,
    out: String,
}

/// How many things that were found on an injection are told here; the page has all.
const FINDINGS: usize = 3;

const fn ink(state: State) -> Ink {
    match state {
        State::Upheld => Ink::Good,
        State::Refuted => Ink::Bad,
        State::Inconclusive => Ink::Doubt,
        State::Observed => Ink::Faint,
    }
}

impl Screen<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let text = self.style.ink(Ink::Strong, text);
        self.line("");
        self.line(&text);
    }

    /// A paragraph behind a sign, wrapped and indented.
    fn item(&mut self, mark: &str, how: Option<Ink>, text: &str) {
        let width = self.style.width.saturating_sub(4).max(20);
        for (i, part) in wrap(&plain(text), width).iter().enumerate() {
            let mark = if i == 0 { mark } else { " " };
            let mark = match how {
                Some(ink) => self.style.ink(ink, mark),
                None => mark.to_owned(),
            };
            self.line(&format!("  {mark} {part}"));
        }
    }

    fn headline(&mut self) {
        let Heading { word, sign, state } = heading::of_run(self.record, self.verdict);
        let word = word.to_uppercase();
        let painted = self.style.ink(ink(state), &format!("{sign} {word}"));
        let room = self.style.width.saturating_sub(word.chars().count() + 4);
        let title = plain(&self.verdict.title);
        let lines = wrap(&title, room.max(20));
        self.line("");
        self.line(&format!("{painted}  {}", self.style.ink(Ink::Strong, &lines[0])));
        let indent = " ".repeat(word.chars().count() + 4);
        for rest in &lines[1..] {
            let rest = self.style.ink(Ink::Strong, rest);
            self.line(&format!("{indent}{rest}"));
        }
        for part in wrap(&plain(&self.verdict.sentence), self.style.width - 2) {
            self.line(&format!("  {part}"));
        }
    }

    fn broken(&mut self) {
        if self.verdict.injections.is_empty() {
            return;
        }
        let broken = self.verdict.injections.iter().any(|i| i.effective.is_some());
        self.heading(if broken { "What was broken" } else { "What was to be broken" });
        for i in &self.verdict.injections {
            let what = format!("{} on {}", i.fault, i.target);
            self.item("↯", Some(Ink::Fault), &what);
            let mut how = phrases::in_force(i);
            if let Some((at, by)) = &i.activated {
                let _ = write!(how, "; activated at {at} by {by}");
            }
            // What was put back as it was goes on as it did; of the rest, what came of it is the news.
            let told = if i.reversibility == Reversibility::Exact && i.failure.is_none() { 1 } else { FINDINGS };
            for finding in i.findings.iter().take(told) {
                let _ = write!(how, "; {finding}");
            }
            self.item(" ", None, &how);
        }
    }

    fn seen(&mut self) {
        if !heading::anybody_looked(self.record) {
            return;
        }
        self.heading("What users saw");
        let hypotheses = &self.record.started.experiment.hypotheses;
        for (i, (h, asked)) in self.verdict.hypotheses.iter().zip(hypotheses).enumerate() {
            if i > 0 {
                self.line("");
            }
            self.hypothesis(h, asked, i);
        }
    }

    fn hypothesis(&mut self, h: &HypothesisVerdict, asked: &Hypothesis, index: usize) {
        let Heading { word, sign, state } = heading::of_hypothesis(self.verdict, h);
        let room = self.style.width.saturating_sub(4 + word.len() + 1);
        let word = self.style.ink(ink(state), word);
        let mark = self.style.ink(ink(state), sign);
        let name = clip(&plain(&h.name), room);
        let gap = " ".repeat(room - name.chars().count() + 1);
        let name = self.style.ink(Ink::Strong, &name);
        self.line(&format!("  {mark} {name}{gap}{word}"));
        self.chart(asked, index);
        if let Some(text) = phrases::while_faults_acted(h) {
            self.item(" ", None, &text);
        }
        if let Some(text) = phrases::outage(h) {
            self.item(" ", None, &text);
        }
        for clock in &h.clocks {
            let text = phrases::recovery(h, clock);
            let which = match h.clocks.len() {
                1 => text,
                _ => format!("{}: {text}", clock.faults.join(" and ")),
            };
            self.item(" ", None, &which);
        }
        if let Some(truth) = phrases::truth(h) {
            self.item(" ", None, &truth);
        }
        if let Some(failure) = phrases::commonest_failure(h) {
            self.item(" ", None, &failure);
        }
        self.objectives(&h.lines);
        if let (Some(why), State::Inconclusive) = (&h.why, state) {
            self.item(" ", None, &format!("inconclusive: {why}"));
        }
    }

    /// Failures over the run, and under them when faults acted.
    fn chart(&mut self, asked: &Hypothesis, index: usize) {
        let width = self.style.width.saturating_sub(4).clamp(16, 100);
        let series = &self.record.answers[index].users;
        let (Some(first), Some(last)) = (series.samples.first(), series.samples.last()) else {
            return;
        };
        let span = (first.due, Mono(last.due.0 + 1));
        let mut slices = strip::slices(series, asked.question.timeout.get(), span, width);
        strip::bridged(&mut slices, strip::gap_max(asked.question.every.get(), span, width));
        let painted: String = slices
            .iter()
            .map(|s| {
                let bar = strip::bar(*s).to_string();
                match s.bad {
                    _ if asked.is_observation() => self.style.ink(Ink::Faint, &bar),
                    0 => self.style.ink(Ink::Faint, &bar),
                    _ => self.style.ink(Ink::Bad, &bar),
                }
            })
            .collect();
        self.line(&format!("    {painted}"));
        let windows = &self.verdict.hypotheses[index].windows;
        let run = |at: Mono| self.record.since(at).as_secs_f64();
        let (from, to) = (run(span.0), run(span.1));
        let column = |at: f64| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a column of a terminal"
            )]
            let column = ((at - from) / (to - from) * width as f64).max(0.0) as usize;
            column.min(width - 1)
        };
        if windows.is_empty() {
            return;
        }
        let mut ruler = vec![' '; width];
        for w in windows {
            ruler[column(w.span.from.0)..=column(w.span.to.0)].fill('━');
        }
        let ruler: String = ruler.into_iter().collect();
        let ruler = self.style.ink(Ink::Fault, ruler.trim_end());
        self.line(&format!("    {ruler}"));
    }

    fn objectives(&mut self, lines: &[Line]) {
        let longest = lines.iter().map(|l| l.asked.chars().count()).max();
        let column = longest.unwrap_or(0).min(28);
        for l in lines {
            let mark = self.style.ink(ink(l.state), sign(l.state));
            let asked = clip(&plain(&l.asked), column);
            let head = format!("{:<9}{asked:<column$}  ", l.part.word());
            let indent = " ".repeat(head.chars().count());
            let room = self.style.width.saturating_sub(indent.len() + 6).max(16);
            for (i, part) in wrap(&plain(&l.observed), room).iter().enumerate() {
                if i == 0 {
                    self.line(&format!("    {mark} {head}{part}"));
                } else {
                    self.line(&format!("      {indent}{part}"));
                }
            }
        }
    }

    fn taken_back(&mut self) {
        self.heading("What is left");
        let cleanup = &self.verdict.cleanup;
        let (mark, how) = match cleanup.clean {
            true => ("✓", Ink::Good),
            false => ("✗", Ink::Bad),
        };
        self.item(mark, Some(how), &cleanup.sentence);
        for (slot, finding) in &cleanup.residue {
            let what = crate::judge::verdict::slot_words(self.verdict, slot);
            self.item(" ", None, &format!("{what}: {finding}"));
        }
    }

    fn remarks(&mut self) {
        let remarks = phrases::remarks(self.record, self.verdict);
        if remarks.is_empty() {
            return;
        }
        self.heading("To know");
        for remark in remarks {
            self.item("·", Some(Ink::Faint), &remark);
        }
    }

    fn next(&mut self) {
        self.heading("What to do next");
        for step in advice::next(self.record, self.verdict) {
            self.item("→", Some(Ink::Faint), &step);
        }
        let started = &self.record.started;
        let seed = self.record.plan.as_ref().map_or(String::new(), |p| format!(" · seed {}", p.seed));
        let foot = format!("  run {}{seed} · {} · exit {}", started.run, self.verdict.lasted, self.verdict.exit);
        let foot = self.style.ink(Ink::Faint, &clip(&foot, self.style.width));
        self.line("");
        self.line(&foot);
    }
}
