//! When a question is due. Fixed by seed, start and cadence alone; answers have no say.

use std::time::Duration;

use chaos_core::clock::Mono;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Due times `t0 + (i + Uᵢ) · every`: one in each slot, at a random place, so that nothing periodic in the system is
/// ever in step with the questions.
pub(super) struct Schedule {
    start: Mono,
    every: Duration,
    slot: u64,
    jitter: ChaCha8Rng,
    due: Mono,
}

impl Schedule {
    /// The question's number is its own stream of the seed.
    pub(super) fn new(start: Mono, every: Duration, seed: u64, question: u64) -> Self {
        let mut jitter = ChaCha8Rng::seed_from_u64(seed);
        jitter.set_stream(question);
        let every = every.max(Duration::from_micros(1));
        let mut schedule = Self { start, every, slot: 0, jitter, due: start };
        schedule.due = schedule.draw();
        schedule
    }

    /// The next due time.
    pub(super) fn due(&self) -> Mono {
        self.due
    }

    /// Takes the next due time and draws the one after it.
    pub(super) fn take(&mut self) -> Mono {
        self.slot += 1;
        let next = self.draw();
        std::mem::replace(&mut self.due, next)
    }

    fn draw(&mut self) -> Mono {
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        let slot = Duration::from_nanos(every.saturating_mul(self.slot));
        let within = self.every.mul_f64(self.jitter.random::<f64>());
        self.start.plus(slot).plus(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(20);

    fn dues(seed: u64, question: u64) -> Vec<Mono> {
        let mut schedule = Schedule::new(Mono(1_000_000), EVERY, seed, question);
        (0..1000).map(|_| schedule.take()).collect()
    }

    #[test]
    fn each_due_time_lies_in_its_own_slot() {
        for (i, due) in (0_u32..).zip(dues(7, 0)) {
            let from = Mono(1_000_000).plus(EVERY * i);
            assert!(due >= from && due <= from.plus(EVERY), "slot {i}: {due:?}");
        }
    }

    #[test]
    fn the_seed_decides_and_questions_differ() {
        assert_eq!(dues(7, 0), dues(7, 0));
        assert_ne!(dues(7, 0), dues(8, 0));
        assert_ne!(dues(7, 0), dues(7, 1));
    }

    #[test]
    fn jitter_is_spread_over_the_slot() {
        let offset = |(i, due): (u32, Mono)| due.since(Mono(1_000_000).plus(EVERY * i));
        let early = (0..).zip(dues(7, 0)).map(offset).filter(|o| *o < EVERY / 2);
        assert!((400..600).contains(&early.count()));
    }
}
