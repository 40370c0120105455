//! `net.rate`: a narrower line.

use chaos_core::fault::SpecError;
use chaos_core::literal::{Rate, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shaped::{About, Shape};
use crate::net::qdisc::{Discipline, Tbf};
use crate::net::traffic::Traffic;

/// So many bytes pass in a second.
pub(crate) struct NetRate;

/// How many.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// How much passes, in each direction: `1 MB/s`, `8 Mbit/s`. Headers count.
    pub(crate) rate: Rate,
    /// How much may pass at once after a rest. Left out: 4 ms of the rate. Never less than the longest packet, which would not pass at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<Size>,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

impl Shape for NetRate {
    type Spec = Spec;
    const KIND: &'static str = "net.rate";

    fn about() -> About {
        About {
            summary: "so many bytes a second, as over a narrow line",
            about: "The packets meant are led through a device of our own (an `ifb`) with a token bucket (the kernel's `tbf`) at its root. All \
                of them together share the rate, in each direction by itself.\n\n\
                What comes faster waits, up to 200 ms of the rate or eight of the longest packets, as in a router; what does not fit is \
                lost, and TCP slows down by that. When the fault ends, what waits is still delivered, for at most a second.\n\n\
                While it acts, the device is up: a program that starts then and takes the first interface it finds should be told which to \
                take. Works without `sch_netem`.",
            example: "inject: net.rate\ninto: replicas\npick: 1\nwith: {rate: 1 MB/s, direction: both}\nfor: 30s",
            rampable: &["rate"],
        }
    }

    fn check(spec: &Spec) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match spec.rate.bytes_per_second() {
            None => errors.push(SpecError::new("rate", "a line carries bytes, not events").hint("for example `1 MB/s` or `8 Mbit/s`")),
            Some(0) => errors.push(SpecError::new("rate", "nothing at all would pass").hint("to cut it off there is `net.partition`")),
            Some(_) => {}
        }
        if spec.burst.is_some_and(|b| u32::try_from(b.bytes()).is_err()) {
            errors.push(SpecError::new("burst", "the kernel's bucket holds less than 4 GiB"));
        }
        errors
    }

    fn traffic(spec: &Spec) -> &Traffic {
        &spec.traffic
    }

    fn with_traffic(spec: Spec, traffic: Traffic) -> Spec {
        Spec { traffic, ..spec }
    }

    fn discipline(spec: &Spec, mtu: u32) -> Discipline {
        let burst = spec.burst.map(|b| u32::try_from(b.bytes()).unwrap_or(u32::MAX));
        // A ramp may pass through zero; the kernel takes no such rate.
        Discipline::Tbf(Tbf { rate: spec.rate.bytes_per_second().unwrap_or(0).max(1), burst, mtu })
    }
}
