//! Truthfulness: what the system's own health check claimed, against what its users got, over the same clock.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::{Sample, Series};

use super::injection::Span;

/// Where the claim was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lies {
    /// Health said well while a user's sample was bad.
    pub false_ready: Vec<Span>,
    /// Health said not well while a user's sample was good.
    pub false_alarm: Vec<Span>,
    /// So much time both were known.
    pub known: Duration,
}

/// How long spans are together.
#[must_use]
pub fn total(spans: &[Span]) -> Duration {
    spans.iter().map(|s| s.length()).sum()
}

/// Holds both series against one another within `spans`. Each sample speaks from its due time to the next one's, as a
/// step function; a gap longer than `reach` is not known.
#[must_use]
pub fn compare(users: (&Series, Duration), health: (&Series, Duration), spans: &[Span], reach: Duration) -> Lies {
    let users = steps(users.0, users.1, reach);
    let health = steps(health.0, health.1, reach);
    let mut lies = Lies::default();
    let mut h = 0;
    for (span, good) in &users {
        while h < health.len() && health[h].0.to <= span.from {
            h += 1;
        }
        for (said, well) in health[h..].iter().take_while(|(s, _)| s.from < span.to) {
            for within in spans {
                let from = span.from.max(said.from).max(within.from);
                let to = span.to.min(said.to).min(within.to);
                if from >= to {
                    continue;
                }
                lies.known += to.since(from);
                match (well, good) {
                    (true, false) => extend(&mut lies.false_ready, Span { from, to }),
                    (false, true) => extend(&mut lies.false_alarm, Span { from, to }),
                    _ => {}
                }
            }
        }
    }
    lies
}

fn extend(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.to >= span.from => last.to = last.to.max(span.to),
        _ => spans.push(span),
    }
}

/// A series as steps: from when to when it said good or bad.
fn steps(series: &Series, timeout: Duration, reach: Duration) -> Vec<(Span, bool)> {
    let known: Vec<&Sample> = series.samples.iter().filter(|s| !s.is_void(timeout)).collect();
    let ends = known.iter().skip(1).map(|s| s.due).chain([Mono(u64::MAX)]);
    known
        .iter()
        .zip(ends)
        .map(|(s, next)| {
            let to = next.min(s.due.plus(reach));
            (Span { from: s.due, to }, s.is_good())
        })
        .collect()
}
