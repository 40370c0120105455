//! `tcp.limit`: cut in the middle.

use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::engine::Chance;
use crate::toxic::{Act, Direction, Ending, Meets, Pass, Stream, Text, Toxic, Transport, Way};

/// The fields of `tcp.limit`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// How many bytes pass, counted from when the connection met the fault.
    bytes: Size,
    /// How the connection ends when one more would pass.
    #[serde(default)]
    then: Ending,
    /// Which way.
    #[serde(default)]
    direction: Direction,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Limit {
    const KIND: &'static str = "tcp.limit";

    fn text() -> Text {
        Text {
            summary: "cuts connections after so many bytes",
            about: "So many bytes pass in the given direction; when one more would, the connection ends at both ends, in good order (`close`) or \
                by a reset. With `0 B` it ends at the first byte. A connection that never carries more is not touched.",
            example: "inject: tcp.limit\ninto: store\nwith: {bytes: 4 kB, then: reset, connections: 20%}\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        self.direction.claims(Self::KIND)
    }

    fn notes(&self) -> Vec<String> {
        vec!["connections that it cuts are lost".to_owned()]
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Limit {
    fn stream(&self, way: Way, _chance: Chance) -> Option<Box<dyn Stream>> {
        let counted = Counted { left: self.bytes.bytes(), then: self.then };
        self.direction.covers(way).then(|| Box::new(counted) as Box<dyn Stream>)
    }
}

struct Counted {
    left: u64,
    then: Ending,
}

impl Stream for Counted {
    fn pass(&mut self, _now: Mono, len: usize) -> Pass {
        match usize::try_from(self.left) {
            Ok(0) => Pass::End(self.then),
            Ok(left) => Pass::Now(left.min(len)),
            Err(_) => Pass::Now(len),
        }
    }

    fn sent(&mut self, _now: Mono, len: usize) {
        self.left = self.left.saturating_sub(len as u64);
    }

    fn meets(&self) -> Meets {
        Meets::TheCut
    }
}
