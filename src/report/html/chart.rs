//! Charts as inline SVG that is stretched to its box; words and ticks are HTML beside it, so that they keep their size.

use std::fmt::Write as _;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::Phase;
use chaos_core::experiment::Question;
use chaos_core::sample::{Outcome, Sample, Series};
use maud::{Markup, html as page};

use super::super::strip::{self, Slice};
use crate::judge::Record;
use crate::judge::verdict::{HypothesisVerdict, State, Verdict};
use crate::judge::wording::length;

/// More samples than this are drawn as a band, not as dots: a page stays small.
const DOTS: usize = 2_400;
/// Slices of bands and strips.
const SLICES: usize = 400;
/// Height of a chart in its own units; it is stretched.
const HIGH: f64 = 100.0;

/// The time axis that all charts of a page share: seconds since the run began.
pub(super) struct Axis {
    from: Mono,
    to: Mono,
    zero: Mono,
}

impl Axis {
    /// From the first sample or event to the last.
    pub(super) fn of(record: &Record) -> Self {
        let users = record.answers.iter().map(|a| &a.users.samples);
        let first = users.clone().filter_map(|s| s.first()).map(|s| s.due).min();
        let from = first.unwrap_or(record.at);
        Self { from, to: record.end.max(from.plus(Duration::from_millis(1))), zero: record.at }
    }

    /// A moment in per mille of the width.
    fn x(&self, at: Mono) -> f64 {
        let all = self.to.since(self.from).as_secs_f64();
        (at.since(self.from).as_secs_f64() / all * 1000.0).clamp(0.0, 1000.0)
    }

    /// Seconds since the run began, in per mille of the width.
    fn at(&self, seconds: f64) -> f64 {
        self.x(self.zero.plus(Duration::from_secs_f64(seconds.max(0.0))))
    }

    fn ticks(&self) -> Vec<f64> {
        let begin = self.from.since(self.zero).as_secs_f64();
        let end = self.to.since(self.zero).as_secs_f64();
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];
        let step = steps.into_iter().find(|s| (end - begin) / s <= 6.0).unwrap_or(604_800.0);
        let mut at = (begin / step).ceil() * step;
        let mut ticks = Vec::new();
        while at <= end && ticks.len() < 12 {
            ticks.push(at);
            at += step;
        }
        ticks
    }

    fn ticks_markup(&self) -> Markup {
        page! {
            div.ticks aria-hidden="true" {
                @for t in self.ticks() { span style=(format!("left:{:.2}%", self.at(t) / 10.0)) { (length(t)) } }
            }
        }
    }
}

/// Everything one hypothesis was answered: latencies, success, and what health claimed.
pub(super) fn hypothesis(record: &Record, h: &HypothesisVerdict, index: usize, axis: &Axis) -> Markup {
    let question = &record.started.experiment.hypotheses[index];
    let timeout = question.question.timeout.get();
    let users = &record.answers[index].users;
    let known: Vec<&Sample> = users.samples.iter().filter(|s| !s.is_void(timeout)).collect();
    if known.is_empty() {
        return page! { p.mute { "Not one sample was answered." } };
    }
    let scale = Latency::of(&known, timeout);
    let recoveries = recoveries(h, axis);
    page! {
        figure {
            div.chart {
                svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" {
                    title { "Latency of each request by the time it was due, on a logarithmic scale" }
                    (windows(h, axis))
                    @for (_, value) in scale.ticks() { path.grid d=(format!("M0 {:.1}H1000", scale.y(value))) {} }
                    path.limit d=(format!("M0 {:.1}H1000", scale.y(timeout.as_secs_f64()))) {}
                    (latencies(&known, axis, &scale, timeout))
                    @for (from, to) in &recoveries {
                        rect.recovered x=(format!("{from:.1}")) y="0" width=(format!("{:.1}", (to - from).max(1.0))) height="100" {
                            title { "well again somewhere in here: no sample can tell more closely" }
                        }
                        path.end d=(format!("M{to:.1} 0V100")) {}
                    }
                }
                @for (label, value) in scale.ticks() { span.y style=(format!("top:{:.1}%", scale.y(value))) { (label) } }
                span.y.timeout style=(format!("top:{:.1}%", scale.y(timeout.as_secs_f64()))) { "timeout" }
                @if let [(from, to)] = recoveries.as_slice() {
                    @let left = *to > 700.0;
                    span.flag.left[left] style=(format!("left:{:.2}%", if left { from } else { to } / 10.0)) { "well again" }
                }
            }
            @let (who, verb) = if h.state == State::Observed { ("seen", "said no") } else { ("users", "failed") };
            div.strip { span { (who) } (strip_of(users, &question.question, axis, verb)) }
            @if let Some(health) = &question.health {
                div.strip.claim { span { "health" } (strip_of(&record.answers[index].health, &health.question, axis, "said not well")) }
            }
            (axis.ticks_markup())
            figcaption {
                @let (yes, no) = if h.state == State::Observed { ("yes", "no") } else { ("good", "bad") };
                span.key.dot-good { (yes) }
                span.key.dot-bad { (no) }
                @if !h.windows.is_empty() { span.key.shade { "fault in force" } }
                @if !recoveries.is_empty() { span.key.line { "well again" } }
            }
        }
    }
}

