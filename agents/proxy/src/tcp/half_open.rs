//! `tcp.half_open`: the other side is gone and nobody said so.

use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::all;
use crate::toxic::{Act, Fate, Text, Toxic, Transport};

/// The fields of `tcp.half_open`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HalfOpen {
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for HalfOpen {
    const KIND: &'static str = "tcp.half_open";

    fn text() -> Text {
        Text {
            summary: "leaves clients with connections whose other side is gone",
            about: "As after a crash of the machine at the other end: the upstream side of a connection is reset, and the client is not told. What \
                the client sends is taken and never answered. New connections are accepted and reach no upstream. Only a timeout of \
                the client's own ends its waiting; one that has closed is forgotten after 5 s.\n\nConnections that met it do not heal: they are reset when the fault is \
                taken back.",
            example: "inject: tcp.half_open\ninto: store\nwith: {connections: 50%}\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn notes(&self) -> Vec<String> {
        vec!["connections that meet it are lost: they are reset when it is taken back".to_owned()]
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for HalfOpen {
    fn fate(&self) -> Option<Fate> {
        Some(Fate::HalfOpen)
    }
}
