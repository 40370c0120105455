//! `stream.cut`: a stream that breaks off.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Ending, Speaks, Text, Toxic};

/// The fields of `stream.cut`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Cut {
    /// How many tokens pass before.
    after_tokens: u64,
    /// How the connection ends.
    #[serde(default)]
    how: Ending,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Cut {
    const KIND: &'static str = "stream.cut";

    fn text() -> Text {
        Text {
            summary: "cuts event streams after so many tokens",
            about: "After so many tokens the connection ends, over HTTP/2 the stream alone: no finish reason, no `[DONE]`, no last chunk. \
                A stream that is open already is cut at its next event. A token is an event with a piece of text in it: of an OpenAI \
                style stream a chunk that says something, of any other stream each event.",
            example: "inject: stream.cut\ninto: model\nwith: {after_tokens: 20, connections: 25%}\nfor: 60s",
            speaks: &[Speaks::Sse, Speaks::Http],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
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

    fn notes(&self) -> Vec<String> {
        vec!["streams that meet it stay cut".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Cut {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, _event: &Event, place: Place) -> OnEvent {
        if place.tokens >= self.after_tokens { OnEvent::Cut(self.how) } else { OnEvent::Pass }
    }
}
