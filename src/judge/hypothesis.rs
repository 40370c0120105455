//! One hypothesis, judged: every objective it asked, held against what was sampled.

use std::borrow::Cow;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::Phase;
use chaos_core::experiment::{Hypothesis, Metric, Objective, Quantile, Recovery};
use chaos_core::literal::{Comparison, Operand, Operator};
use chaos_core::sample::Sample;

use super::gate;
use super::injection::{Injection, Span};
use super::measure::{Census, Held, between, held, in_units_of, missed_at_best, samples_needed};
use super::outage;
use super::record::{Answers, Record};
use super::recovery::{self, Clock, Merit, Outcome, Watched};
use super::statistics;
use super::truth;
use super::verdict::{
    Allowance, ClockVerdict, HypothesisVerdict, Line, Outages, Part, Range, ServiceOutage, State, Summary, Truthfulness, WindowVerdict,
};
use super::watch::hold_of;
use super::window::{self, Window};
use super::wording::{self, Secs};

/// A phase with a larger share of void samples than this says nothing (RULES 30).
const VOID_SHARE_MAX: f64 = 0.05;
/// Less of the time asked for than this in force says nothing of the fault (LANGUAGE section 5).
const IN_FORCE_MIN: f64 = 0.9;
/// Outages listed one by one; the counts speak of all.
const OUTAGES_LISTED: usize = 20;

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
        let method = Span { from: self.baseline.to, to: self.record.method_end() };
        let after = Span { from: method.to, to: Mono(u64::MAX) };
        let phases = [
            ("the baseline", vec![self.baseline]),
            ("the fault windows", self.spans()),
            ("the method", vec![method]),
            ("the recovery", vec![after]),
        ];
        phases.into_iter().find_map(|(name, spans)| {
            let share = self.census(&spans).void_share();
            (share > VOID_SHARE_MAX)
                .then(|| format!("the prober could not keep up: {} of the samples of {name} say nothing", wording::share(share)))
        })
    }

    // --- objectives ---

    fn baseline_lines(&self) -> Vec<Line> {
        let objectives = self.hypothesis.baseline.iter().flat_map(|b| &b.objectives);
        objectives
            .map(|o| {
                let users = &self.answers.users;
                let checked = gate::check(self.hypothesis, o, users, self.baseline);
                let opened = self.record.gate.as_ref().is_some_and(|(_, met, _)| *met);
                let (state, why) = match (checked.missed, opened) {
                    (None, _) => (State::Upheld, None),
                    (Some(_), false) => (State::Refuted, Some("not well to begin with")),
                    (Some(_), true) => (State::Inconclusive, Some("samples that ended after the gate had opened speak against it")),
                };
                Line {
                    part: Part::Baseline,
                    asked: o.to_string(),
                    observed: checked.observed,
                    context: checked.context,
                    state,
                    why: why.map(str::to_owned),
                }
            })
            .collect()
    }

    fn during_lines(&self) -> Vec<Line> {
        let census = self.census(&self.spans());
        let all = self.hypothesis.during.iter();
        all.map(|o| self.during_line(o, &census)).collect()
    }

    fn during_line(&self, objective: &Objective, census: &Census<'_>) -> Line {
        let line = |observed, context, state, why| Line { part: Part::During, asked: objective.to_string(), observed, context, state, why };
        let Some(measured) = census.measure(&objective.metric, &objective.must.operand) else {
            let why = if self.windows.is_empty() { "no fault was in force" } else { "not one sample of the fault windows speaks of it" };
            return line("no samples".into(), None, State::Inconclusive, Some(why.into()));
        };
        let (count, needed) = (census.count(), samples_needed(objective));
        let (state, why) = if count < needed && !missed_at_best(objective, census) {
            (State::Inconclusive, Some(self.too_few(count, needed)))
        } else {
            match held(&objective.must, measured.value) {
                Held::Yes => (State::Upheld, None),
                Held::No => (State::Refuted, None),
                Held::Between => (
                    State::Inconclusive,
                    Some(format!(
                        "the objective lies inside of what is known; {}",
                        self.settle(&objective.must, measured.value, Duration::ZERO)
                    )),
                ),
            }
        };
        line(measured.text, measured.context, state, why)
    }

    fn too_few(&self, count: usize, needed: usize) -> String {
        let watched: f64 = self.spans().iter().map(|s| s.length().as_secs_f64()).sum();
        #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
        let cadence = watched / needed.max(1) as f64;
        format!(
            "{} are too few to speak of it ({} are needed): ask every {}, or hold the fault longer",
            wording::plural(count, "sample"),
            wording::count(needed),
            tidy(cadence),
        )
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    fn prove_lines(&self) -> Vec<Line> {
        let Some(prove) = &self.hypothesis.prove else {
            return Vec::new();
        };
        let census = self.census(&self.spans());
        // Failures come in clusters: so many independent samples are these worth (DOMAIN 4.5).
        let worth = census.count() as f64 / statistics::design_effect(&census.blocks());
        let confidence = prove.confidence.ratio();
        let all = prove.objectives.iter();
        all.map(|o| self.prove_line(o, &census, worth, confidence)).collect()
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of samples")]
    fn prove_line(&self, objective: &Objective, census: &Census<'_>, worth: f64, confidence: f64) -> Line {
        let measured = census.measure(&objective.metric, &objective.must.operand);
        let interval = match &objective.metric {
            Metric::Success => {
                let n = census.count() as f64;
                let good = 1.0 - census.bad() as f64 / n.max(1.0);
                Some(statistics::wilson(good * worth, worth, confidence))
            }
            Metric::Latency(q) => quantile_interval(&census.latencies(), *q, worth, confidence),
            Metric::Field(q, f) => quantile_interval(&census.field(f), *q, worth, confidence),
            _ => measured.as_ref().map(|m| m.value),
        };
        let state = match interval.map(|i| held(&objective.must, i)) {
            Some(Held::Yes) => State::Upheld,
            Some(Held::No) => State::Refuted,
            Some(Held::Between) | None => State::Inconclusive,
        };
        let words = |v: f64| match v.is_infinite() {
            true if v > 0.0 => "no bound".to_owned(),
            true => "0".to_owned(),
            false => in_units_of(&objective.must.operand, v),
        };
        Line {
            part: Part::Prove,
            asked: objective.to_string(),
            observed: measured.map_or_else(|| "no samples".into(), |m| m.text),
            context: interval.map(|(low, high)| {
                format!(
                    "{} interval {} to {}, from what {} independent samples would say",
                    wording::share(confidence),
                    words(low),
                    words(high),
                    wording::count(worth as usize)
                )
            }),
            state,
            why: (state == State::Inconclusive).then(|| "the interval holds the objective: it takes more samples".into()),
        }
    }

    fn recovery_lines(&self) -> Vec<Line> {
        let Some(recovery) = &self.hypothesis.recovery else {
            return Vec::new();
        };
        let Recovery { within, after_revert, .. } = recovery;
        let mut lines = Vec::new();
        if let Some(within) = within {
            let each = self.clocks.iter().map(|c| (c, c.outcome, c.started, c.started));
            lines.push(self.worst("within", within.get(), each.collect()));
        }
        if let Some(after) = after_revert {
            let each = self.clocks.iter().filter_map(|c| {
                let (asked, reverted) = c.reverted?;
                Some((c, c.after_revert?, asked, reverted))
            });
            lines.push(self.worst("after_revert", after.get(), each.collect()));
        }
        lines
    }

    /// The worst clock decides.
    fn worst(&self, word: &str, objective: Duration, clocks: Vec<(&Clock, Outcome, Mono, Mono)>) -> Line {
        let lines = clocks.iter().map(|(clock, outcome, earliest, latest)| {
            let (time, line) = self.recovery_line(word, objective, *outcome, (*earliest, *latest));
            (line.state, time, self.clock_label(clock), line)
        });
        let worst = lines.max_by(|a, b| {
            let by_time = a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal);
            a.0.cmp(&b.0).then(by_time)
        });
        match worst {
            Some((_, _, label, line)) if clocks.len() > 1 => {
                Line { context: Some(format!("the worst of {}: {label}", clocks.len())), ..line }
            }
            Some((.., line)) => line,
            None => Line {
                part: Part::Recovery,
                asked: format!("{word} {}", wording::length(objective.as_secs_f64())),
                observed: "no clock was started".into(),
                context: None,
                state: State::Inconclusive,
                why: Some("no fault took effect, or none was taken back".into()),
            },
        }
    }

    fn recovery_line(&self, word: &str, objective: Duration, outcome: Outcome, (earliest, latest): (Mono, Mono)) -> (f64, Line) {
        let must = Comparison { operator: Operator::AtMost, operand: Operand::Duration(objective.into()) };
        let (time, observed, state, why) = match outcome {
            Outcome::Unaffected => (0.0, "unaffected".to_owned(), State::Upheld, None),
            Outcome::Unknown => {
                (0.0, "no samples".to_owned(), State::Inconclusive, Some("not one sample was taken after the effect".to_owned()))
            }
            Outcome::Recovered { after, before, answer, .. } => {
                let bounds = (after.since(latest).as_secs_f64(), before.since(earliest).as_secs_f64());
                let (state, why) = match held(&must, bounds) {
                    Held::Yes => (State::Upheld, None),
                    Held::No => (State::Refuted, None),
                    Held::Between => (
                        State::Inconclusive,
                        Some(format!("the objective lies inside of what is known; {}", self.settle(&must, bounds, answer))),
                    ),
                };
                (bounds.1, between(bounds), state, why)
            }
            Outcome::NotYet { more_than, .. } => {
                let time = more_than.since(latest).as_secs_f64();
                let refuted = more_than.since(latest) >= objective;
                let why = "not recovered when observation ended";
                (
                    time,
                    format!("more than {}", wording::at_least(time)),
                    if refuted { State::Refuted } else { State::Inconclusive },
                    Some(why.to_owned()),
                )
            }
        };
        let line = Line {
            part: Part::Recovery,
            asked: format!("{word} {}", wording::length(objective.as_secs_f64())),
            observed,
            context: None,
            state,
            why,
        };
        (time, line)
    }

    /// What would tell: a cadence that makes the interval narrower than its distance from the objective, where the answer
    /// itself is not what makes it wide.
    fn settle(&self, must: &Comparison, (low, high): (f64, f64), answer: Duration) -> String {
        let bound = must.operand.as_number();
        let near = (bound - low).abs().min((high - bound).abs());
        let wide = (high - low).max(1e-6);
        let every = self.hypothesis.question.every.get().as_secs_f64();
        if answer.as_secs_f64() > every && answer.as_secs_f64() > wide / 2.0 {
            return format!("the answer alone took {}: a shorter `timeout` would settle it", wording::length(answer.as_secs_f64()));
        }
        let cadence = (every * near / wide / 2.0).clamp(0.001, every / 2.0);
        format!("asking every {} would settle it", tidy(cadence))
    }

    fn health_lines(&self) -> Vec<Line> {
        let Some(health) = &self.hypothesis.health else {
            return Vec::new();
        };
        let lies = self.lies();
        let asked = [("false_ready", health.false_ready, &lies.false_ready), ("false_alarm", health.false_alarm, &lies.false_alarm)];
        let lines = asked.into_iter().filter_map(|(word, must, spans)| {
            let must = must?;
            let observed = truth::total(spans).as_secs_f64();
            let known = !lies.known.is_zero();
            let state = match (known, must.holds(observed)) {
                (false, _) => State::Inconclusive,
                (true, true) => State::Upheld,
                (true, false) => State::Refuted,
            };
            Some(Line {
                part: Part::Health,
                asked: format!("{word} {must}"),
                observed: wording::length(observed),
                context: Some(format!("of {} in which both were known", wording::length(lies.known.as_secs_f64()))),
                state,
                why: (!known).then(|| "health and users were not sampled together".into()),
            })
        });
        lines.collect()
    }

    // --- facts for the report ---

    fn lies(&self) -> truth::Lies {
        let Some(health) = &self.hypothesis.health else {
            return truth::Lies::default();
        };
        let reach = 5 * self.hypothesis.question.every.get().max(health.question.every.get());
        let reach = reach + self.timeout.max(health.question.timeout.get());
        truth::compare(
            (&self.answers.users, self.timeout),
            (&self.answers.health, health.question.timeout.get()),
            &self.watched_for_truth(),
            reach,
        )
    }

    /// The fault windows and the recovery after each.
    fn watched_for_truth(&self) -> Vec<Span> {
        let end = self.known.last().map_or(self.record.end, |s| s.due);
        let point = |outcome: &Outcome| match outcome {
            Outcome::Recovered { point, .. } => Some(*point),
            Outcome::NotYet { .. } => Some(end),
            Outcome::Unaffected | Outcome::Unknown => None,
        };
        let mut spans: Vec<Span> = Vec::new();
        for window in &self.windows {
            let clocks = self.clocks.iter().filter(|c| c.injections.iter().any(|i| window.injections.contains(i)));
            let ends = clocks.flat_map(|c| [Some(c.outcome), c.after_revert]).flatten().filter_map(|o| point(&o));
            let to = ends.fold(window.span.to, Mono::max);
            match spans.last_mut() {
                Some(last) if last.to >= window.span.from => last.to = last.to.max(to),
                _ => spans.push(Span { from: window.span.from, to }),
            }
        }
        spans
    }

    fn truthfulness(&self) -> Option<Truthfulness> {
        self.hypothesis.health.as_ref()?;
        let lies = self.lies();
        Some(Truthfulness {
            false_ready: Secs::floor(truth::total(&lies.false_ready)),
            false_alarm: Secs::floor(truth::total(&lies.false_alarm)),
            known: Secs::floor(lies.known),
        })
    }

    fn summary(&self, spans: &[Span]) -> Option<Summary> {
        let census = self.census(spans);
        let n = census.count();
        if n == 0 {
            return None;
        }
        let latencies = census.latencies();
        let at = |q| {
            let rank = super::measure::rank(n, q)?;
            latencies.get(rank - 1).filter(|l| l.is_finite()).copied()
        };
        #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
        Some(Summary {
            samples: n,
            bad: census.bad(),
            success: (n - census.bad()) as f64 / n as f64,
            p50: at(Quantile::Permille(500)).map(Secs),
            p99: at(Quantile::Permille(990)).map(Secs),
            max: at(Quantile::Max).map(Secs),
        })
    }

    fn window_verdicts(&self) -> Vec<WindowVerdict> {
        let windows = self.windows.iter();
        windows
            .map(|w| WindowVerdict {
                span: self.range(w.span.from, w.span.to),
                faults: self.labels(&w.injections),
                slots: w.injections.iter().map(|i| self.injections[*i].slot.clone()).collect(),
                summary: self.summary(&[w.span]),
            })
            .collect()
    }

    fn labels(&self, injections: &[usize]) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for i in injections {
            let label = self.injections[*i].label();
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }

    fn clock_label(&self, clock: &Clock) -> String {
        format!("{}, from {}", self.labels(&clock.injections).join(" and "), self.secs(clock.started))
    }

    fn range(&self, from: Mono, to: Mono) -> Range {
        Range { from: Secs::floor(self.record.since(from)), to: Secs::ceil(self.record.since(to)) }
    }

    fn clock_verdict(&self, clock: &Clock) -> ClockVerdict {
        let length = |outcome: Outcome, earliest: Mono, latest: Mono| match outcome {
            Outcome::Recovered { after, before, .. } => {
                Some(Range { from: Secs::floor(after.since(latest)), to: Secs::ceil(before.since(earliest)) })
            }
            Outcome::Unaffected => Some(Range::default()),
            Outcome::NotYet { .. } | Outcome::Unknown => None,
        };
        let (first_bad, relapses, recovered, more_than) = match clock.outcome {
            Outcome::Recovered { first_bad, relapses, point, .. } => (Some(first_bad), relapses, Some(point), None),
            Outcome::NotYet { first_bad, more_than } => (Some(first_bad), 0, None, Some(more_than.since(clock.started))),
            Outcome::Unaffected | Outcome::Unknown => (None, 0, None, None),
        };
        ClockVerdict {
            faults: self.labels(&clock.injections),
            started: self.secs(clock.started),
            merit: clock.merit,
            first_bad: first_bad.map(|at| self.secs(at)),
            recovered_at: recovered.map(|at| self.secs(at)),
            recovery: length(clock.outcome, clock.started, clock.started),
            after_revert: clock.after_revert.zip(clock.reverted).and_then(|(outcome, (asked, reverted))| length(outcome, asked, reverted)),
            more_than: more_than.map(Secs::floor),
            relapses,
        }
    }

    /// From the first intent to the end of observation.
    fn outages(&self) -> Outages {
        let from = self.baseline.to;
        let span = [Span { from, to: Mono(u64::MAX) }];
        let rows = self.census(&span).rows();
        let (longest, total) = (outage::longest(&rows), outage::total(&rows));
        let first = self.known.partition_point(|s| s.due < from);
        let mut service = outage::outages(&self.known[first..]);
        let episodes = service.len();
        service.sort_by_key(|o| std::cmp::Reverse(o.at_least()));
        service.truncate(OUTAGES_LISTED);
        service.sort_by_key(|o| o.began_before);
        let edges = rows.first().zip(rows.last());
        let (first_bad, last_bad) = edges.map_or((from, from), |(a, b)| (a.first_bad, b.last_bad.plus(Duration::from_nanos(1))));
        let around = self.census(&[Span { from: first_bad, to: last_bad }]);
        let failed: usize = rows.iter().map(|r| r.bad).sum();
        #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
        Outages {
            rows: rows.len(),
            failed,
            share: failed as f64 / around.count().max(1) as f64,
            longest: Range::of(longest),
            total: Range::of(total),
            episodes,
            service: service.iter().map(|o| self.service_outage(o)).collect(),
        }
    }

    fn service_outage(&self, outage: &outage::Outage) -> ServiceOutage {
        ServiceOutage {
            began: Range {
                from: outage.began_after.map_or(Secs(0.0), |at| self.secs(at)),
                to: Secs::ceil(self.record.since(outage.began_before)),
            },
            ended_after: self.secs(outage.ended_after),
            ended_before: outage.ended_before.map(|at| Secs::ceil(self.record.since(at))),
            at_least: Secs::floor(outage.at_least()),
            at_most: outage.at_most().map(Secs::ceil),
            failed: outage.bad,
        }
    }

    /// How many such failures a month may have, for the slowest recovery at its upper bound (DOMAIN 4.6). None where it took
    /// our revert: then the time is that of the experiment, not of the system.
    fn allowance(&self) -> Option<Allowance> {
        const MONTH: f64 = 30.0 * 86_400.0;
        let slowest = self.clocks.iter().filter_map(|c| match c.outcome {
            Outcome::Recovered { before, .. } => Some(before.since(c.started).as_secs_f64()),
            _ => None,
        });
        let by_itself = self.clocks.iter().all(|c| matches!(c.merit, Merit::ByItself | Merit::Unaffected));
        let recovery = slowest.reduce(f64::max).filter(|r| by_itself && *r > 0.0)?;
        Some(Allowance { recovery: Secs(recovery), at_99_9: 0.001 * MONTH / recovery, at_99_99: 0.000_1 * MONTH / recovery })
    }
}

