//! How many questions can be in flight, and what that costs this process.

use std::time::Duration;

use chaos_core::experiment::Question;
use chaos_core::probe::Probe;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::command::{self, Command};

/// Descriptors of the prober itself: its timer, its sets of sockets, and what the program held before.
const OWN_DESCRIPTORS: u64 = 64;

/// ⌈timeout/every⌉ × 1.5, rounded up, and at least 4: enough for a whole outage (RULES 30).
///
/// ```
/// use std::time::Duration;
/// use chaos_probe::prober::in_flight_max;
/// assert_eq!(in_flight_max(Duration::from_millis(300), Duration::from_millis(20)), 23);
/// assert_eq!(in_flight_max(Duration::from_millis(10), Duration::from_secs(1)), 4);
/// ```
#[must_use]
pub fn in_flight_max(timeout: Duration, every: Duration) -> usize {
    let at_once = timeout.as_nanos().div_ceil(every.as_nanos().max(1));
    let capacity = at_once.saturating_mul(3).div_ceil(2);
    usize::try_from(capacity).unwrap_or(usize::MAX).max(4)
}

/// File descriptors that this process needs to ask these questions in an outage, when all of them are in flight.
#[must_use]
pub fn descriptors_needed<'a>(questions: impl IntoIterator<Item = &'a Question>) -> u64 {
    let need = |q: &Question| {
        let each = if q.probe == Command::KIND { command::DESCRIPTORS } else { 1 };
        (in_flight_max(q.timeout.get(), q.every.get()) as u64).saturating_mul(each)
    };
    questions.into_iter().map(need).fold(OWN_DESCRIPTORS, u64::saturating_add)
}

/// Makes room for `needed` descriptors, raising the soft limit as far as the hard one allows.
///
/// # Errors
/// If the hard limit is lower: then the limit, for the message.
pub fn raise_descriptor_limit(needed: u64) -> Result<(), u64> {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    let hard = now.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(needed), maximum: now.maximum };
    if hard < needed || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(hard);
    }
    Ok(())
}
