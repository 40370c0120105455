//! Noticing that the machine slept: `CLOCK_BOOTTIME` went on while `CLOCK_MONOTONIC` stood.

use std::time::Duration;

use crate::clock::{Boot, Mono};

/// The two clocks that drift apart only while a machine sleeps.
pub trait Clocks: Send {
    /// How far `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`.
    fn slept_so_far(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClocks;

impl Clocks for SystemClocks {
    fn slept_so_far(&self) -> Duration {
        let (mono, boot) = (Mono::now(), Boot::now());
        Duration::from_nanos(boot.0.saturating_sub(mono.0))
    }
}

/// Compares the clocks from time to time.
#[derive(Debug)]
pub struct SleepWatch<C> {
    clocks: C,
    last: Duration,
}

/// Reading two clocks one after the other is not exact; no sleep is this short.
const SHORTEST_SLEEP: Duration = Duration::from_millis(500);

impl<C: Clocks> SleepWatch<C> {
    /// Begins to compare.
    pub fn new(clocks: C) -> Self {
        let last = clocks.slept_so_far();
        Self { clocks, last }
    }

    /// How long the machine slept since the last look, if it did.
    pub fn look(&mut self) -> Option<Duration> {
        let now = self.clocks.slept_so_far();
        let slept = now.saturating_sub(self.last);
        self.last = now;
        (slept >= SHORTEST_SLEEP).then_some(slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Scripted(Arc<AtomicU64>);

    impl Clocks for Scripted {
        fn slept_so_far(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn rule_10_a_jump_between_the_clocks_is_a_sleep_and_jitter_is_none() {
        let apart = Arc::new(AtomicU64::new(7_000));
        let mut watch = SleepWatch::new(Scripted(Arc::clone(&apart)));
        assert_eq!(watch.look(), None);
        apart.store(7_003, Ordering::SeqCst);
        assert_eq!(watch.look(), None);
        apart.store(67_003, Ordering::SeqCst);
        assert_eq!(watch.look(), Some(Duration::from_secs(60)));
        assert_eq!(watch.look(), None, "a sleep is said once");
        assert!(SleepWatch::new(SystemClocks).look().is_none());
    }
}
