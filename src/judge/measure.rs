//! Metrics as a census: what the samples of a window themselves say, no more.

use std::ops::Range;
use std::time::Duration;

use chaos_core::experiment::{Metric, Objective, Quantile};
use chaos_core::literal::{Comparison, Operand, Operator};
use chaos_core::sample::{Outcome, Sample, Series};

use super::injection::Span;
use super::outage;
use super::statistics::{self, Bounds};
use super::wording;

/// The samples of one question that are due in some spans. Void ones are left out of everything but their count.
#[derive(Debug, Clone)]
pub struct Census<'a> {
    series: &'a Series,
    ranges: Vec<Range<usize>>,
    timeout: Duration,
}

/// What a census says about a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The value: a share from 0 to 1, seconds, a count, or the field's number. Both are the same where it is exact;
    /// an infinite upper value is a latency censored by the timeout.
    pub value: Bounds,
    /// In words.
    pub text: String,
    /// What it may be beyond this run, in words; decides nothing.
    pub context: Option<String>,
}

/// Is an objective met?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Yes.
    Yes,
    /// No.
    No,
    /// The value is not known closely enough.
    Between,
}

impl<'a> Census<'a> {
    /// The samples due in these spans.
    #[must_use]
    pub fn of(series: &'a Series, spans: &[Span], timeout: Duration) -> Self {
        let at = |t| series.samples.partition_point(|s| s.due < t);
        let ranges = spans.iter().map(|s| at(s.from)..at(s.to)).collect();
        Self { series, ranges, timeout }
    }

    /// Every sample that says something, by due time.
    pub fn iter(&self) -> impl Iterator<Item = &'a Sample> + Clone + '_ {
        let samples = &self.series.samples;
        self.ranges.iter().flat_map(|r| &samples[r.clone()]).filter(|s| !s.is_void(self.timeout))
    }

    /// How many samples say something.
    #[must_use]
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// How many of them are bad.
    #[must_use]
    pub fn bad(&self) -> usize {
        self.iter().filter(|s| s.is_bad()).count()
    }

