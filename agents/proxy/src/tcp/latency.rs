//! `tcp.latency`: a longer way.

use std::time::Duration;

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.latency`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    /// How much later bytes arrive.
    delay: Time,
    /// How far the delay varies: the spread of the distribution.
    #[serde(default)]
    jitter: Time,
    /// How the delay is spread around `delay`.
    #[serde(default)]
    distribution: Distribution,
    /// What was measured somewhere, instead of `jitter` and `distribution`: quantiles of what is added to `delay`, evenly spaced from
    /// the smallest to the largest. Between them is interpolated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quantiles: Vec<Time>,
    /// Which way.
    #[serde(default)]
    direction: Direction,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

/// How a delay is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    /// Evenly, from `delay - jitter` to `delay + jitter`.
    #[default]
    Uniform,
    /// Normal: `delay` is the mean, `jitter` the standard deviation; never below zero.
    Normal,
    /// Pareto of shape 3: never below `delay`, a long tail, the mean at `delay + jitter`.
    Pareto,
    /// Lognormal: `delay` is the mean, `jitter` the standard deviation.
    Lognormal,
}

impl Toxic for Latency {
    const KIND: &'static str = "tcp.latency";

    fn text() -> Text {
        Text {
            summary: "delays bytes, as a longer way does",
            about: "A true delay line: bytes are stamped when they arrive at the proxy and go on when their time has come, in order. A long \
                transfer is delayed once, not once a piece; for that a line holds up to 16 MiB in each direction (1 GiB in the whole proxy), \
                beyond which the sender feels backpressure. The end of a direction is delayed as its bytes are.\n\n\
                With `jitter` each piece draws its own delay, and none overtakes another: order is kept, as TCP keeps it. Connecting \
                itself is not delayed: the proxy accepts at once.",
            example: "inject: tcp.latency\ninto: store\nwith: {delay: 50ms, jitter: 10ms, distribution: normal}\nfor: 30s",
            speaks: &[],
            rampable: &["delay", "jitter"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.quantiles.len() == 1 {
            errors
                .push(SpecError::new("quantiles", "one quantile is no distribution").hint("at least two, for example `[0ms, 2ms, 40ms]`"));
        }
        if !self.quantiles.is_sorted() {
            errors.push(SpecError::new("quantiles", "quantiles rise from the smallest to the largest"));
        }
        if !self.quantiles.is_empty() && !self.jitter.is_zero() {
            errors.push(SpecError::new("jitter", "the spread is given twice").hint("leave out `jitter`, or `quantiles`"));
        }
        if self.distribution == Distribution::Lognormal && self.delay.is_zero() && !self.jitter.is_zero() {
            errors.push(SpecError::new("delay", "a lognormal delay has a mean above zero"));
        }
        errors
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

impl Transport for Latency {
    fn stream(&self, way: Way, chance: Chance) -> Option<Box<dyn Stream>> {
        let spread =
            Spread { delay: self.delay.get(), jitter: self.jitter.get(), shape: self.distribution, quantiles: self.quantiles.clone() };
        self.direction.covers(way).then(|| Box::new(Delaying { spread, chance }) as Box<dyn Stream>)
    }
}

struct Delaying {
    spread: Spread,
    chance: Chance,
}

impl Stream for Delaying {
    fn due(&mut self, arrived: Mono) -> Mono {
        arrived.plus(self.spread.draw(&mut self.chance))
    }

    fn holds_a_line(&self) -> bool {
        true
    }
}

/// A delay and how it is spread.
#[derive(Debug, Clone)]
struct Spread {
    delay: Duration,
    jitter: Duration,
    shape: Distribution,
    quantiles: Vec<Time>,
}

/// The shape of the Pareto distribution: its mean and variance exist, its tail is long.
const SHAPE: f64 = 3.0;

impl Spread {
    fn draw(&self, chance: &mut Chance) -> Duration {
        if let [first, .., last] = self.quantiles.as_slice() {
            return self.delay + self.between(chance.share()).clamp(first.get(), last.get());
        }
        if self.jitter.is_zero() {
            return self.delay;
        }
        let (delay, jitter) = (self.delay.as_secs_f64(), self.jitter.as_secs_f64());
        let drawn = match self.shape {
            Distribution::Uniform => delay + jitter * (2.0 * chance.share() - 1.0),
            Distribution::Normal => delay + jitter * chance.normal(),
            // Inverse transform; the scale makes the mean of what is added `jitter`.
            Distribution::Pareto => delay + jitter * (SHAPE - 1.0) * ((1.0 - chance.share()).powf(-1.0 / SHAPE) - 1.0),
            Distribution::Lognormal => {
                // The parameters of the normal below, from mean and standard deviation of the lognormal.
                let variance = (1.0 + (jitter / delay).powi(2)).ln();
                (delay.ln() - variance / 2.0 + variance.sqrt() * chance.normal()).exp()
            }
        };
        Duration::try_from_secs_f64(drawn.max(0.0)).unwrap_or(Time::MAX.get())
    }

    /// The quantile at a share from 0 to 1.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list")]
    fn between(&self, share: f64) -> Duration {
        let place = share * (self.quantiles.len() - 1) as f64;
        let at = (place as usize).min(self.quantiles.len() - 2);
        let (low, high) = (self.quantiles[at].get(), self.quantiles[at + 1].get());
        low + (high - low).mul_f64(place - at as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(shape: Distribution, quantiles: &[u64]) -> (f64, f64, f64) {
        let quantiles = quantiles.iter().map(|ms| Time::from_millis(*ms)).collect();
        let spread = Spread { delay: Duration::from_millis(100), jitter: Duration::from_millis(20), shape, quantiles };
        let mut chance = Chance::new(1, 1);
        let all: Vec<f64> = (0..100_000).map(|_| spread.draw(&mut chance).as_secs_f64() * 1e3).collect();
        let mean = all.iter().sum::<f64>() / 1e5;
        let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
        (mean, deviation, all.into_iter().fold(f64::MAX, f64::min))
    }

    #[test]
    fn each_distribution_has_the_mean_and_spread_that_it_says() {
        let close = |a: f64, b: f64| (a - b).abs() < 0.6;
        let (mean, _, least) = draws(Distribution::Uniform, &[]);
        assert!(close(mean, 100.0) && least >= 80.0, "{mean} {least}");
        let (mean, deviation, _) = draws(Distribution::Normal, &[]);
        assert!(close(mean, 100.0) && close(deviation, 20.0), "{mean} {deviation}");
        let (mean, _, least) = draws(Distribution::Pareto, &[]);
        assert!(close(mean, 120.0) && least >= 100.0, "{mean} {least}");
        let (mean, deviation, _) = draws(Distribution::Lognormal, &[]);
        assert!(close(mean, 100.0) && close(deviation, 20.0), "{mean} {deviation}");
        let (mean, _, least) = draws(Distribution::Uniform, &[0, 10, 50]);
        assert!(close(mean, 117.5) && least >= 100.0, "{mean} {least}");
    }
}
