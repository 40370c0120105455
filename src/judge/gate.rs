//! The gate before anything is injected: it fails only on evidence of ill health (RULES 28).

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::experiment::{Hypothesis, Metric, Objective, Quantile};
use chaos_core::literal::Operator;
use chaos_core::sample::Series;

use super::injection::Span;
use super::measure::{Census, Held, held};
use super::statistics;

/// Of a baseline longer than twice this, latencies of its first second are left out: connections are being made.
const WARM_UP: Duration = Duration::from_secs(1);

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Nothing speaks against injecting.
    pub met: bool,
    /// One sentence an objective that is evidently missed.
    pub missed: Vec<String>,
}

/// One objective of the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What was observed.
    pub observed: String,
    /// Beyond this run, for context.
    pub context: Option<String>,
    /// Why it is evidently missed.
    pub missed: Option<String>,
}

/// Judges the baseline of one hypothesis over the samples due in `[from, to)`. The series need not be sorted.
///
/// A hypothesis without a baseline is always met; one that was never answered never is.
#[must_use]
pub fn gate(hypothesis: &Hypothesis, series: &Series, from: Mono, to: Mono) -> Gate {
    let mut sorted = series.clone();
    sorted.sort();
    let objectives = hypothesis.baseline.iter().flat_map(|b| &b.objectives);
    let missed: Vec<String> = objectives
        .filter_map(|o| check(hypothesis, o, &sorted, Span { from, to }).missed)
        .map(|why| format!("{}: {why}", hypothesis.name))
        .collect();
    Gate { met: missed.is_empty(), missed }
}

/// Judges one objective of the baseline. The series must be sorted.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn check(hypothesis: &Hypothesis, objective: &Objective, series: &Series, span: Span) -> Checked {
    let timeout = hypothesis.question.timeout.get();
    let warmed = match objective.metric {
        Metric::Latency(_) if span.length() > 2 * WARM_UP => Span { from: span.from.plus(WARM_UP), ..span },
        _ => span,
    };
    let census = Census::of(series, &[warmed], timeout);
    let Some(measured) = census.measure(&objective.metric, &objective.must.operand) else {
        return Checked {
            observed: "no samples".into(),
            context: None,
            missed: Some(format!(
                "{objective} was asked, and not one sample speaks of it{}",
                if census.void_share() > 0.0 { " (the prober itself could not keep up)" } else { "" }
            )),
        };
    };
    let n = census.count();
    let evident = match &objective.metric {
        Metric::Success => {
            let good = (n - census.bad()) as f64;
            let interval = statistics::wilson(good, n as f64, 0.95);
            held(&objective.must, interval) == Held::No
        }
        Metric::Latency(Quantile::Permille(p)) => quantile_missed(objective, &census.latencies(), *p),
        Metric::Field(Quantile::Permille(p), field) => quantile_missed(objective, &census.field(field), *p),
        _ => held(&objective.must, measured.value) == Held::No,
    };
    Checked {
        missed: evident.then(|| format!("{objective} was asked, {} observed", measured.text)),
        observed: measured.text,
        context: measured.context,
    }
}

/// Do even the bounds of the quantile miss it?
fn quantile_missed(objective: &Objective, sorted: &[f64], permille: u16) -> bool {
    let (low, high) = statistics::quantile_ranks(sorted.len(), f64::from(permille) / 1e3, 0.95);
    let bound = match objective.must.operator {
        Operator::AtMost | Operator::Below => low,
        Operator::AtLeast | Operator::Above => high,
        Operator::Equal => return false,
    };
    bound.and_then(|rank| sorted.get(rank - 1)).is_some_and(|value| !objective.must.holds(*value))
}