    /// The share that says nothing, because the prober itself failed.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    pub fn void_share(&self) -> f64 {
        let all: usize = self.ranges.iter().map(ExactSizeIterator::len).sum();
        if all == 0 { 0.0 } else { (all - self.count()) as f64 / all as f64 }
    }

    /// Why samples were bad, with counts, most frequent first. Timeouts among them.
    #[must_use]
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::<u32, usize>::new();
        const TIMED_OUT: u32 = u32::MAX;
        for sample in self.iter() {
            match sample.outcome {
                Outcome::Bad(reason) => *counts.entry(reason.into()).or_default() += 1,
                Outcome::TimedOut => *counts.entry(TIMED_OUT).or_default() += 1,
                Outcome::Good | Outcome::Shed => {}
            }
        }
        let text = |number: u32| match number {
            TIMED_OUT => format!("no answer within {}", wording::length(self.timeout.as_secs_f64())),
            n => match self.series.reasons.get(n as usize) {
                Some(text) if !text.is_empty() => text.clone(),
                _ => "bad".into(),
            },
        };
        let mut reasons: Vec<_> = counts.into_iter().map(|(n, c)| (text(n), c)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// Latencies in seconds, sorted; those of timeouts are infinite.
    #[must_use]
    pub fn latencies(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self
            .iter()
            .map(|s| match s.outcome {
                Outcome::TimedOut => f64::INFINITY,
                _ => s.latency().as_secs_f64(),
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The values of a field, sorted.
    #[must_use]
    pub fn field(&self, name: &str) -> Vec<f64> {
        let Some(column) = self.series.fields.iter().find(|c| c.field == name) else {
            return Vec::new();
        };
        let rows = self.ranges.iter().cloned().flatten();
        let mut all: Vec<f64> = rows
            .filter(|&i| !self.series.samples[i].is_void(self.timeout))
            .filter_map(|i| column.values.get(i).copied().flatten())
            .filter(|v| !v.is_nan())
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// One-second blocks as (bad, all), for [`statistics::design_effect`].
    #[must_use]
    pub fn blocks(&self) -> Vec<(f64, f64)> {
        let mut blocks: Vec<(u64, f64, f64)> = Vec::new();
        for sample in self.iter() {
            let second = sample.due.0 / 1_000_000_000;
            let bad = f64::from(u8::from(sample.is_bad()));
            match blocks.last_mut() {
                Some((at, b, n)) if *at == second => {
                    *b += bad;
                    *n += 1.0;
                }
                _ => blocks.push((second, bad, 1.0)),
            }
        }
        blocks.into_iter().map(|(_, b, n)| (b, n)).collect()
    }

    /// What the samples say about a metric. `is` tells whether a field's numbers are seconds or bytes, for the words.
    /// None: not a single sample speaks of it.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    pub fn measure(&self, metric: &Metric, is: &Operand) -> Option<Measured> {
        let n = self.count();
        if n == 0 {
            return None;
        }
        Some(match metric {
            Metric::Success => {
                let good = n - self.bad();
                let (low, high) = statistics::wilson(good as f64, n as f64, 0.95);
                Measured {
                    value: exact(good as f64 / n as f64),
                    text: format!("{} ({} of {})", wording::share(good as f64 / n as f64), wording::count(good), wording::count(n)),
                    context: Some(format!("95% interval {} to {}", wording::share(low), wording::share(high))),
                }
            }
            Metric::Bad => {
                let bad = self.bad();
                Measured { value: exact(bad as f64), text: format!("{} of {}", wording::count(bad), wording::count(n)), context: None }
            }
            Metric::Latency(q) => self.quantile(&self.latencies(), *q, is)?,
            Metric::Field(q, field) => self.quantile(&self.field(field), *q, is)?,
            Metric::LongestOutage => lasting(outage::longest(&self.rows())),
            Metric::Downtime => lasting(outage::total(&self.rows())),
        })
    }

    /// Rows of bad samples, by due time. None reaches from one span into the next.
    #[must_use]
    pub fn rows(&self) -> Vec<outage::Row> {
        let samples = &self.series.samples;
        self.ranges
            .iter()
            .flat_map(|r| {
                let known = samples[r.clone()].iter();
                outage::rows(known.filter(|s| !s.is_void(self.timeout)))
            })
            .collect()
    }

    fn quantile(&self, sorted: &[f64], q: Quantile, is: &Operand) -> Option<Measured> {
        let value = *sorted.get(rank(sorted.len(), q)?.checked_sub(1)?)?;
        let timeout = self.timeout.as_secs_f64();
        let words = |v: f64| {
            if v.is_infinite() { format!("> {}", wording::length(timeout)) } else { in_units_of(is, v) }
        };
        let context = match q {
            Quantile::Permille(permille) => {
                let ranks = statistics::quantile_ranks(sorted.len(), f64::from(permille) / 1e3, 0.95);
                let at = |rank: usize| words(sorted[rank - 1]);
                Some(match ranks {
                    (Some(low), Some(high)) => format!("95% interval {} to {}", at(low), at(high)),
                    (Some(low), None) => {
                        format!("at least {} with 95% confidence, no upper bound", at(low))
                    }
                    _ => format!("{} bound it not", wording::plural(sorted.len(), "sample")),
                })
            }
            Quantile::Min | Quantile::Max => None,
        };
        let low = if value.is_infinite() { timeout } else { value };
        Some(Measured { value: (low, value), text: words(value), context })
    }
}

fn exact(value: f64) -> Bounds {
    (value, value)
}

fn lasting(bounds: Bounds) -> Measured {
    Measured { value: bounds, text: between(bounds), context: None }
}

/// An interval of lengths in words: `1.02s to 1.36s`.
#[must_use]
pub fn between((low, high): Bounds) -> String {
    let (from, to) = (wording::at_least(low), wording::at_most(high));
    if low >= high || from == to { from } else { format!("{from} to {to}") }
}

/// A value in the units of what it is compared with.
#[must_use]
pub fn in_units_of(operand: &Operand, value: f64) -> String {
    match operand {
        Operand::Percent(_) => wording::share(value),
        Operand::Duration(_) => wording::length(value),
        Operand::Size(_) if value >= 1e9 => format!("{} GB", wording::number(value / 1e9)),
        Operand::Size(_) if value >= 1e6 => format!("{} MB", wording::number(value / 1e6)),
        Operand::Size(_) if value >= 1e3 => format!("{} kB", wording::number(value / 1e3)),
        Operand::Size(_) => format!("{} B", wording::number(value)),
        Operand::Number(_) => wording::number(value),
    }
}

/// The rank (from 1) of a quantile among `n` sorted values: the smallest that at least `q` of them do not exceed.
#[must_use]
pub fn rank(n: usize, q: Quantile) -> Option<usize> {
    if n == 0 {
        return None;
    }
    Some(match q {
        Quantile::Min => 1,
        Quantile::Max => n,
        Quantile::Permille(p) => (n * usize::from(p)).div_ceil(1_000).max(1),
    })
}

/// How many samples it takes to speak of an objective at all: 3/(1−q) for shares and quantiles (RULES 28). Counts and
/// times need one, and so does `success >= 100%`, which is the count of bad ones said otherwise.
///
/// ```
/// use chaos_core::experiment::Objective;
/// let asked = |metric: &str, must: &str| Objective { metric: metric.parse().unwrap(), must: must.parse().unwrap() };
/// assert_eq!(chaos::judge::samples_needed(&asked("success", ">= 99%")), 300);
/// assert_eq!(chaos::judge::samples_needed(&asked("p99", "<= 80ms")), 300);
/// assert_eq!(chaos::judge::samples_needed(&asked("bad", "== 0")), 1);
/// ```
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 3e9")]
pub fn samples_needed(objective: &Objective) -> usize {
    let of = |q: f64| {
        if q >= 1.0 { 1 } else { (3.0 / (1.0 - q) - 1e-6).ceil() as usize }
    };
    match (&objective.metric, objective.must.operand) {
        (Metric::Success, Operand::Percent(share)) => of(share.ratio()),
        (Metric::Latency(Quantile::Permille(p)) | Metric::Field(Quantile::Permille(p), _), _) => of(f64::from(*p) / 1e3),
        _ => 1,
    }
}

/// Does a value that is known only between two bounds hold a comparison?
#[must_use]
pub fn held(must: &Comparison, (low, high): Bounds) -> Held {
    let (at_low, at_high) = (must.holds(low), must.holds(high));
    let bound = must.operand.as_number();
    let equal_inside = must.operator == Operator::Equal && low < bound && bound < high;
    match (at_low, at_high) {
        (true, true) => Held::Yes,
        (false, false) if !equal_inside => Held::No,
        _ => Held::Between,
    }
}

/// With fewer samples than are needed: would the objective be missed even if all that are lacking had been good?
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn missed_at_best(objective: &Objective, census: &Census<'_>) -> bool {
    let needed = samples_needed(objective);
    let lacking = needed.saturating_sub(census.count());
    let upper = matches!(objective.must.operator, Operator::AtMost | Operator::Below);
    match &objective.metric {
        Metric::Success if !upper => {
            let good = census.count() - census.bad() + lacking;
            !objective.must.holds(good as f64 / needed.max(1) as f64)
        }
        Metric::Latency(q) if upper => above_at_best(&census.latencies(), lacking, *q, &objective.must),
        Metric::Field(q, f) if upper => above_at_best(&census.field(f), lacking, *q, &objective.must),
        _ => false,
    }
}

fn above_at_best(sorted: &[f64], lacking: usize, q: Quantile, must: &Comparison) -> bool {
    let n = sorted.len() + lacking;
    let Some(rank) = rank(n, q) else { return false };
    rank.checked_sub(lacking + 1).and_then(|i| sorted.get(i)).is_some_and(|v| !must.holds(*v))
}
