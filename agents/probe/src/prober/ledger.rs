//! What has been observed of one question and not yet handed over.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::probe::Answer;
use chaos_core::sample::{Asked, FieldColumn, Outcome, Sample, SampleBatch};

use super::ask::{Ended, Observation};

/// A batch leaves at the latest so long after its first sample.
pub(super) const FLUSH_AFTER: Duration = Duration::from_millis(5);
/// Different reasons that one question keeps apart; more are counted together.
const REASONS_MAX: usize = 256;
/// The longest reason, in bytes.
const REASON_LENGTH_MAX: usize = 240;

/// Collects samples into batches, with reasons by number.
pub(super) struct Ledger {
    batch: SampleBatch,
    numbers: HashMap<String, u16>,
    flushed: Mono,
}

impl Ledger {
    pub(super) fn new(hypothesis: usize, asked: Asked, measured: &BTreeSet<String>) -> Self {
        let column = |field: &String| FieldColumn { field: field.clone(), values: Vec::new() };
        let values = measured.iter().map(column).collect();
        Self {
            batch: SampleBatch { hypothesis, asked, rows: Vec::new(), reasons: Vec::new(), values },
            numbers: HashMap::new(),
            flushed: Mono::default(),
        }
    }

    /// Writes down how a question ended. `redact` takes secrets out of a reason.
    pub(super) fn record(&mut self, seen: Observation, redact: impl FnOnce(String) -> String) {
        let (outcome, answer) = match seen.ended {
            Ended::TimedOut => (Outcome::TimedOut, None),
            Ended::NoAnswer(reason) => (self.bad(redact(reason)), None),
            Ended::Answered(answer, Ok(())) => (Outcome::Good, Some(answer)),
            Ended::Answered(answer, Err(reason)) => (self.bad(redact(reason)), Some(answer)),
        };
        let sample = timed(seen.due, seen.sent, seen.done, outcome);
        self.push(sample, answer.as_ref());
    }

    /// Writes down a question that was not asked.
    pub(super) fn shed(&mut self, due: Mono, now: Mono) {
        self.push(timed(due, now, now, Outcome::Shed), None);
    }

    fn push(&mut self, sample: Sample, answer: Option<&Answer>) {
        for column in &mut self.batch.values {
            let value = match column.field.as_str() {
                "latency" => answer.map(|_| sample.latency().as_secs_f64()),
                field => answer.and_then(|a| a.get(field)?.as_measure()),
            };
            column.values.push(value);
        }
        self.batch.rows.push(sample);
    }

    fn bad(&mut self, mut reason: String) -> Outcome {
        reason.truncate(reason.floor_char_boundary(REASON_LENGTH_MAX));
        if let Some(&number) = self.numbers.get(&reason) {
            return Outcome::Bad(number);
        }
        if self.numbers.len() >= REASONS_MAX {
            "many other reasons".clone_into(&mut reason);
        }
        let next = u16::try_from(self.numbers.len()).unwrap_or(u16::MAX);
        let number = *self.numbers.entry(reason).or_insert_with_key(|reason| {
            self.batch.reasons.push((next, reason.clone()));
            next
        });
        Outcome::Bad(number)
    }

    pub(super) fn len(&self) -> usize {
        self.batch.rows.len()
    }

    /// When what is here must leave; nothing if nothing is here.
    pub(super) fn flush_due(&self) -> Option<Mono> {
        (!self.batch.rows.is_empty()).then(|| self.flushed.plus(FLUSH_AFTER))
    }

    /// Not before the next time: there was no room.
    pub(super) fn postpone(&mut self, now: Mono) {
        self.flushed = now;
    }

    /// Takes the batch; an empty one of the same question stays.
    pub(super) fn take(&mut self, now: Mono) -> SampleBatch {
        self.flushed = now;
        let values = self
            .batch
            .values
            .iter_mut()
            .map(|column| FieldColumn { field: column.field.clone(), values: std::mem::take(&mut column.values) });
        SampleBatch {
            hypothesis: self.batch.hypothesis,
            asked: self.batch.asked,
            values: values.collect(),
            rows: std::mem::take(&mut self.batch.rows),
            reasons: std::mem::take(&mut self.batch.reasons),
        }
    }
}

/// Would a question sent now say nothing of the moment it was due for?
pub(super) fn is_too_late(due: Mono, now: Mono, timeout: Duration) -> bool {
    timed(due, now, now, Outcome::Good).is_void(timeout)
}

/// Lag is rounded down and the rest up, so that `[sent, done]` of the sample holds the true moments (RULES 27).
fn timed(due: Mono, sent: Mono, done: Mono, outcome: Outcome) -> Sample {
    let lag_us = micros(sent.since(due).as_nanos() / 1000);
    let sent = due.plus(Duration::from_micros(lag_us.into()));
    Sample { due, lag_us, took_us: micros(done.since(sent).as_nanos().div_ceil(1000)), outcome }
}

fn micros(us: u128) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(0, Asked::Users, &BTreeSet::new())
    }

    fn bad(reason: &str) -> Observation {
        Observation { due: Mono(1), sent: Mono(1), done: Mono(2), ended: Ended::NoAnswer(reason.into()) }
    }

    #[test]
    fn rule_27_a_sample_holds_the_moments_that_it_was_asked_and_answered() {
        for (due, sent, done) in [(0, 0, 0), (1_000_500, 1_002_499, 1_002_501), (7, 1_999, 90_001)] {
            let sample = timed(Mono(due), Mono(sent), Mono(done), Outcome::Good);
            assert!(sample.sent() <= Mono(sent) && Mono(done) <= sample.done(), "{sample:?}");
            assert!(sample.done().since(sample.sent()) <= Duration::from_nanos(done - sent + 2_000));
        }
    }

    #[test]
    fn a_reason_is_told_once_and_keeps_its_number() {
        let mut ledger = ledger();
        ledger.record(bad("connection refused"), |r| r);
        ledger.record(bad("hunter2 is wrong"), |r| r.replace("hunter2", "(secret)"));
        let first = ledger.take(Mono(0));
        assert_eq!(first.reasons, [(0, "connection refused".into()), (1, "(secret) is wrong".into())]);
        ledger.record(bad("connection refused"), |r| r);
        let second = ledger.take(Mono(0));
        assert!(second.reasons.is_empty());
        assert_eq!(second.rows[0].outcome, Outcome::Bad(0));
    }

    #[test]
    fn endless_reasons_are_counted_together() {
        let mut ledger = ledger();
        for n in 0..2_000 {
            ledger.record(bad(&format!("{n} {}", "ä".repeat(400))), |r| r);
        }
        let batch = ledger.take(Mono(0));
        assert_eq!(batch.reasons.len(), REASONS_MAX + 1);
        assert!(batch.reasons.iter().all(|(_, text)| text.len() <= REASON_LENGTH_MAX));
        assert_eq!(batch.rows[1_999].outcome, Outcome::Bad(256));
    }
}
