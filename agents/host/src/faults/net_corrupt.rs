//! `net.corrupt`: packets arrive damaged.

use chaos_core::fault::SpecError;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape, WAITING_MAX, part, part_or_none, some_share};
use crate::net::qdisc::{Discipline, Netem};
use crate::net::traffic::Traffic;

/// One bit is flipped in a share of the packets meant.
pub(crate) struct NetCorrupt;

/// How many.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The share in which one bit is flipped.
    pub(crate) share: Percent,
    /// How much a packet's fate is like that of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Percent>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

impl Shape for NetCorrupt {
    type Spec = Spec;
    const KIND: &'static str = "net.corrupt";

    fn about() -> About {
        About {
            summary: "one bit of a packet is flipped, as by bad memory on the way",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root, which flips one bit, anywhere, \
                in the share asked for.\n\n\
                Checksums find that out: a damaged TCP segment is dropped by its receiver and sent again, so what is felt is loss. Only \
                what has no checksum arrives damaged. Needs `sch_netem` in the kernel.",
            example: "inject: net.corrupt\ninto: replicas\npick: 1\nwith: {share: 5%, direction: both}\nfor: 30s",
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
            corrupt: part(spec.share),
            corrupt_correlation: part_or_none(spec.correlation),
            ..Netem::default()
        })
    }
}
