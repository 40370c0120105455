//! `stream.malformed`: a token that cannot be read.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use chaos_protocol::sse::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::written;
use crate::http::{self, Meant, OnEvent, Place, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `stream.malformed`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Malformed {
    /// How many tokens pass before.
    after_tokens: u64,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Malformed {
    const KIND: &'static str = "stream.malformed";

    fn text() -> Text {
        Text {
            summary: "damages one token of event streams",
            about: "The data of the token after so many is cut in half, so that its JSON is none, and of its other \
                fields only its name is kept; everything after it passes as it came. A \
                token is an event with a piece of text in it: of an OpenAI style stream a chunk that says something, of any other \
                stream each event.",
            example: "inject: stream.malformed\ninto: model\nwith: {after_tokens: 5}\nfor: 60s",
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
        vec!["one token of each stream that meets it is lost".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Malformed {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_event(&self, event: &Event, place: Place) -> OnEvent {
        if !place.is_token || place.tokens != self.after_tokens {
            return OnEvent::Pass;
        }
        let half = event.data.floor_char_boundary(event.data.len() / 2);
        OnEvent::Instead(written(&event.name, &event.data[..half]).into())
    }
}
