//! `http.delay`: messages that come later.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, AnswerHead, Course, Meant, OnRequest, RequestHead, Select};
use crate::toxic::{Act, Direction, Speaks, Text, Toxic, Way};

/// The fields of `http.delay`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Delay {
    /// How long.
    delay: Time,
    /// Which messages.
    #[serde(default)]
    direction: Direction,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Delay {
    const KIND: &'static str = "http.delay";

    fn text() -> Text {
        Text {
            summary: "delays requests or answers",
            about: "Holds back the head of a request, or of an answer, for so long after it came; its body follows at once. The requests \
                behind it on a connection of HTTP/1.1 wait as well, as they would for a slow server; on HTTP/2 they do not.",
            example: "inject: http.delay\ninto: model\nwith: {delay: 300ms, methods: [POST], path: /v1/*}\nfor: 30s",
            speaks: &[Speaks::Http, Speaks::Sse, Speaks::S3],
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

impl http::Act for Delay {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_request(&self, _request: &dyn RequestHead) -> OnRequest {
        if self.direction.covers(Way::Requests) { OnRequest::Wait(self.delay.get()) } else { OnRequest::Pass }
    }

    fn on_answer(&self, _head: &mut dyn AnswerHead, course: &mut Course) {
        if self.direction.covers(Way::Answers) {
            course.wait = self.delay.get();
        }
    }
}
