//! The objectives of a hypothesis, line by line: asked, observed, and what came of it.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::experiment::{Metric, Objective, Quantile, Recovery};
use chaos_core::literal::{Comparison, Operand, Operator};

use super::Bench;
use crate::judge::measure::{Census, Held, between, held, in_units_of, missed_at_best, samples_needed};
use crate::judge::recovery::{Clock, Outcome};
use crate::judge::verdict::{Line, Part, State};
use crate::judge::{gate, statistics, truth, wording};

/// Asking more often than this is no advice, in seconds.
const FASTEST: f64 = 0.001;

impl Bench<'_> {
    pub(super) fn baseline_lines(&self) -> Vec<Line> {
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

    pub(super) fn during_lines(&self) -> Vec<Line> {
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
        // No probe asks this often: the fault was hardly there.
        let faster = if cadence < FASTEST { String::new() } else { format!("ask every {}, or ", tidy(cadence)) };
        format!(
            "{} {} too few to speak of it ({} are needed): {faster}hold the fault longer",
            wording::plural(count, "sample"),
            if count == 1 { "is" } else { "are" },
            wording::count(needed),
        )
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    pub(super) fn prove_lines(&self) -> Vec<Line> {
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

    pub(super) fn recovery_lines(&self) -> Vec<Line> {
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

    pub(super) fn health_lines(&self) -> Vec<Line> {
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
