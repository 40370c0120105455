//! `stream.gap`: a stream that trickles.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `stream.gap`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Gap {
    /// The least time between two tokens.
    gap: Time,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Gap {
    const KIND: &'static str = "stream.gap";

    fn text() -> Text {
        Text {
            summary: "slows event streams down, token by token",
            about: "At least so much time lies between two tokens of a stream; the first one is not delayed. The upstream feels it soon, \
                as it would a slow reader. A token is an event with a piece of text in it: of an OpenAI style stream a chunk that says \
                something, of any other stream each event.",
            example: "inject: stream.gap\ninto: model\nwith: {gap: 500ms}\nfor: 60s",
            speaks: &[Speaks::Sse, Speaks::Http],
            rampable: &["gap"],
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

impl http::Act for Gap {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, _event: &Event, place: Place) -> OnEvent {
        let left = place.since_last.filter(|_| place.is_token && place.tokens > 0).and_then(|since| self.gap.get().checked_sub(since));
        left.map_or(OnEvent::Pass, OnEvent::Wait)
    }
}
