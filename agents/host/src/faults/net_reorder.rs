//! `net.reorder`: packets overtake one another.

use chaos_core::fault::SpecError;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape, WAITING_MAX, nanoseconds, part, part_or_none, some_share};
use crate::net::qdisc::{Discipline, Netem};
use crate::net::traffic::Traffic;

/// A share of the packets meant overtakes the others.
pub(crate) struct NetReorder;

/// How many, and how far.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The share that is sent at once, and so overtakes those that wait.
    pub(crate) share: Percent,
    /// How long all others wait: how far is overtaken. Default: `10ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<Duration>,
    /// How much a packet's fate is like that of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Percent>,
    /// Between two that may overtake, so many wait in any case. Left out: every packet may overtake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<u32>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

const WAITS: Duration = Duration::from_millis(10);

impl Shape for NetReorder {
    type Spec = Spec;
    const KIND: &'static str = "net.reorder";

    fn about() -> About {
        About {
            summary: "packets overtake one another, as over several paths",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root: all of them wait \
                for `delay`, except the share asked for, which is sent at once.\n\n\
                So the others are late by `delay`, too. TCP puts them in order again, and may take what is overtaken for lost; whoever \
                uses UDP must do so itself. Needs `sch_netem` in the kernel.",
            example: "inject: net.reorder\ninto: replicas\npick: 1\nwith: {share: 25%, delay: 20ms}\nfor: 30s",
            rampable: &[],
        }
    }

    fn check(spec: &Spec) -> Vec<SpecError> {
        let mut errors: Vec<SpecError> = some_share("share", spec.share).into_iter().collect();
        if spec.delay.is_some_and(|d| d.is_zero()) {
            errors.push(SpecError::new("delay", "where nothing waits, nothing is overtaken").hint("for example `10ms`"));
        }
        if spec.gap == Some(0) {
            errors.push(SpecError::new("gap", "at least 1: every packet may overtake").hint("leave it out"));
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
        Discipline::Netem(Netem {
            delay: nanoseconds(spec.delay.unwrap_or(WAITS)),
            limit: WAITING_MAX,
            reorder: part(spec.share),
            reorder_correlation: part_or_none(spec.correlation),
            // `tc` says 1 where nothing is said; with 0 the kernel would reorder nothing.
            gap: spec.gap.unwrap_or(1),
            ..Netem::default()
        })
    }
}
