//! One hypothesis, judged: every objective it asked, held against what was sampled.

mod lines;
mod story;

use std::borrow::Cow;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::Phase;
use chaos_core::experiment::Hypothesis;
use chaos_core::sample::Sample;

use super::injection::{Injection, Span};
use super::measure::Census;
use super::record::{Answers, Record};
use super::recovery::{self, Clock, Watched};
use super::verdict::{HypothesisVerdict, Line, State};
use super::watch::hold_of;
use super::window::{self, Window};
use super::wording::{self, Secs};

/// A phase with a larger share of void samples than this says nothing (RULES 30).
const VOID_SHARE_MAX: f64 = 0.05;
/// Less of the time asked for than this in force says nothing of the fault (LANGUAGE section 5).
const IN_FORCE_MIN: f64 = 0.9;

/// Judges the hypothesis of this index.
#[must_use]
pub fn judge(record: &Record, injections: &[Injection], index: usize) -> HypothesisVerdict {
    let experiment = &record.started.experiment;
    Bench::new(record, injections, &experiment.hypotheses[index], &record.answers[index]).verdict()
}

/// Everything that judging one hypothesis needs.
struct Bench<'a> {
    record: &'a Record,
    injections: &'a [Injection],
    hypothesis: &'a Hypothesis,
    answers: &'a Answers,
    timeout: Duration,
    /// Samples that say something, by due time.
    known: Cow<'a, [Sample]>,
    windows: Vec<Window>,
    clocks: Vec<Clock>,
    baseline: Span,
}

impl<'a> Bench<'a> {
    fn new(record: &'a Record, injections: &'a [Injection], hypothesis: &'a Hypothesis, answers: &'a Answers) -> Self {
        let timeout = hypothesis.question.timeout.get();
        let users = &answers.users;
        let void = users.samples.iter().any(|s| s.is_void(timeout));
        let known: Cow<'a, [Sample]> =
            if void { users.samples.iter().filter(|s| !s.is_void(timeout)).copied().collect() } else { Cow::Borrowed(&users.samples) };
        let windows = window::windows(injections, users, timeout);
        let begins = recovery::begins(injections, users, timeout);
        let watched = Watched { samples: &known, hold: hold_of(hypothesis), reach: 2 * timeout + Duration::from_millis(100) };
        let clocks = if hypothesis.is_observation() { Vec::new() } else { recovery::clocks(injections, &windows, &begins, &watched) };
        let begun = users.samples.first().map_or(record.at, |s| s.due);
        let to = record.first_intent().or_else(|| record.phase(Phase::Method)).unwrap_or_else(|| record.method_end());
        Self { record, injections, hypothesis, answers, timeout, known, windows, clocks, baseline: Span { from: begun, to: to.max(begun) } }
    }

    fn verdict(self) -> HypothesisVerdict {
        let mut lines = self.baseline_lines();
        if self.injections.iter().any(|i| i.intended.is_some()) {
            lines.extend(self.during_lines());
            lines.extend(self.prove_lines());
            lines.extend(self.recovery_lines());
            lines.extend(self.health_lines());
        }
        let doubt = self.doubt();
        let state = self.state(&lines, doubt.is_some());
        let all = [Span { from: Mono(0), to: Mono(u64::MAX) }];
        let everything = self.census(&all);
        HypothesisVerdict {
            name: self.hypothesis.name.clone(),
            probe: self.hypothesis.question.probe.clone(),
            state,
            why: doubt.or_else(|| worst_reason(&lines, state)),
            baseline: self.summary(&[self.baseline]),
            during: self.summary(&self.spans()),
            samples: everything.count(),
            void: self.answers.users.samples.len() - everything.count(),
            reasons: everything.reasons().into_iter().take(5).collect(),
            windows: self.window_verdicts(),
            clocks: self.clocks.iter().map(|c| self.clock_verdict(c)).collect(),
            outages: self.outages(),
            truth: self.truthfulness(),
            allowance: self.allowance(),
            lines,
        }
    }

    fn state(&self, lines: &[Line], doubt: bool) -> State {
        if self.hypothesis.is_observation() {
            State::Observed
        } else if doubt {
            State::Inconclusive
        } else {
            lines.iter().map(|l| l.state).max().unwrap_or(State::Inconclusive)
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.windows.iter().map(|w| w.span).collect()
    }

    fn census(&self, spans: &[Span]) -> Census<'a> {
        Census::of(&self.answers.users, spans, self.timeout)
    }

    fn secs(&self, at: Mono) -> Secs {
        Secs::floor(self.record.since(at))
    }

    // --- what speaks against judging at all ---

    /// Why nothing can be concluded, whatever the objectives say.
    fn doubt(&self) -> Option<String> {
        if self.hypothesis.is_observation() {
            return None;
        }
        if self.injections.iter().all(|i| i.intended.is_none()) {
            return Some("nothing was injected".into());
        }
        let ineffective = self.injections.iter().find_map(|i| self.ineffective(i));
        ineffective.or_else(|| self.unjudgeable_prober())
    }

    fn ineffective(&self, injection: &Injection) -> Option<String> {
        injection.intended?;
        let label = injection.label();
        let Some(share) = injection.share_in_force() else {
            return Some(format!("{label} was never in force"));
        };
        if injection.latent && window::begin(injection, &self.answers.users, self.timeout).is_none() {
            return Some(format!("{label} was in place, but nothing activated it"));
        }
        if injection.idle && !injection.latent {
            return Some(format!("{label} was in place, but nothing met the fault"));
        }
        if share < IN_FORCE_MIN && !injection.is_irreversible() {
            return Some(format!("{label} was in force for only {} of its time", wording::share(share)));
        }
        None
    }

    fn unjudgeable_prober(&self) -> Option<String> {
        // Recovery clocks run from the first effect on.
        let after = Span { from: self.baseline.to, to: Mono(u64::MAX) };
        let phases =
            [("the baseline", vec![self.baseline]), ("the fault windows", self.spans()), ("the time since the first fault", vec![after])];
        phases.into_iter().find_map(|(name, spans)| {
            let share = self.census(&spans).void_share();
            (share > VOID_SHARE_MAX)
                .then(|| format!("the prober could not keep up: {} of the samples of {name} say nothing", wording::share(share)))
        })
    }
}

fn worst_reason(lines: &[Line], state: State) -> Option<String> {
    if state != State::Inconclusive {
        return None;
    }
    lines.iter().find(|l| l.state == state).and_then(|l| l.why.clone())
}
