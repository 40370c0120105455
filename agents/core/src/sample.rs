//! One answer of a probe, with its times. A sample observes some instant between sent and done (RULES 27).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Mono;

/// How a question ended. A probe never judges: good and bad come from the hypothesis' `good:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered in time, and good.
    Good,
    /// Answered in time, and bad; the number is the reason's in [`SampleBatch::reasons`] or [`Series::reasons`].
    Bad(u16),
    /// No answer within the timeout: bad, and its latency is censored.
    TimedOut,
    /// Never asked, because too many were in flight or the prober was far too late: its own failure, void (RULES 30).
    Shed,
}

impl Outcome {
    const SHED: u16 = u16::MAX;
    const TIMED_OUT: u16 = u16::MAX - 1;

    fn code(self) -> u16 {
        match self {
            Self::Good => 0,
            Self::Bad(reason) => reason.saturating_add(1).min(Self::TIMED_OUT - 1),
            Self::TimedOut => Self::TIMED_OUT,
            Self::Shed => Self::SHED,
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Good,
            Self::TIMED_OUT => Self::TimedOut,
            Self::SHED => Self::Shed,
            n => Self::Bad(n - 1),
        }
    }
}

/// One question and how it ended. 24 bytes, so that a million of them are nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it was to be asked: fixed in advance. Latency runs from here (open loop).
    pub due: Mono,
    /// How much later than due it was sent: the prober's own lag, in microseconds, rounded down.
    pub lag_us: u32,
    /// From sent to done, in microseconds, rounded up.
    pub took_us: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Sample {
    /// When the question was sent.
    #[must_use]
    pub fn sent(&self) -> Mono {
        self.due.plus(Duration::from_micros(u64::from(self.lag_us)))
    }

    /// When the answer was complete, or the timeout ended.
    #[must_use]
    pub fn done(&self) -> Mono {
        self.sent().plus(Duration::from_micros(u64::from(self.took_us)))
    }

    /// From the due time to done.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.done().since(self.due)
    }

    /// Answered in time and good.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.outcome == Outcome::Good
    }

    /// Bad for the user: answered badly or not in time. A shed sample is neither good nor bad.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, Outcome::Bad(_) | Outcome::TimedOut)
    }

    /// Says nothing: never asked, or asked so late that it observed another moment than it was due
    /// (lag above max(timeout/4, 50 ms), RULES 30).
    #[must_use]
    pub fn is_void(&self, timeout: Duration) -> bool {
        let limit = (timeout / 4).max(Duration::from_millis(50));
        self.outcome == Outcome::Shed || Duration::from_micros(u64::from(self.lag_us)) > limit
    }
}

/// As `[due_ns, lag_us, took_us, outcome]`, because there are many.
impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.due, self.lag_us, self.took_us, self.outcome.code()).serialize(s)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (due, lag_us, took_us, code) = <(Mono, u32, u32, u16)>::deserialize(d)?;
        Ok(Self { due, lag_us, took_us, outcome: Outcome::from_code(code) })
    }
}

/// Which question of a hypothesis: the one that its users ask, or the one that asks the system about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The hypothesis' own probe.
    Users,
    /// Its `health:` probe.
    Health,
}

/// Some samples of one question, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleBatch {
    /// Index of the hypothesis in the experiment.
    pub hypothesis: usize,
    /// Which of its questions.
    pub asked: Asked,
    /// The samples.
    pub rows: Vec<Sample>,
    /// Reasons new in this batch, as `(number, text)`; numbers are per question and never reused in a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<(u16, String)>,
    /// For each field that an objective speaks of, its value in each row (`null`: none). Named as in `fields`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<FieldColumn>,
}

/// The values of one field over the rows of a batch: numbers as they are, durations in seconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldColumn {
    /// The field.
    pub field: String,
    /// One value a row.
    pub values: Vec<Option<f64>>,
}

/// Everything one question gave in a run, by due time.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// By due time (see [`Series::sort`]).
    pub samples: Vec<Sample>,
    /// What each reason number says.
    pub reasons: Vec<String>,
    /// Columns parallel to `samples`.
    pub fields: Vec<FieldColumn>,
}

impl Series {
    /// Adds a batch.
    pub fn push(&mut self, batch: &SampleBatch) {
        for (number, text) in &batch.reasons {
            let at = usize::from(*number);
            if self.reasons.len() <= at {
                self.reasons.resize(at + 1, String::new());
            }
            self.reasons[at].clone_from(text);
        }
        let before = self.samples.len();
        self.samples.extend_from_slice(&batch.rows);
        for column in &batch.values {
            let mine = match self.fields.iter_mut().position(|c| c.field == column.field) {
                Some(i) => &mut self.fields[i],
                None => {
                    self.fields.push(FieldColumn { field: column.field.clone(), values: vec![None; before] });
                    self.fields.last_mut().expect("just pushed")
                }
            };
            mine.values.resize(before, None);
            mine.values.extend_from_slice(&column.values);
        }
        for column in &mut self.fields {
            column.values.resize(self.samples.len(), None);
        }
    }

    /// Puts samples (and columns) in order of due time. Call once, before judging.
    pub fn sort(&mut self) {
        if self.samples.is_sorted_by_key(|s| s.due) {
            return;
        }
        let mut order: Vec<u32> = (0..u32::try_from(self.samples.len()).unwrap_or(u32::MAX)).collect();
        order.sort_by_key(|&i| self.samples[i as usize].due);
        for column in &mut self.fields {
            column.values = order.iter().map(|&i| column.values[i as usize]).collect();
        }
        self.samples.sort_by_key(|s| s.due);
    }

    /// The samples due in `[from, to)`. The series must be sorted.
    #[must_use]
    pub fn due_in(&self, from: Mono, to: Mono) -> &[Sample] {
        let a = self.samples.partition_point(|s| s.due < from);
        let b = self.samples.partition_point(|s| s.due < to);
        &self.samples[a..b.max(a)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_24_bytes_and_survives_json() {
        assert!(size_of::<Sample>() <= 24);
        for outcome in [Outcome::Good, Outcome::Bad(0), Outcome::Bad(700), Outcome::TimedOut, Outcome::Shed] {
            let s = Sample { due: Mono(12), lag_us: 3, took_us: 4, outcome };
            let text = serde_json::to_string(&s).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), s);
        }
    }

    #[test]
    fn sorting_keeps_columns_with_their_samples() {
        let row = |due| Sample { due: Mono(due), lag_us: 0, took_us: 1, outcome: Outcome::Good };
        let mut series = Series::default();
        series.push(&SampleBatch {
            hypothesis: 0,
            asked: Asked::Users,
            rows: vec![row(3), row(1)],
            reasons: vec![],
            values: vec![FieldColumn { field: "ready".into(), values: vec![Some(3.0), Some(1.0)] }],
        });
        series.sort();
        assert_eq!(series.fields[0].values, [Some(1.0), Some(3.0)]);
        assert_eq!(series.due_in(Mono(1), Mono(3)).len(), 1);
    }
}
