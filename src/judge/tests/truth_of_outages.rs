//! RULES 27: the reported intervals contain the truth, every time. Servers with outages that are known, and probers
//! with jitter, lag and answers of any length.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::{Outcome, Sample};
use proptest::prelude::*;

use super::staged::ZERO;
use crate::judge::outage::outages;
use crate::judge::recovery::{self, Watched};

/// How a server that is down treats a request.
#[derive(Debug, Clone, Copy)]
enum Down {
    Refuses,
    Swallows,
    /// It is frozen: what waits in its backlog is answered when it thaws.
    Freezes,
}

#[derive(Debug, Clone)]
struct World {
    down: Down,
    began: u64,
    lasts: u64,
    every: u64,
    timeout: u64,
    /// One of so many replicas is down, round robin.
    replicas: u64,
    /// Per request: jitter, lag, time to the server, time back; all in per mille of what they may be.
    noise: Vec<(u16, u16, u16, u16)>,
    slow: u64,
}

fn world() -> impl Strategy<Value = World> {
    (
        prop_oneof![Just(Down::Refuses), Just(Down::Swallows), Just(Down::Freezes)],
        // Late enough that some good sample was answered before the first bad one was sent: without one the beginning has no bound.
        400_000_u64..1_000_000,
        20_000_u64..3_000_000,
        2_000_u64..100_000,
        30_000_u64..600_000,
        prop::collection::vec((0_u16..1000, 0_u16..1000, 0_u16..1000, 0_u16..1000), 64),
        100_u64..80_000,
    )
        .prop_map(|(down, began, lasts, every, timeout, noise, slow)| World {
            down,
            began,
            lasts,
            every,
            timeout,
            replicas: 1,
            noise,
            slow,
        })
}

fn us(us: u64) -> Mono {
    ZERO.plus(Duration::from_micros(us))
}

impl World {
    fn samples(&self) -> Vec<Sample> {
        let until = self.began + self.lasts + 4_000_000;
        (0..until / self.every).map(|i| self.ask(i)).collect()
    }

    fn ask(&self, i: u64) -> Sample {
        let (jitter, lag, there, back) = self.noise[usize::try_from(i % 61).unwrap() % self.noise.len()];
        let part = |permille: u16, of: u64| u64::from(permille) * of / 1000;
        let due = i * self.every + part(jitter, self.every);
        let lag = part(lag, 5_000);
        let sent = due + lag;
        let arrives = sent + part(there, self.slow);
        let back = part(back, self.slow);
        let thaws = self.began + self.lasts;
        let is_down = i.is_multiple_of(self.replicas) && self.began <= arrives && arrives < thaws;
        let (done, outcome) = match (is_down, self.down) {
            (false, _) => (arrives + back, Outcome::Good),
            (true, Down::Refuses) => (arrives + back, Outcome::Bad(0)),
            (true, Down::Swallows) => (u64::MAX, Outcome::TimedOut),
            (true, Down::Freezes) => (thaws + back, Outcome::Good),
        };
        // What is not answered in time is bad, but a healthy server that is slow is no outage: the noise stays below.
        let limit = sent + self.timeout.max(2 * self.slow + 1_000);
        let (done, outcome) = if done > limit { (limit, Outcome::TimedOut) } else { (done, outcome) };
        Sample { due: us(due), lag_us: u32::try_from(lag).unwrap(), took_us: u32::try_from(done - sent).unwrap(), outcome }
    }
}

fn by_due(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort_by_key(|s| s.due);
    samples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rule_27_the_interval_of_an_outage_contains_the_truth(world in world()) {
        let samples = by_due(world.samples());
        let found = outages(&samples);
        let any_bad = samples.iter().any(Sample::is_bad);
        prop_assert_eq!(found.len(), usize::from(any_bad), "one outage is one outage");
        let (began, ended) = (us(world.began), us(world.began + world.lasts));
        for outage in found {
            prop_assert!(outage.began_after.unwrap() <= began && began <= outage.began_before);
            prop_assert!(outage.ended_after <= ended && ended <= outage.ended_before.unwrap());
            let truth = Duration::from_micros(world.lasts);
            prop_assert!(outage.at_least() <= truth && truth <= outage.at_most().unwrap());
        }
    }

    #[test]
    fn rule_27_the_interval_of_a_recovery_contains_the_truth(world in world()) {
        let samples = by_due(world.samples());
        let watched = Watched { samples: &samples, hold: Duration::from_millis(800), reach: Duration::from_secs(1) };
        let ended = us(world.began + world.lasts);
        match recovery::run(&watched, us(world.began), &[]) {
            recovery::Outcome::Recovered { after, before, .. } => {
                prop_assert!(after <= ended && ended <= before, "{:?} {:?} {:?}", after, ended, before);
            }
            recovery::Outcome::Unaffected => prop_assert!(!samples.iter().any(Sample::is_bad)),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Requests of the other replicas succeed all along: one good sample is no recovery.
    #[test]
    fn rule_27_the_interval_of_a_recovery_contains_the_truth_with_one_replica_of_three_down(
        world in world(),
        replicas in 2_u64..4,
    ) {
        let world = World { replicas, lasts: world.lasts + 20 * world.every + 2 * world.timeout, ..world };
        let samples = by_due(world.samples());
        let watched = Watched { samples: &samples, hold: Duration::from_millis(800), reach: Duration::from_secs(1) };
        let (began, ended) = (us(world.began), us(world.began + world.lasts));
        if let recovery::Outcome::Recovered { after, before, .. } = recovery::run(&watched, began, &[]) {
            prop_assert!(after <= ended && ended <= before, "{:?} {:?} {:?}", after, ended, before);
        }
    }
}

/// The trap of RULES 27, as measured: a process frozen for exactly one second, probed every 20 ms with a timeout of
/// 300 ms. By due times alone the answer was 0.68 s to 0.72 s.
#[test]
fn rule_27_what_waits_in_a_backlog_and_succeeds_does_not_shorten_the_outage() {
    let world = World {
        down: Down::Freezes,
        began: 500_000,
        lasts: 1_000_000,
        every: 20_000,
        timeout: 300_000,
        replicas: 1,
        noise: vec![(0, 0, 0, 500)],
        slow: 4_000,
    };
    let samples = world.samples();
    let found = outages(&samples);
    let [outage] = found.as_slice() else { panic!("{found:?}") };
    let (low, high) = (outage.at_least(), outage.at_most().unwrap());
    assert!(low <= Duration::from_secs(1) && Duration::from_secs(1) <= high);
    assert!(low >= Duration::from_millis(380), "{low:?}");
    assert!(high <= Duration::from_millis(1_045), "{high:?}");
}

#[test]
fn two_outages_are_told_apart() {
    let bad = |due: u64| Sample { due: us(due), lag_us: 0, took_us: 1_000, outcome: Outcome::Bad(0) };
    let good = |due: u64| Sample { outcome: Outcome::Good, ..bad(due) };
    let samples: Vec<Sample> = (0..100)
        .map(|i| i * 20_000)
        .map(|due| match due {
            200_000..400_000 | 1_000_000..1_200_000 => bad(due),
            _ => good(due),
        })
        .collect();
    let found = outages(&samples);
    assert_eq!(found.iter().map(|o| o.bad).collect::<Vec<_>>(), [10, 10]);
}