/// From when to when each recovery may have been.
fn recoveries(h: &HypothesisVerdict, axis: &Axis) -> Vec<(f64, f64)> {
    let well = h.clocks.iter().filter(|c| c.recovered_at.is_some());
    well.filter_map(|c| c.recovery.map(|r| (axis.at(c.started.0 + r.from.0), axis.at(c.started.0 + r.to.0)))).collect()
}

fn windows(h: &HypothesisVerdict, axis: &Axis) -> Markup {
    page! {
        @for w in &h.windows {
            @let (from, to) = (axis.at(w.span.from.0), axis.at(w.span.to.0));
            rect.window x=(format!("{from:.1}")) y="0" width=(format!("{:.1}", (to - from).max(1.0))) height="100" {
                title { (w.faults.join(", ")) ", from " (w.span.from) " to " (w.span.to) }
            }
        }
    }
}

/// A logarithmic scale of latencies.
struct Latency {
    low: f64,
    high: f64,
}

impl Latency {
    fn of(known: &[&Sample], timeout: Duration) -> Self {
        let all = known.iter().map(|s| s.latency().as_secs_f64());
        let (low, high) = all.fold((f64::MAX, timeout.as_secs_f64()), |(l, h), v| (l.min(v), h.max(v)));
        let high = high * 1.25;
        Self { low: (low.clamp(50e-6, high / 20.0) * 0.8), high }
    }

