//! `tcp.down`: gone.

use chaos_core::fault::Reversibility;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::toxic::{Act, Ending, Fate, Text, Toxic, Transport};

/// The fields of `tcp.down`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Down {
    /// How open connections end.
    #[serde(default)]
    ending: Ending,
}

impl Toxic for Down {
    const KIND: &'static str = "tcp.down";

    fn text() -> Text {
        Text {
            summary: "ends every connection and refuses new ones",
            about: "As when the program behind it is stopped: open connections end, in good order (`close`) or by a reset, and the listening socket \
                is really closed, so that the kernel refuses new ones. The port stays the proxy\'s.",
            example: "inject: tcp.down\ninto: store\nwith: {ending: reset}\nfor: 30s",
            speaks: &[],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn notes(&self) -> Vec<String> {
        vec!["every open connection is lost".to_owned()]
    }

    fn act(self) -> Act {
        Act::Transport(Box::new(self))
    }
}

impl Transport for Down {
    fn closes_listener(&self) -> bool {
        true
    }

    fn fate(&self) -> Option<Fate> {
        Some(match self.ending {
            Ending::Close => Fate::Close,
            Ending::Reset => Fate::Reset { after: std::time::Duration::ZERO, only_new: false },
        })
    }
}
