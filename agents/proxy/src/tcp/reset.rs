//! `tcp.reset`: connections break.

use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::toxic::{Act, Fate, Text, Toxic, Transport};

/// The fields of `tcp.reset`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reset {
    /// How long a connection lives, from when it met the fault.
    #[serde(default)]
    after: Duration,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Reset {
    const KIND: &'static str = "tcp.reset";

    fn text() -> Text {
        Text {
            summary: "resets connections (RST) at both ends",
            about: "Connections that are open are reset, new ones are accepted and reset: at once, or so long after they met the fault. What was on \
                its way is lost, as with any reset. To refuse new connections and leave open ones alone, use `tcp.refuse`.",
            example: "inject: tcp.reset\ninto: store\nwith: {after: 200ms, connections: 10%}\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn notes(&self) -> Vec<String> {
        vec!["connections that meet it are lost".to_owned()]
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Reset {
    fn fate(&self) -> Option<Fate> {
        Some(Fate::Reset { after: self.after.get(), only_new: false })
    }
}
