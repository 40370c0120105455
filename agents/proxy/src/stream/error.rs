//! `stream.error`: an error after the answer had begun.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::written;
use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `stream.error`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Error {
    /// How many tokens pass before.
    after_tokens: u64,
    /// The event's name; none where it is empty, as OpenAI sends errors. Anthropic sends `error`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    event: String,
    /// The event's data.
    #[serde(default = "overloaded")]
    data: String,
    #[serde(flatten)]
    select: Select,
}

fn overloaded() -> String {
    r#"{"error":{"message":"The server is overloaded, try again later","type":"server_error","param":null,"code":"overloaded"}}"#.into()
}

impl Toxic for Error {
    const KIND: &'static str = "stream.error";

    fn text() -> Text {
        Text {
            summary: "sends an error in the middle of event streams, after a 200",
            about: "After so many tokens an event says that there was an error, and the stream ends in order, long after its status said \
                200: many clients never look. A token is an event with a piece of text in it: of an OpenAI style stream a chunk that \
                says something, of any other stream each event.",
            example: "inject: stream.error\ninto: model\nwith: {after_tokens: 20}\nfor: 60s",
            speaks: &[Speaks::Sse, Speaks::Http],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = self.select.check();
        if self.event.contains(['\r', '\n']) {
            errors.push(SpecError::new("event", "the name of an event is one line"));
        }
        errors
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
        vec!["streams that meet it end there, and are not resumed".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Error {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, _event: &Event, place: Place) -> OnEvent {
        if place.tokens < self.after_tokens { OnEvent::Pass } else { OnEvent::Last(written(&self.event, &self.data).into()) }
    }
}
