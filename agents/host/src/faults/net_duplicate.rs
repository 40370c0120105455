//! `net.duplicate`: packets come twice.

use chaos_core::fault::SpecError;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape, WAITING_MAX, part, part_or_none, some_share};
use crate::net::qdisc::{Discipline, Netem};
use crate::net::traffic::Traffic;

/// A share of the packets meant comes twice.
pub(crate) struct NetDuplicate;

/// How many.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The share that comes twice.
    pub(crate) share: Percent,
    /// How much a packet's fate is like that of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Percent>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

impl Shape for NetDuplicate {
    type Spec = Spec;
    const KIND: &'static str = "net.duplicate";

    fn about() -> About {
        About {
            summary: "packets come twice, as where a path is switched over",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root, which sends the share asked \
                for twice, one right behind the other.\n\n\
                TCP throws the second away; whoever uses UDP must do so itself. Needs `sch_netem` in the kernel.",
            example: "inject: net.duplicate\ninto: replicas\npick: 1\nwith: {share: 5%, direction: both}\nfor: 30s",
            rampable: &[],
        }
    }

    fn check(spec: &Spec) -> Vec<SpecError> {
        some_share("share", spec.share).into_iter().collect()
    }

    fn traffic(spec: &Spec) -> &Traffic {
        &spec.traffic
    }

    fn with_traffic(spec: Spec, traffic: Traffic) -> Spec {
        Spec { traffic, ..spec }
    }

    fn discipline(spec: &Spec, _: u32) -> Discipline {
        Discipline::Netem(Netem {
            limit: WAITING_MAX,
            duplicate: part(spec.share),
            duplicate_correlation: part_or_none(spec.correlation),
            ..Netem::default()
        })
    }
}
