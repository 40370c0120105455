//! `tcp.refuse`: nobody listens.

use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::toxic::{Act, Fate, Text, Toxic, Transport};

/// The fields of `tcp.refuse`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Refuse {
    const KIND: &'static str = "tcp.refuse";

    fn text() -> Text {
        Text {
            summary: "refuses new connections, while open ones go on",
            about: "The listening socket is really closed, so the kernel refuses, as when the program behind it is not running; what waited to be \
                accepted is reset. The port stays the proxy\'s: nobody can take it meanwhile. Refusals are the kernel\'s and are not \
                counted.\n\nWith a share below `100%` the socket stays open, and that share of new connections is reset as soon as it is \
                accepted.",
            example: "inject: tcp.refuse\ninto: store\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Refuse {
    fn closes_listener(&self) -> bool {
        self.connections == Percent::HUNDRED
    }

    fn fate(&self) -> Option<Fate> {
        let resets = !self.closes_listener();
        resets.then_some(Fate::Reset { after: std::time::Duration::ZERO, only_new: true })
    }
}
