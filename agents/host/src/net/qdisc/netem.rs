//! The options of `netem` (linux/pkt_sched.h): a fixed part followed by attributes.

use chaos_core::literal::Duration;
use serde::{Deserialize, Serialize};

use super::Distribution;
use crate::net::netlink::{Attributes, u32_at};

/// What `netem` does with packets. Shares are parts of 2³² − 1: all ones is always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Netem {
    /// How long each waits, in nanoseconds.
    #[serde(default)]
    pub(crate) delay: u64,
    /// How far that varies, in nanoseconds.
    #[serde(default)]
    pub(crate) jitter: u64,
    /// How much the delay of one is that of the one before.
    #[serde(default)]
    pub(crate) delay_correlation: u32,
    /// How delays are distributed around the mean; none: evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distribution: Option<Distribution>,
    /// How many may wait. More are lost.
    pub(crate) limit: u32,
    /// The share that is lost.
    #[serde(default)]
    pub(crate) loss: u32,
    /// How much the fate of one is that of the one before.
    #[serde(default)]
    pub(crate) loss_correlation: u32,
    /// Losses in bursts, instead of the two above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<Burst>,
    /// The share that comes twice.
    #[serde(default)]
    pub(crate) duplicate: u32,
    /// As above.
    #[serde(default)]
    pub(crate) duplicate_correlation: u32,
    /// The share in which one bit is flipped.
    #[serde(default)]
    pub(crate) corrupt: u32,
    /// As above.
    #[serde(default)]
    pub(crate) corrupt_correlation: u32,
    /// The share that does not wait, and so overtakes.
    #[serde(default)]
    pub(crate) reorder: u32,
    /// As above.
    #[serde(default)]
    pub(crate) reorder_correlation: u32,
    /// Every so many packets may one overtake.
    #[serde(default)]
    pub(crate) gap: u32,
    /// Bytes a second, as it is sent on. Also keeps what is delayed unevenly in its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u64>,
}

/// The chain of Gilbert and Elliott: a good state and a bad one, and how much is lost in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Burst {
    /// From good to bad, at each packet.
    pub(crate) to_bad: u32,
    /// From bad to good, at each packet.
    pub(crate) to_good: u32,
    /// Lost while bad.
    pub(crate) lost_in_bad: u32,
    /// Lost while good.
    pub(crate) lost_in_good: u32,
}

/// `struct tc_netem_qopt`.
const FIXED: usize = 24;
const CORRELATIONS: u16 = 1;
const DISTRIBUTION: u16 = 2;
const REORDER: u16 = 3;
const CORRUPT: u16 = 4;
const LOSS_MODEL: u16 = 5;
const RATE: u16 = 6;
const RATE_64: u16 = 8;
const DELAY_64: u16 = 10;
const JITTER_64: u16 = 11;
/// Within [`LOSS_MODEL`].
const GILBERT_ELLIOTT: u16 = 2;

/// The kernel's clock of packets ticks every 64 ns (`PSCHED_SHIFT`).
const TICK: u64 = 64;

fn ticks(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / TICK).unwrap_or(u32::MAX)
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // No table or number of ours is longer than that.
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_ne_bytes()).collect()
}

impl Netem {
    /// As the kernel takes them.
    pub(super) fn options(&self) -> Vec<u8> {
        let mut out = numbers(&[ticks(self.delay), self.limit, self.loss, self.gap, self.duplicate, ticks(self.jitter)]);
        let correlations = [self.delay_correlation, self.loss_correlation, self.duplicate_correlation];
        if correlations != [0; 3] {
            attribute(&mut out, CORRELATIONS, &numbers(&correlations));
        }
        if self.reorder != 0 {
            attribute(&mut out, REORDER, &numbers(&[self.reorder, self.reorder_correlation]));
        }
        if self.corrupt != 0 {
            attribute(&mut out, CORRUPT, &numbers(&[self.corrupt, self.corrupt_correlation]));
        }
        if let Some(burst) = self.burst {
            let mut model = Vec::new();
            attribute(&mut model, GILBERT_ELLIOTT, &numbers(&burst.model()));
            attribute(&mut out, LOSS_MODEL | crate::net::netlink::NESTED, &model);
        }
        if let Some(rate) = self.rate {
            if rate > u64::from(u32::MAX) {
                attribute(&mut out, RATE_64, &rate.to_ne_bytes());
            }
            attribute(&mut out, RATE, &numbers(&[u32::try_from(rate).unwrap_or(u32::MAX), 0, 0, 0]));
        }
        attribute(&mut out, DELAY_64, &signed(self.delay).to_ne_bytes());
        attribute(&mut out, JITTER_64, &signed(self.jitter).to_ne_bytes());
        if let Some(distribution) = self.distribution {
            let table: Vec<u8> = distribution.table().iter().flat_map(|v| v.to_ne_bytes()).collect();
            attribute(&mut out, DISTRIBUTION, &table);
        }
        out
    }

