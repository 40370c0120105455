//! What happened to a hypothesis, for the reader: windows, recoveries, outages, claims of health.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::experiment::Quantile;

use super::Bench;
use crate::judge::injection::Span;
use crate::judge::recovery::{Clock, Merit, Outcome};
use crate::judge::verdict::{Allowance, ClockVerdict, Outages, Range, ServiceOutage, Summary, Truthfulness, WindowVerdict};
use crate::judge::wording::Secs;
use crate::judge::{measure, outage, truth};

/// Outages listed one by one; the counts speak of all.
const OUTAGES_LISTED: usize = 20;

impl Bench<'_> {
    pub(super) fn lies(&self) -> truth::Lies {
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

    pub(super) fn truthfulness(&self) -> Option<Truthfulness> {
        self.hypothesis.health.as_ref()?;
        let lies = self.lies();
        Some(Truthfulness {
            false_ready: Secs::floor(truth::total(&lies.false_ready)),
            false_alarm: Secs::floor(truth::total(&lies.false_alarm)),
            known: Secs::floor(lies.known),
        })
    }

    pub(super) fn summary(&self, spans: &[Span]) -> Option<Summary> {
        let census = self.census(spans);
        let n = census.count();
        if n == 0 {
            return None;
        }
        let latencies = census.latencies();
        let at = |q| {
            let rank = measure::rank(n, q)?;
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

    pub(super) fn window_verdicts(&self) -> Vec<WindowVerdict> {
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

    pub(super) fn clock_label(&self, clock: &Clock) -> String {
        format!("{}, from {}", self.labels(&clock.injections).join(" and "), self.secs(clock.started))
    }

    fn range(&self, from: Mono, to: Mono) -> Range {
        Range { from: Secs::floor(self.record.since(from)), to: Secs::ceil(self.record.since(to)) }
    }

    pub(super) fn clock_verdict(&self, clock: &Clock) -> ClockVerdict {
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
    pub(super) fn outages(&self) -> Outages {
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
    pub(super) fn allowance(&self) -> Option<Allowance> {
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
