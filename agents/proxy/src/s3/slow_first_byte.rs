//! `s3.slow_first_byte`: an object that lets one wait.

use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::Objects;
use crate::http::{self, AnswerHead, Course, Meant};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `s3.slow_first_byte`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SlowFirstByte {
    /// How long.
    delay: Time,
    #[serde(flatten)]
    select: Objects,
}

impl Toxic for SlowFirstByte {
    const KIND: &'static str = "s3.slow_first_byte";

    fn text() -> Text {
        Text {
            summary: "delays the first byte of objects",
            about: "Holds back the answer for so long after it came: the time to the first byte. The object then follows at once.",
            example: "inject: s3.slow_first_byte\ninto: store\nwith: {delay: 5s, objects: models/*}\nfor: 60s",
            speaks: &[Speaks::S3],
            rampable: &["delay"],
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

impl http::Act for SlowFirstByte {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_answer(&self, _head: &mut dyn AnswerHead, course: &mut Course) {
        course.wait = self.delay.get();
    }
}
