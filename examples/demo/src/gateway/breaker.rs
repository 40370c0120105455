//! The circuit breaker between the gateway and its feature store: a pure state machine.
//!
//! ```text
//!             5 failures in a row
//!   closed ───────────────────────▶ open ◀──────────┐
//!     ▲                              │ 1 s passed   │ failure
//!     └──────── success ──────── half open ─────────┘   (one trial at a time)
//! ```

use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;

/// How long the store is left alone before a trial, and how long one trial may take before another
/// is let through: a trial whose user went away never reports back.
const COOLDOWN: Duration = Duration::from_secs(1);

/// Whether questions reach the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    /// They do; so many failed in a row so far.
    Closed { failures: u32 },
    /// They do not, before this moment.
    Open { until: Instant },
    /// One does; the next not before this moment.
    HalfOpen { until: Instant },
}

impl Breaker {
    /// Begins closed.
    pub(super) fn new() -> Self {
        Breaker::Closed { failures: 0 }
    }

    /// May a question reach the store now?
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match *self {
            Breaker::Closed { .. } => true,
            Breaker::Open { until } | Breaker::HalfOpen { until } => {
                let trial = now >= until;
                if trial {
                    *self = Breaker::HalfOpen { until: now + COOLDOWN };
                }
                trial
            }
        }
    }

    /// The store answered in time.
    pub(super) fn succeeded(&mut self) {
        // A late answer to a question from before does not close an open breaker; a trial's does.
        if !matches!(self, Breaker::Open { .. }) {
            *self = Breaker::new();
        }
    }

    /// The store did not answer in time, or with an error.
    pub(super) fn failed(&mut self, now: Instant) {
        *self = match *self {
            Breaker::Closed { failures } if failures + 1 < FAILURES => Breaker::Closed { failures: failures + 1 },
            Breaker::Open { until } => Breaker::Open { until },
            Breaker::Closed { .. } | Breaker::HalfOpen { .. } => Breaker::Open { until: now + COOLDOWN },
        };
    }

    /// The state as `/breaker` names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Breaker::Closed { .. } => "closed",
            Breaker::Open { .. } => "open",
            Breaker::HalfOpen { .. } => "half open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..FAILURES {
            assert!(breaker.admits(now));
            breaker.failed(now);
        }
        assert_eq!(breaker.name(), "open");
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 0..3 {
            (1..FAILURES).for_each(|_| breaker.failed(now));
            breaker.succeeded();
        }
        assert_eq!(breaker, Breaker::new());
        assert!(!opened(now).admits(now + COOLDOWN / 2));
    }

    #[test]
    fn after_the_cooldown_one_trial_decides() {
        let now = Instant::now();
        let later = now + COOLDOWN;
        let mut breaker = opened(now);
        assert!(breaker.admits(later));
        assert_eq!(breaker.name(), "half open");
        assert!(!breaker.admits(later), "only one trial at a time");
        breaker.failed(later);
        assert_eq!(breaker.name(), "open");
        assert!(breaker.admits(later + COOLDOWN));
        breaker.succeeded();
        assert_eq!(breaker.name(), "closed");
    }

    #[test]
    fn a_trial_that_never_reports_does_not_lock_the_breaker() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admits(now + COOLDOWN));
        assert!(breaker.admits(now + 2 * COOLDOWN));
    }

    #[test]
    fn an_answer_from_before_does_not_close_an_open_breaker() {
        let mut breaker = opened(Instant::now());
        breaker.succeeded();
        assert_eq!(breaker.name(), "open");
    }
}
