//! `http.status`: an answer that the upstream never gave.

use std::collections::BTreeMap;

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration as Time, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::select::check_field;
use crate::http::{self, Meant, OnRequest, OwnAnswer, RequestHead, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `http.status`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// The status of the answer: 429, 503, 529.
    status: u16,
    /// Sent as `Retry-After`, in whole seconds, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Time>,
    /// The content of the answer. What begins with `{` or `[` is sent as `application/json`, anything else as `text/plain`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
    /// More fields of the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set_headers: BTreeMap<String, String>,
    #[serde(flatten)]
    select: Select,
}

impl Status {
    fn answer(&self) -> OwnAnswer {
        let kind = if self.body.starts_with(['{', '[']) { "application/json" } else { "text/plain; charset=utf-8" };
        let mut fields = Vec::new();
        if !self.body.is_empty() && !self.set_headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            fields.push(("content-type".to_owned(), kind.to_owned()));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.get().as_millis().div_ceil(1_000);
            fields.push(("retry-after".to_owned(), seconds.to_string()));
        }
        fields.extend(self.set_headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())));
        OwnAnswer { status: self.status, fields, body: self.body.clone().into() }
    }
}

impl Toxic for Status {
    const KIND: &'static str = "http.status";

    fn text() -> Text {
        Text {
            summary: "answers with a status of its own, instead of the upstream",
            about: "Requests that are meant never get to the upstream: the proxy answers them, in their turn. What a client sends with \
                them is taken and thrown away, and the connection goes on; it ends after the answer only where the client waits for \
                `100 Continue`, or wants it to. Everything else passes.",
            example: "inject: http.status\ninto: model\nwith: {status: 429, retry_after: 2s, path: /v1/*, requests: 50%}\nfor: 30s",
            speaks: &[Speaks::Http, Speaks::Sse, Speaks::S3],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = self.select.check();
        if !(200..=599).contains(&self.status) {
            errors.push(SpecError::new("status", format!("{} is no status of an answer", self.status)).hint("from 200 to 599"));
        }
        if !self.body.is_empty() && matches!(self.status, 204 | 205 | 304) {
            errors.push(SpecError::new("body", format!("an answer with status {} has no content", self.status)));
        }
        errors.extend(self.set_headers.iter().filter_map(|(name, value)| check_field(name, Some(value))));
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
        vec!["requests that meet it never get to the upstream, and are not sent later".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Status {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_request(&self, _request: &dyn RequestHead) -> OnRequest {
        OnRequest::Answer(self.answer())
    }
}
