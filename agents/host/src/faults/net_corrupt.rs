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
    const LOSES: Option<&'static str> =
        Some("what arrives damaged and is accepted all the same, and whatever is made of it, is not taken back");

    fn about() -> About {
        About {
            summary: "one bit of a packet is flipped, as by bad memory on the way",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root, which flips one bit \
                in the share asked for: somewhere in the part of the packet that lies in one piece, of a large one often only its headers.\n\n\
                Checksums find that out where the receiver computes them: a damaged TCP segment is dropped and sent again, so what is felt is \
                loss. With `direction: in` a network card may have compared the checksum before the damage was done: then what is damaged is \
                accepted, as packets without a checksum are in either direction, and what is made of it is not taken back. Needs `sch_netem` in the kernel.",
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
