//! `http.replace`: an answer that says something else.

use std::collections::BTreeMap;

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::select::check_field;
use crate::http::{self, AnswerHead, Course, Meant, Select};
use crate::toxic::{Act, Speaks, Text, Toxic};

/// The fields of `http.replace`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Replace {
    /// Another status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Fields that are set; null takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set_headers: BTreeMap<String, Option<String>>,
    /// Other content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// What changes in JSON content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patch: Option<Value>,
    #[serde(flatten)]
    select: Select,
}

impl Replace {
    fn change(&self, head: &mut dyn AnswerHead, course: &mut Course) {
        course.changed = self.status.is_some() || !self.set_headers.is_empty();
        if let Some(status) = self.status {
            head.set_status(status);
        }
        for (name, value) in &self.set_headers {
            match value {
                Some(value) => head.set(name, value),
                None => head.remove(name),
            }
        }
    }
}

fn patched(content: &[u8], patch: &Value) -> Option<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(content).ok()?;
    merge(&mut json, patch);
    serde_json::to_vec(&json).ok()
}

/// JSON merge patch (RFC 7396 section 2).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

impl Toxic for Replace {
    const KIND: &'static str = "http.replace";

    fn text() -> Text {
        Text {
            summary: "changes status, fields or content of answers",
            about: "Changes answers on their way: status, fields, content. `patch` changes JSON content by a JSON merge patch (RFC 7396): \
                what it names is set, what it names as null is removed. Content that is compressed, no JSON, larger than 4 MiB, or a \
                stream of events is not patched, and passes as it is; fields and status change all the same. Content that is replaced \
                comes when all of the original has come. A patch writes the whole JSON anew: numbers of more than 64 bits lose what is beyond.",
            example: "inject: http.replace\ninto: model\nwith: {patch: {model_version: unknown, outputs: null}, path: /v2/*}\nfor: 30s",
            speaks: &[Speaks::Http, Speaks::Sse, Speaks::S3],
            rampable: &[],
            reversibility: Reversibility::WithLoss,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = self.select.check();
        if self.status.is_none() && self.set_headers.is_empty() && self.body.is_none() && self.patch.is_none() {
            errors.push(SpecError::new("", "nothing is replaced").hint("give `status`, `set_headers`, `body` or `patch`"));
        }
        if self.body.is_some() && self.patch.is_some() {
            errors.push(SpecError::new("patch", "the content is given twice").hint("leave out `body`, or `patch`"));
        }
        // A body cannot be added to, or taken from, an answer that began: those statuses have none.
        if let Some(status) = self.status.filter(|s| !(200..=599).contains(s) || matches!(s, 204 | 205 | 304)) {
            errors.push(
                SpecError::new("status", format!("an answer cannot be made one with status {status}"))
                    .hint("from 200 to 599, not 204, 205, 304"),
            );
        }
        errors.extend(self.set_headers.iter().filter_map(|(name, value)| check_field(name, value.as_deref())));
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
        vec!["answers that meet it stay changed, and whoever keeps them keeps them so".into()]
    }

    fn act(self) -> Act {
        Act::Http(Box::new(self))
    }
}

impl http::Act for Replace {
    fn meant(&self) -> &dyn Meant {
        &self.select
    }

    fn on_answer(&self, head: &mut dyn AnswerHead, course: &mut Course) {
        self.change(head, course);
        if head.is_event_stream() {
            return;
        }
        if let Some(body) = self.body.clone() {
            head.remove("content-encoding");
            course.replace = Some(Box::new(move |_| Some(body.into_bytes())));
        } else if let Some(patch) = self.patch.clone().filter(|_| head.get("content-encoding").is_none()) {
            course.replace = Some(Box::new(move |content| patched(content, &patch)));
        }
    }
}
