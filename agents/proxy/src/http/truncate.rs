//! `http.truncate`: an answer that is too short, and looks complete.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, AnswerHead, Course, Limit, Meant, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `http.truncate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Truncate {
    /// How much of the content passes.
    after: Size,
    #[serde(flatten)]
    select: Select,
}

impl Toxic for Truncate {
    const KIND: &'static str = "http.truncate";

    fn text() -> Text {
        Text {
            summary: "shortens answers without saying so",
            about: "Passes so much of the content and throws the rest away; `Content-Length` says the shorter length, or the last chunk \
                follows: by HTTP alone nobody can tell. An answer that breaks off visibly is `http.abort`. One with no more content \
                than that is not met.",
            example: "inject: http.truncate\ninto: model\nwith: {after: 1KiB, path: /models/*}\nfor: 30s",
            speaks: &[Speaks::Http, Speaks::Sse, Speaks::S3],
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
        vec!["answers that meet it stay shortened, and whoever keeps them keeps them so".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Truncate {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_answer(&self, _head: &mut dyn AnswerHead, course: &mut Course) {
        course.limit = Some((self.after.bytes(), Limit::Shorten));
    }
}