    fn y(&self, seconds: f64) -> f64 {
        let part = (seconds.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        HIGH * (1.0 - part.clamp(0.0, 1.0))
    }

    fn ticks(&self) -> Vec<(String, f64)> {
        let decades = (-4..=4).map(|power| 10_f64.powi(power));
        let inside = decades.filter(|v| *v > self.low * 1.2 && *v < self.high / 2.0);
        inside.map(|v| (length(v), v)).collect()
    }
}

fn latencies(known: &[&Sample], axis: &Axis, scale: &Latency, timeout: Duration) -> Markup {
    let value = |s: &Sample| match s.outcome {
        Outcome::TimedOut => timeout.as_secs_f64(),
        _ => s.latency().as_secs_f64(),
    };
    if known.len() <= DOTS {
        let dots = |good: bool| {
            let mut path = String::new();
            for s in known.iter().filter(|s| s.is_good() == good) {
                let _ = write!(path, "M{:.1} {:.1}h0", axis.x(s.due), scale.y(value(s)));
            }
            path
        };
        return page! { path.dots.good d=(dots(true)) {} path.dots.bad d=(dots(false)) {} };
    }
    let (mut upper, mut lower, mut middle, mut bad) = (String::new(), Vec::new(), String::new(), String::new());
    for chunk in chunks(known, axis) {
        let x = axis.x(chunk[0].due).midpoint(axis.x(chunk[chunk.len() - 1].due));
        let sorted = |good: bool| {
            let mut all: Vec<f64> = chunk.iter().filter(|s| s.is_good() == good).map(|s| value(s)).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (good, failed) = (sorted(true), sorted(false));
        if let (Some(p1), Some(p50), Some(p99)) = (of(&good, 1), of(&good, 50), of(&good, 99)) {
            let pen = if upper.is_empty() { 'M' } else { 'L' };
            let _ = write!(upper, "{pen}{x:.1} {:.1}", scale.y(p99));
            let _ = write!(middle, "{pen}{x:.1} {:.1}", scale.y(p50));
            lower.push(format!("L{x:.1} {:.1}", scale.y(p1)));
        }
        if let Some(p50) = of(&failed, 50) {
            let _ = write!(bad, "M{x:.1} {:.1}h0", scale.y(p50));
        }
    }
    let band: String = std::iter::once(upper).chain(lower.into_iter().rev()).collect();
    page! {
        path.band d=(format!("{band}Z")) { title { "99% of the good answers" } }
        path.median d=(middle) {}
        path.dots.bad d=(bad) {}
    }
}

fn of(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Samples by slice of the time axis.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a slice of a picture")]
fn chunks<'a>(known: &'a [&'a Sample], axis: &'a Axis) -> impl Iterator<Item = &'a [&'a Sample]> {
    let slice = move |s: &Sample| (axis.x(s.due) / 1000.0 * SLICES as f64) as usize;
    known.chunk_by(move |a, b| slice(a) == slice(b))
}

/// Neighbouring slices that look alike.
struct Run {
    from: usize,
    to: usize,
    shade: u8,
}

/// Slices that look alike, joined.
fn runs(slices: &[Slice]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (x, slice) in slices.iter().enumerate() {
        let Some(share) = slice.bad_share() else { continue };
        let shade = shade_of(share);
        match runs.last_mut().filter(|r| r.to == x && r.shade == shade) {
            Some(run) => run.to = x + 1,
            None => runs.push(Run { from: x, to: x + 1, shade }),
        }
    }
    runs
}

/// Success over time as a strip.
fn strip_of(series: &Series, question: &Question, axis: &Axis, verb: &str) -> Markup {
    let span = (axis.from, axis.to);
    let mut slices = strip::slices(series, question.timeout.get(), span, SLICES);
    strip::bridged(&mut slices, strip::gap_max(question.every.get(), span, SLICES));
    page! {
        svg viewBox=(format!("0 0 {SLICES} 1")) preserveAspectRatio="none" role="img" {
            @for run in runs(&slices) {
                rect.(format!("s{}", run.shade)) x=(run.from) y="0" width=(run.to - run.from) height="1" {
                    title { (SHADES[usize::from(run.shade)]) " " (verb) }
                }
            }
        }
    }
}

/// What each shade says.
const SHADES: [&str; 5] = ["none", "up to a third", "up to two thirds", "more than two thirds", "all"];

/// From 0 (none failed) to 4 (all did).
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
fn shade_of(share: f64) -> u8 {
    match share {
        s if s <= 0.0 => 0,
        s if s >= 1.0 => 4,
        s => (s * 3.0).ceil() as u8,
    }
}

/// Phases, and each fault from asked to taken back.
pub(super) fn timeline(record: &Record, verdict: &Verdict, axis: &Axis) -> Markup {
    let ends = record.phases.iter().skip(1).map(|(at, _)| *at).chain([record.end]);
    page! {
        div.timeline {
            div.row {
                span.name { "phases" }
                div.track {
                    @for ((at, phase), end) in record.phases.iter().zip(ends) {
                        (bar(&format!("phase {}", phase_class(*phase)), axis.x(*at), axis.x(end), phase_word(*phase), phase_word(*phase)))
                    }
                }
            }
            @for i in &verdict.injections {
                div.row {
                    span.name title=(i.target) { code { (i.fault) } " " (i.target) }
                    div.track {
                        @for r in &i.in_force {
                            (bar("fault", axis.at(r.from.0), axis.at(r.to.0), "", &format!("in force from {} to {}", r.from, r.to)))
                        }
                        @if let (Some((asked, _)), Some(done)) = (&i.revert_asked, i.reverted) {
                            (bar("reverting", axis.at(asked.0), axis.at(done.0), "", &format!("taken back from {asked} to {done}")))
                        }
                    }
                }
            }
            div.row { span.name {} div.track.bare { (axis.ticks_markup()) } }
        }
    }
}

fn bar(class: &str, from: f64, to: f64, text: &str, title: &str) -> Markup {
    let style = format!("left:{:.2}%;width:{:.2}%", from / 10.0, ((to - from) / 10.0).max(0.25));
    page! { div.bar.(class) style=(style) title=(title) { (text) } }
}

const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::System => "start",
        Phase::Baseline => "baseline",
        Phase::Method => "method",
        Phase::Revert => "revert",
        Phase::Verify => "verify",
        Phase::Teardown => "stop",
    }
}

const fn phase_class(phase: Phase) -> &'static str {
    match phase {
        Phase::Method => "acting",
        _ => "quiet",
    }
}
