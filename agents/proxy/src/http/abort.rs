//! `http.abort`: an answer that breaks off.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Percent, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{self, AnswerHead, Course, Limit, Meant, Select};
use crate::toxic::{Act, Ending, Speaks, Text, Toxic};

/// The fields of `http.abort`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Abort {
    /// How much of the content passes.
    #[serde(default = "nothing")]
    after: Size,
    /// How the connection ends.
    #[serde(default = "reset")]
    how: Ending,
    #[serde(flatten)]
    select: Select,
}

fn nothing() -> Size {
    Size::from_bytes(0)
}

fn reset() -> Ending {
    Ending::Reset
}

impl Toxic for Abort {
    const KIND: &'static str = "http.abort";

    fn text() -> Text {
        Text {
            summary: "breaks the connection off in the middle of an answer",
            about: "Passes the head of the answer and so much of its content, and then ends the connection; over HTTP/2 the stream alone. \
                What the client has got by then it keeps. An answer with no more content than that is not met.",
            example: "inject: http.abort\ninto: model\nwith: {after: 64KiB, path: /models/*}\nfor: 30s",
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
        vec!["answers that meet it stay broken off".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Abort {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_answer(&self, _head: &mut dyn AnswerHead, course: &mut Course) {
        course.limit = Some((self.after.bytes(), Limit::Cut(self.how)));
    }
}
