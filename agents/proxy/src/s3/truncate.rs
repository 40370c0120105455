//! `s3.truncate`: an object that is too short.

use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::Objects;
use crate::http::{self, AnswerHead, Course, Limit, Meant};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `s3.truncate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Truncate {
    /// How much of the object passes.
    after: Size,
    #[serde(flatten)]
    select: Objects,
}

impl Toxic for Truncate {
    const KIND: &'static str = "s3.truncate";

    fn text() -> Text {
        Text {
            summary: "shortens objects without saying so",
            about: "Passes so much of an object and throws the rest away; `Content-Length` says the shorter length. Only who compares its \
                checksum, its ETag or its size elsewhere can tell.",
            example: "inject: s3.truncate\ninto: store\nwith: {after: 1MiB, objects: models/*}\nfor: 60s",
            speaks: &[Speaks::S3],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn connections(&self) -> Percent {
        self.select.connections()
    }

    fn claims(&self) -> Vec<String> {
        self.select.claims(Self::KIND)
    }

    fn notes(&self) -> Vec<String> {
        vec!["objects that meet it stay shortened, and whoever keeps them keeps them so".into()]
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
