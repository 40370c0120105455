//! The JSON of the API, to the order of its keys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A proxy as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct ProxyForm {
    pub(super) name: String,
    pub(super) listen: String,
    pub(super) upstream: String,
    pub(super) enabled: bool,
    /// Toxiproxy shows its logger here, which is always empty.
    #[serde(rename = "Logger")]
    pub(super) logger: Map<String, Value>,
    pub(super) toxics: Vec<ToxicForm>,
}

/// A toxic as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct ToxicForm {
    pub(super) attributes: Value,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) stream: String,
    pub(super) toxicity: Value,
}

/// A share as Go writes it: in its shortest form, without a fraction where there is none.
pub(super) fn share(toxicity: f32) -> Value {
    serde_json::from_str(&toxicity.to_string()).unwrap_or_else(|_| json!(1))
}

/// What creates or updates a proxy. What is not given stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProxyInput {
    pub(super) name: String,
    pub(super) listen: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// What creates a toxic.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct ToxicInput {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) stream: String,
    pub(super) toxicity: f32,
    pub(super) attributes: Map<String, Value>,
}

impl Default for ToxicInput {
    fn default() -> Self {
        Self { name: String::new(), kind: String::new(), stream: "downstream".into(), toxicity: 1.0, attributes: Map::new() }
    }
}

/// What updates a toxic.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToxicUpdate {
    pub(super) toxicity: Option<f32>,
    pub(super) attributes: Map<String, Value>,
}
