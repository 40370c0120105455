//! `stream.stall`: a stream that stands still.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `stream.stall`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stall {
    /// How many tokens pass before.
    after_tokens: u64,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Stall {
    const KIND: &'static str = "stream.stall";

    fn text() -> Text {
        Text {
            summary: "stalls event streams after so many tokens",
            about: "After so many tokens nothing more of a stream passes, and its connection stays open. When the fault is taken back, \
                what was held back flows on: nothing is lost unless somebody gave up meanwhile. A stream that is open already stalls \
                at its next event. A token is an event with a piece of text in it: of an OpenAI style stream a chunk that says \
                something, of any other stream each event.",
            example: "inject: stream.stall\ninto: model\nwith: {after_tokens: 20, connections: 25%}\nfor: 60s",
            speaks: &[Speaks::Sse, Speaks::Http],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        self.select.check()
    }

    fn connections(&self) -> Percent {
        self.select.connections()
    }

    fn claims(&self) -> Vec<String> {
        self.select.claims(Self::KIND)
    }

    fn meets(&self, other: &Self) -> bool {
        self.select.meets(&other.select)
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Stall {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, _event: &Event, place: Place) -> OnEvent {
        if place.tokens >= self.after_tokens { OnEvent::Hold } else { OnEvent::Pass }
    }
}