    /// Are these its options, as the kernel says them? Delay apart, which a ramp moves. The table of a distribution is not said.
    pub(super) fn is(&self, said: &[u8]) -> bool {
        let fixed: [u32; 6] = std::array::from_fn(|at| u32_at(said, at * 4).unwrap_or(0));
        let attributes = Attributes::new(said.get(FIXED..).unwrap_or_default());
        let pair = |kind| {
            let value = attributes.get(kind).map(|a| a.value).unwrap_or_default();
            [u32_at(value, 0).unwrap_or(0), u32_at(value, 4).unwrap_or(0)]
        };
        let correlations = attributes.get(CORRELATIONS).map(|a| a.value.to_vec()).unwrap_or(vec![0; 12]);
        let model = attributes.within(LOSS_MODEL).get(GILBERT_ELLIOTT).map(|a| a.value.to_vec());
        let jitter = attributes.get(JITTER_64).and_then(|a| a.u64()).unwrap_or(u64::from(fixed[5]) * TICK);
        let loss = if self.burst.is_some() { fixed[2] } else { self.loss };
        said.len() >= FIXED
            && fixed[1..5] == [self.limit, loss, self.gap, self.duplicate]
            && correlations == numbers(&[self.delay_correlation, self.loss_correlation, self.duplicate_correlation])
            && pair(REORDER)[0] == self.reorder
            && pair(CORRUPT) == [self.corrupt, self.corrupt_correlation]
            && model == self.burst.map(|b| numbers(&b.model()))
            && jitter / TICK == self.jitter / TICK
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        if self.delay != 0 || self.jitter != 0 {
            let spread = match (self.jitter, self.distribution) {
                (0, _) => String::new(),
                (jitter, None) => format!(" ± {}", time(jitter)),
                (jitter, Some(distribution)) => format!(" ± {} ({})", time(jitter), distribution.name()),
            };
            words.push(format!("delay {}{spread}{}", time(self.delay), alike(self.delay_correlation)));
        }
        let shares = [
            ("loss", self.loss, self.loss_correlation),
            ("duplicate", self.duplicate, self.duplicate_correlation),
            ("corrupt", self.corrupt, self.corrupt_correlation),
            ("reorder", self.reorder, self.reorder_correlation),
        ];
        words.extend(
            shares.iter().filter(|(_, part, _)| *part != 0).map(|(name, part, like)| format!("{name} {}{}", share(*part), alike(*like))),
        );
        words.extend(self.burst.map(|b| {
            let [to_bad, to_good, bad, good] = [b.to_bad, b.to_good, b.lost_in_bad, b.lost_in_good].map(share);
            format!("loss {bad} in bursts, which begin with {to_bad} and end with {to_good} of the packets, and {good} between")
        }));
        if self.gap > 1 {
            words.push(format!("every {} packets at most", self.gap));
        }
        words.join(", ")
    }
}

fn time(nanoseconds: u64) -> Duration {
    std::time::Duration::from_nanos(nanoseconds).into()
}

fn share(part: u32) -> String {
    let percent = format!("{:.4}", f64::from(part) / f64::from(u32::MAX) * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// How much one is like the one before.
fn alike(correlation: u32) -> String {
    if correlation == 0 { String::new() } else { format!(" (correlation {})", share(correlation)) }
}

fn signed(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

impl Burst {
    /// `struct tc_netem_gemodel`: p, r, h, 1 − k; the kernel wants to know how much is *kept* while bad.
    fn model(self) -> [u32; 4] {
        [self.to_bad, self.to_good, u32::MAX - self.lost_in_bad, self.lost_in_good]
    }
}