/// The bounds of a quantile from sorted values that are worth only so many independent ones.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of samples")]
fn quantile_interval(sorted: &[f64], q: Quantile, worth: f64, confidence: f64) -> Option<statistics::Bounds> {
    let n = sorted.len();
    if n == 0 {
        return None;
    }
    let Quantile::Permille(permille) = q else {
        // The extremes of a run bound nothing beyond it.
        return Some(match q {
            Quantile::Min => (f64::NEG_INFINITY, sorted[0]),
            _ => (sorted[n - 1], f64::INFINITY),
        });
    };
    let worth = (worth.floor() as usize).clamp(1, n);
    let (low, high) = statistics::quantile_ranks(worth, f64::from(permille) / 1e3, confidence);
    let scale = n as f64 / worth as f64;
    let low = low.map_or(f64::NEG_INFINITY, |r| sorted[((r as f64 * scale).floor() as usize).clamp(1, n) - 1]);
    let high = high.map_or(f64::INFINITY, |r| sorted[((r as f64 * scale).ceil() as usize).clamp(1, n) - 1]);
    Some((low, high))
}

/// Rounded down to 1, 2 or 5 times a power of ten, in words.
fn tidy(seconds: f64) -> String {
    let power = 10_f64.powf(seconds.max(1e-6).log10().floor());
    let lead = seconds / power;
    let step = [5.0, 2.0, 1.0].into_iter().find(|s| lead + 1e-9 >= *s);
    wording::length(step.unwrap_or(1.0) * power)
}

fn worst_reason(lines: &[Line], state: State) -> Option<String> {
    if state != State::Inconclusive {
        return None;
    }
    lines.iter().find(|l| l.state == state).and_then(|l| l.why.clone())
}
