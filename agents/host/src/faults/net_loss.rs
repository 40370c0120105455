//! `net.loss`: packets do not arrive.

use chaos_core::fault::SpecError;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape, WAITING_MAX, part, part_or_none, some_share};
use crate::net::qdisc::{Burst, Discipline, Netem};
use crate::net::traffic::Traffic;

/// A share of the packets meant is lost.
pub(crate) struct NetLoss;

/// How many: one of `share` and `gilbert_elliott`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The share that is lost, each packet by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<Percent>,
    /// How much a packet's fate is like that of the one before. Needs `share`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<Percent>,
    /// Losses in bursts, as on radio links: the line goes between a good and a bad state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gilbert_elliott: Option<GilbertElliott>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

/// Two states and what is lost in each. The mean share lost is `(r × good + p × bad) / (p + r)`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GilbertElliott {
    /// At each packet, how likely a good line turns bad.
    pub(crate) p: Percent,
    /// At each packet, how likely a bad line turns good: a burst is `1 / r` packets long.
    pub(crate) r: Percent,
    /// The share lost while the line is bad. Default: `100%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bad: Option<Percent>,
    /// The share lost while the line is good. Default: `0%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) good: Option<Percent>,
}

impl Shape for NetLoss {
    type Spec = Spec;
    const KIND: &'static str = "net.loss";

    fn about() -> About {
        About {
            summary: "packets do not arrive, one by one or in bursts",
            about: "The packets meant are led through a device of our own (an `ifb`) with the kernel's `netem` at its root, which drops the \
                share asked for; the others come back to the interface as if nothing had happened.\n\n\
                A packet is what the kernel hands down: where it leaves the cutting to the interface (segmentation offload), that is up \
                to 64 KiB of a TCP stream at once. For losing everything there is `net.partition`. Needs `sch_netem` in the kernel.",
            example: "inject: net.loss\ninto: replicas\npick: 1\nwith: {share: 5%, correlation: 25%, direction: both}\nfor: 30s",
            rampable: &[],
        }
    }

    fn check(spec: &Spec) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match (spec.share, &spec.gilbert_elliott) {
            (None, None) => errors.push(SpecError::new("share", "how much is lost?").hint("for example `share: 5%`")),
            (Some(_), Some(_)) => {
                errors.push(
                    SpecError::new("gilbert_elliott", "both `share` and `gilbert_elliott` say how much is lost")
                        .hint("leave one of them out"),
                );
            }
            (Some(share), None) => errors.extend(some_share("share", share)),
            (None, Some(chain)) => {
                errors.extend(some_share("gilbert_elliott.p", chain.p));
                errors.extend(some_share("gilbert_elliott.r", chain.r));
            }
        }
        if spec.correlation.is_some() && spec.share.is_none() {
            errors.push(SpecError::new("correlation", "needs `share`").hint("`gilbert_elliott` has bursts of its own"));
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
        let burst = |chain: GilbertElliott| Burst {
            to_bad: part(chain.p),
            to_good: part(chain.r),
            lost_in_bad: part(chain.bad.unwrap_or(Percent::HUNDRED)),
            lost_in_good: part_or_none(chain.good),
        };
        Discipline::Netem(Netem {
            limit: WAITING_MAX,
            loss: part_or_none(spec.share),
            loss_correlation: part_or_none(spec.correlation),
            burst: spec.gilbert_elliott.map(burst),
            ..Netem::default()
        })
    }
}
