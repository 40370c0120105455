//! `tcp.blackhole`: nothing arrives, and nothing says so.

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{all, both};
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Fate, NEVER, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.blackhole`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Blackhole {
    /// Which way.
    #[serde(default = "both")]
    direction: Direction,
    /// Resets connections so long after they met it; unless given they stay open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Blackhole {
    const KIND: &'static str = "tcp.blackhole";

    fn text() -> Text {
        Text {
            summary: "lets nothing pass, while connections stay open",
            about: "As a cut cable or a dropping firewall: nothing arrives, no connection is closed, and nobody is told. New connections are \
                accepted and stay silent. What was sent meanwhile is kept, up to 64 KiB in each direction before the sender feels \
                backpressure, and goes on when the fault is taken back, as TCP would send it again.\n\n\
                With `timeout` connections are reset so long after they met it, and what they held is lost.",
            example: "inject: tcp.blackhole\ninto: store\nwith: {direction: answers, connections: 25%}\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        if self.timeout.is_some_and(Duration::is_zero) {
            return vec![SpecError::new("timeout", "connections would be reset at once").hint("use `tcp.reset`")];
        }
        Vec::new()
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        self.direction.claims(Self::KIND)
    }

    fn notes(&self) -> Vec<String> {
        self.timeout.map(|t| format!("connections that meet it are reset after {t}, and do not come back")).into_iter().collect()
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Blackhole {
    fn fate(&self) -> Option<Fate> {
        self.timeout.map(|after| Fate::Reset { after: after.get(), only_new: false })
    }

    fn stream(&self, way: Way, _chance: Chance) -> Option<Box<dyn Stream>> {
        self.direction.covers(way).then(|| Box::new(Held) as Box<dyn Stream>)
    }
}

struct Held;

impl Stream for Held {
    fn due(&mut self, _arrived: Mono) -> Mono {
        NEVER
    }
}
