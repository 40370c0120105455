//! A series cut into slices of equal length, so that a million samples fit into a line.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::Series;

/// The samples due in one slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// Good ones.
    pub(super) good: usize,
    /// Bad ones.
    pub(super) bad: usize,
}

impl Slice {
    /// The share of bad ones; none: no samples.
    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    pub(super) fn bad_share(self) -> Option<f64> {
        let all = self.good + self.bad;
        (all > 0).then(|| self.bad as f64 / all as f64)
    }
}

/// `n` slices from `from` to `to`.
pub(super) fn slices(series: &Series, timeout: Duration, (from, to): (Mono, Mono), n: usize) -> Vec<Slice> {
    let mut slices = vec![Slice::default(); n];
    let length = to.0.saturating_sub(from.0).max(1);
    for sample in series.due_in(from, to).iter().filter(|s| !s.is_void(timeout)) {
        let at = u128::from(sample.due.0 - from.0) * n as u128 / u128::from(length);
        let Some(slice) = usize::try_from(at).ok().and_then(|i| slices.get_mut(i)) else {
            continue;
        };
        if sample.is_good() {
            slice.good += 1;
        } else {
            slice.bad += 1;
        }
    }
    slices
}

/// A slice as one character: the taller, the more of it failed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
pub(super) fn bar(slice: Slice) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    match slice.bad_share() {
        None => ' ',
        Some(share) if share <= 0.0 => '·',
        Some(share) => BARS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1],
    }
}
