//! Which object a request is about, and what it wants of it.

use chaos_core::literal::{Pattern, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{Meant, RequestHead, decoded};

/// Which requests to an object store a fault means. All that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Objects {
    /// Pattern of bucket and key: `models/ranker/*`. All objects, and buckets themselves, where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objects: Option<Pattern>,
    /// What is asked of them. What is answered with an object (`GetObject`) where it is not given.
    #[serde(default = "reads", skip_serializing_if = "Vec::is_empty")]
    operations: Vec<Operation>,
    /// Share of the requests that are meant, drawn for each; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<Percent>,
    /// Share of the connections that are meant, drawn for each; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<Percent>,
}

fn reads() -> Vec<Operation> {
    vec![Operation::GetObject]
}

/// What a request asks of an object store, by the names of its API (<https://docs.aws.amazon.com/AmazonS3/latest/API/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Operation {
    /// Reads an object, or a range of it.
    GetObject,
    /// Asks about an object.
    HeadObject,
    /// Writes an object.
    PutObject,
    /// Copies an object within the store.
    CopyObject,
    /// Removes an object.
    DeleteObject,
    /// Lists the objects of a bucket.
    ListObjects,
    /// Begins to write an object in parts.
    CreateMultipartUpload,
    /// Writes a part.
    UploadPart,
    /// Puts the parts together.
    CompleteMultipartUpload,
    /// Gives the parts up.
    AbortMultipartUpload,
}

impl Objects {
    /// The share of connections that is meant.
    pub(crate) fn connections(&self) -> Percent {
        self.connections.unwrap_or(Percent::HUNDRED)
    }

    pub(crate) fn claims(&self, kind: &str) -> Vec<String> {
        vec![format!("{kind} {}", serde_json::to_string(self).unwrap_or_default())]
    }
}

impl Meant for Objects {
    fn fits(&self, request: &dyn RequestHead) -> bool {
        let Some((name, operation)) = asked(request) else { return false };
        let operation = self.operations.is_empty() || self.operations.contains(&operation);
        operation && self.objects.as_ref().is_none_or(|pattern| pattern.matches(&name))
    }

    fn share(&self) -> Option<Percent> {
        self.requests
    }
}

/// Bucket and key, and what is asked; `None` for what no fault has a word for.
fn asked(request: &dyn RequestHead) -> Option<(String, Operation)> {
    let name = name(request);
    let has_key = name.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let asks = |word: &str| request.query().split('&').any(|pair| pair.split('=').next() == Some(word));
    let operation = match request.method() {
        "GET" if has_key => Operation::GetObject,
        "GET" if !name.is_empty() => Operation::ListObjects,
        "HEAD" if has_key => Operation::HeadObject,
        "PUT" if has_key && asks("partNumber") => Operation::UploadPart,
        "PUT" if has_key && request.get("x-amz-copy-source").is_some() => Operation::CopyObject,
        "PUT" if has_key => Operation::PutObject,
        "POST" if has_key && asks("uploads") => Operation::CreateMultipartUpload,
        "POST" if has_key && asks("uploadId") => Operation::CompleteMultipartUpload,
        "DELETE" if has_key && asks("uploadId") => Operation::AbortMultipartUpload,
        "DELETE" if has_key => Operation::DeleteObject,
        _ => return None,
    };
    Some((name, operation))
}

/// `bucket/key`. The bucket stands in the path, or before `s3` in the host's name.
fn name(request: &dyn RequestHead) -> String {
    let path = decoded(request.path().trim_start_matches('/'));
    let host = request.host().unwrap_or_default();
    let is_s3 = |label: &str| label == "s3" || label.starts_with("s3-");
    match host.split('.').position(is_s3) {
        Some(at) if at > 0 => format!("{}/{path}", host.split('.').take(at).collect::<Vec<_>>().join(".")),
        _ => path,
    }
}
