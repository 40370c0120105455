//! `tcp.rate`: a narrower way.

use std::time::Duration;

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Rate as Speed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Pass, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.rate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// How much passes in a second: bytes or bits. At least 1 B/s.
    rate: Speed,
    /// Which way.
    #[serde(default)]
    direction: Direction,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Rate {
    const KIND: &'static str = "tcp.rate";

    fn text() -> Text {
        Text {
            summary: "lets only so many bytes pass in a second",
            about: "A token bucket for each connection and direction. What a timer is late is made up for, so that the rate holds over a whole \
                transfer; after a pause at most 20 ms of the rate pass at once. The sender feels backpressure, as on a narrow link. \
                Each connection has the rate for itself: ten of them carry ten times as much.",
            example: "inject: tcp.rate\ninto: store\nwith: {rate: 100 kB/s}\nfor: 30s",
            speaks: &[],
            rampable: &["rate"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        match self.rate.bytes_per_second() {
            Some(1..) => Vec::new(),
            Some(0) => vec![
                SpecError::new("rate", "nothing would pass at this rate").hint("at least `1 B/s`; to stop everything, use `tcp.blackhole`"),
            ],
            None => vec![SpecError::new("rate", "this is a rate of events, not of bytes").hint("for example `100 kB/s` or `8 Mbit/s`")],
        }
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        self.direction.claims(Self::KIND)
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Rate {
    fn stream(&self, way: Way, _chance: Chance) -> Option<Box<dyn Stream>> {
        let bucket = Bucket { per_second: self.rate.bytes_per_second().unwrap_or(1).max(1), free: Mono(0) };
        self.direction.covers(way).then(|| Box::new(bucket) as Box<dyn Stream>)
    }
}

/// What goes at once: enough that timers are not the limit, little enough that it is a rate.
const QUANTUM: Duration = Duration::from_millis(5);
/// How much of a pause, or of a timer's lateness, is made up for.
const MADE_UP: Duration = Duration::from_millis(20);

/// A token bucket, kept as the time at which everything sent so far has been paid for.
struct Bucket {
    per_second: u64,
    free: Mono,
}

impl Bucket {
    #[allow(clippy::cast_possible_truncation, reason = "at most 25 ms of a rate")]
    fn bytes_in(&self, time: Duration) -> usize {
        (u128::from(self.per_second) * time.as_nanos() / 1_000_000_000) as usize
    }

    fn time_of(&self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Stream for Bucket {
    fn pass(&mut self, now: Mono, len: usize) -> Pass {
        if now < self.free {
            return Pass::Later(self.free);
        }
        let credit = now.since(self.free).min(MADE_UP) + QUANTUM;
        Pass::Now(self.bytes_in(credit).clamp(1, len))
    }

    fn sent(&mut self, now: Mono, len: usize) {
        self.free = self.free.max(now.minus(MADE_UP)).plus(self.time_of(len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transfer whose every wake-up is late by `late`: bytes a second over the whole.
    fn transfer(per_second: u64, bytes: usize, late: Duration) -> f64 {
        let begun = Mono(1_000_000_000);
        let (mut bucket, mut now, mut left) = (Bucket { per_second, free: Mono(0) }, begun, bytes);
        while left > 0 {
            match bucket.pass(now, left.min(65_536)) {
                Pass::Now(len) => {
                    bucket.sent(now, len);
                    left -= len;
                }
                Pass::Later(time) => now = time.plus(late),
                Pass::End(_) => unreachable!("a bucket has no end"),
            }
        }
        bytes as f64 / bucket.free.since(begun).as_secs_f64()
    }

    #[test]
    fn the_rate_holds_over_a_transfer_however_late_the_timer_is() {
        for per_second in [1_000, 100_000, 1_000_000, 10_000_000, 100_000_000] {
            for late in [0, 100, 5_000] {
                let bytes = usize::try_from(per_second).expect("small") * 3;
                let measured = transfer(per_second, bytes, Duration::from_micros(late));
                let ratio = measured / per_second as f64;
                assert!((0.99..1.02).contains(&ratio), "{per_second} B/s, {late} us late: {ratio}");
            }
        }
    }
}
