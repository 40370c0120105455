//! `s3.stall`: an object that never ends.

use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::Objects;
use crate::http::{self, AnswerHead, Course, Limit, Meant};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `s3.stall`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stall {
    /// How much of the object passes.
    after: Size,
    #[serde(flatten)]
    select: Objects,
}

impl Toxic for Stall {
    const KIND: &'static str = "s3.stall";

    fn text() -> Text {
        Text {
            summary: "stalls objects half-way",
            about: "Passes so much of an object, and then nothing more, with the connection left open. When the fault is taken back the \
                rest flows on: nothing is lost unless somebody gave up meanwhile.",
            example: "inject: s3.stall\ninto: store\nwith: {after: 1MiB, objects: models/*}\nfor: 60s",
            speaks: &[Speaks::S3],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn connections(&self) -> Percent {
        self.select.connections()
    }

    fn claims(&self) -> Vec<String> {
        self.select.claims(Self::KIND)
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Stall {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_answer(&self, _head: &mut dyn AnswerHead, course: &mut Course) {
        course.limit = Some((self.after.bytes(), Limit::Hold));
    }
}
