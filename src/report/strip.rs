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

/// Gaps of at most `most` slices look like what was before them: an answer speaks until the next one.
pub(super) fn bridged(slices: &mut [Slice], most: usize) {
    let mut last: Option<usize> = None;
    for i in 0..slices.len() {
        if slices[i].bad_share().is_some() {
            last = Some(i);
        } else if let Some(from) = last.filter(|from| i - from <= most) {
            slices[i] = slices[from];
        }
    }
}

/// How many slices five cadences are, rounded up: a longer gap is one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "slices of a picture")]
pub(super) fn gap_max(every: Duration, (from, to): (Mono, Mono), n: usize) -> usize {
    let slice = to.since(from).as_secs_f64() / n as f64;
    (5.0 * every.as_secs_f64() / slice.max(1e-9)).ceil() as usize
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
