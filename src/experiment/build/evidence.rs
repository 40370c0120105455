//! Can the samples of this run speak of what is asked? Warned of when the file is read, because running it would only show that they cannot.

use std::time::Duration as Time;

use chaos_core::experiment::{Metric, Quantile};
use chaos_core::literal::{Comparison, Duration, Operand};

use super::Builder;
use super::method::Planned;
use crate::experiment::tree::{Node, Place};

const BILLION: u64 = 1_000_000_000;

/// An objective that needs so many samples in its window.
pub(super) struct Need {
    place: Place,
    /// What is spoken of: `99.9%`, `p99`.
    what: String,
    samples: u64,
    baseline: bool,
}

impl Need {
    /// 3/(1−q) samples for a share or quantile q; nothing for counts and times.
    pub(super) fn of(metric: &Metric, must: Comparison, value: &Node, baseline: bool) -> Option<Self> {
        let (what, parts) = match (metric, must.operand) {
            (Metric::Success, Operand::Percent(share)) => (share.to_string(), u64::from(share.parts_per_billion())),
            (Metric::Latency(Quantile::Permille(q)) | Metric::Field(Quantile::Permille(q), _), _) => {
                (metric.to_string(), u64::from(*q) * (BILLION / 1000))
            }
            _ => return None,
        };
        // Nothing less than every sample there is can speak of 100%, and no number of them is enough for more than this run.
        let rest = BILLION.checked_sub(parts).filter(|rest| *rest > 0)?;
        Some(Self { place: value.place, what, samples: (3 * BILLION).div_ceil(rest), baseline })
    }
}

impl Builder<'_> {
    /// Warns where cadence times window cannot give the samples that an objective needs.
    pub(super) fn evidence(&mut self, method: &[Planned]) {
        let longest = self.watched.iter().filter_map(|watched| watched.baseline).max();
        let method: Time = method.iter().map(|planned| planned.takes).sum();
        for watched in &self.watched {
            for need in &watched.needs {
                let window = if need.baseline { longest.unwrap_or_default().get() } else { method };
                let every = watched.every.get();
                let samples = u64::try_from(window.as_nanos() / every.as_nanos().max(1)).unwrap_or(u64::MAX);
                if samples >= need.samples || window.is_zero() {
                    continue;
                }
                let enough = every.saturating_mul(u32::try_from(need.samples).unwrap_or(u32::MAX));
                let faster = window / u32::try_from(need.samples).unwrap_or(u32::MAX);
                let hint = if need.baseline {
                    format!("sample for {s} (`for: {s}`) or every {}", rounded(faster), s = seconds(enough))
                } else {
                    format!("hold the faults for {} or sample every {}", seconds(enough), rounded(faster))
                };
                let message =
                    format!("{} samples are too few to speak of {} ({} are needed)", grouped(samples), need.what, grouped(need.samples));
                self.problems.warning(need.place, "too-few-samples", message, hint);
            }
        }
    }
}

/// Whole seconds, as they are sampled for.
fn seconds(time: Time) -> String {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    if whole <= 120 { format!("{whole}s") } else { Duration::from_secs(whole).to_string() }
}

/// Rounded down to one digit's worth, so that the cadence is a plain number.
fn rounded(time: Time) -> Duration {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let unit = if nanos >= 1_000_000 { 1_000_000 } else { 1_000 };
    Duration::from(Time::from_nanos((nanos / unit).max(1) * unit))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for (index, group) in digits.as_bytes()[first..].chunks(3).enumerate() {
        if index > 0 || first > 0 {
            text.push(',');
        }
        text.extend(group.iter().map(|digit| char::from(*digit)));
    }
    text
}
