//! `stream.first_token`: a stream that begins late.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `stream.first_token`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FirstToken {
    /// How long.
    delay: Time,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for FirstToken {
    const KIND: &'static str = "stream.first_token";

    fn text() -> Text {
        Text {
            summary: "delays the first token of event streams",
            about: "Holds back the first token of each stream for so long after it came; the head of the answer, and events before it (the \
                role of a chat), pass at once. What comes meanwhile follows it without further delay. A token is an event with a piece \
                of text in it: of an OpenAI style stream a chunk that says something, of any other stream each event.",
            example: "inject: stream.first_token\ninto: model\nwith: {delay: 3s}\nfor: 60s",
            speaks: &[Speaks::Sse, Speaks::Http],
            rampable: &["delay"],
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

impl http::Act for FirstToken {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, _event: &Event, place: Place) -> OnEvent {
        if place.is_token && place.tokens == 0 { OnEvent::Wait(self.delay.get()) } else { OnEvent::Pass }
    }
}
