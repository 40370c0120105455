//! `s3.slow_down`: a store that is asked too much.

use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::Objects;
use crate::http::{self, Meant, OnRequest, OwnAnswer, RequestHead};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `s3.slow_down`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SlowDown {
    /// Sent as `Retry-After`, in whole seconds, rounded up. S3 itself sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Time>,
    #[serde(flatten)]
    select: Objects,
}

/// As S3 says it (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message><RequestId>CHAOS</RequestId></Error>";

impl Toxic for SlowDown {
    const KIND: &'static str = "s3.slow_down";

    fn text() -> Text {
        Text {
            summary: "answers 503 SlowDown",
            about: "Answers as S3 does when a prefix gets more requests than it can take: status 503, error code `SlowDown`. The requests \
                that are meant never get to the store.",
            example: "inject: s3.slow_down\ninto: store\nwith: {operations: [GetObject, ListObjects], requests: 50%}\nfor: 60s",
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
        vec!["requests that meet it never get to the store, and are not sent later".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for SlowDown {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_request(&self, _request: &dyn RequestHead) -> OnRequest {
        let mut fields = vec![("content-type".to_owned(), "application/xml".to_owned())];
        if let Some(after) = self.retry_after {
            fields.push(("retry-after".to_owned(), after.get().as_millis().div_ceil(1_000).to_string()));
        }
        OnRequest::Answer(OwnAnswer { status: 503, fields, body: SLOW_DOWN.into() })
    }
}
