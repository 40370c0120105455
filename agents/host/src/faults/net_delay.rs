//! `net.delay`: packets take longer.

use chaos_core::fault::SpecError;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape, WAITING_MAX, nanoseconds, part_or_none};
use crate::net::qdisc::{Discipline, Distribution, Netem};
use crate::net::traffic::Traffic;

/// Every packet meant waits.
pub(crate) struct NetDelay;

/// How long.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// How long each packet waits.
    pub(crate) delay: Duration,
    /// How far that varies, up and down. Packets keep their order, so a slow one holds up those behind it: the busier the line, the
    /// more the mean is above `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jitter: Option<Duration>,
    /// How much a packet's delay is like that of the one before. Needs `jitter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Percent>,
    /// How delays are spread around their mean; left out: evenly between `delay - jitter` and `delay + jitter`. Needs `jitter`, which is
    /// then the standard deviation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distribution: Option<Distribution>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

/// In bytes a second: so fast that it delays nothing, but a packet is never sent before the one that came earlier.
const IN_ORDER: u64 = 1_000_000_000_000;

impl Shape for NetDelay {
    type Spec = Spec;
    const KIND: &'static str = "net.delay";

    fn about() -> About {
        About {
            summary: "packets take longer, as over a long or busy line",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root, and come back to \
                the interface as if nothing had happened: whatever stands at the interface's own root stays in force, untouched.\n\n\
                Each packet of the chosen direction waits once, so a round trip grows by `delay` with `direction: out` or `in`, and by \
                twice as much with `both`. On `lo` a packet that belongs to both directions waits once. At most 100,000 packets wait at once; \
                more are lost. Each may be of 64 kB, where the network card cuts them up: the kernel's memory holds what a fast line carries in \
                `delay`. When the fault ends, what waits is still delivered, for at most a second.\n\n\
                While it acts, the device is up: a program that starts then and takes the first interface it finds should be told which to \
                take. Needs `sch_netem` in the kernel.",
            example: "inject: net.delay\ninto: replicas\npick: 1\nwith: {delay: 100ms, jitter: 10ms, hosts: [10.0.0.0/8], ports: 6379}\nfor: 30s",
            rampable: &["delay"],
        }
    }

    fn check(spec: &Spec) -> Vec<SpecError> {
        let mut errors = Vec::new();
        let jitter = spec.jitter.filter(|j| !j.is_zero());
        if spec.delay.is_zero() && jitter.is_none() {
            errors.push(SpecError::new("delay", "no delay at all delays nothing").hint("for example `100ms`"));
        }
        for (path, given) in [("correlation", spec.correlation.is_some()), ("distribution", spec.distribution.is_some())] {
            if given && jitter.is_none() {
                errors.push(
                    SpecError::new(path, format!("without `jitter` every delay is the same, and `{path}` says nothing"))
                        .hint("add `jitter`"),
                );
            }
        }
        if spec.jitter.is_some_and(|j| j > spec.delay) && spec.distribution.is_none() {
            errors.push(SpecError::new("jitter", "delays would begin before zero").hint("at most as much as `delay`"));
        }
        errors
    }

    fn traffic(spec: &Spec) -> &Traffic {
        &spec.traffic
    }

    fn with_traffic(spec: Spec, traffic: Traffic) -> Spec {
        Spec { traffic, ..spec }
    }

    fn discipline(spec: &Spec, _: u32) -> Discipline {
        let jitter = spec.jitter.map_or(0, nanoseconds);
        Discipline::Netem(Netem {
            delay: nanoseconds(spec.delay),
            jitter,
            delay_correlation: part_or_none(spec.correlation),
            distribution: spec.distribution,
            limit: WAITING_MAX,
            rate: (jitter > 0).then_some(IN_ORDER),
            ..Netem::default()
        })
    }
}
