//! `tcp.slow_close`: ends arrive late.

use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Meets, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.slow_close`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowClose {
    /// How much later the end arrives.
    delay: Duration,
    /// Which way.
    #[serde(default)]
    direction: Direction,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for SlowClose {
    const KIND: &'static str = "tcp.slow_close";

    fn text() -> Text {
        Text {
            summary: "delays the end of connections, not their bytes",
            about: "Bytes pass as they come; the end of a direction (FIN, or a reset) is passed on so much later. Whoever reads to the end of a \
                stream waits, and pools of connections fill with ones that have ended.",
            example: "inject: tcp.slow_close\ninto: store\nwith: {delay: 5s}\nfor: 30s",
            speaks: &[],
            rampable: &["delay"],
            reversibility: Reversibility::Exact,
        }
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

impl Transport for SlowClose {
    fn stream(&self, way: Way, _chance: Chance) -> Option<Box<dyn Stream>> {
        let late = Late { by: self.delay.get() };
        self.direction.covers(way).then(|| Box::new(late) as Box<dyn Stream>)
    }
}

struct Late {
    by: std::time::Duration,
}

impl Stream for Late {
    fn end_due(&mut self, arrived: Mono) -> Mono {
        arrived.plus(self.by)
    }

    fn meets(&self) -> Meets {
        Meets::TheEnd
    }
}
