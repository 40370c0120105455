//! The part of the KServe v2 inference protocol that the demo speaks: one model, one FP32 tensor.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The only model there is.
pub(crate) const MODEL: &str = "ranker";

/// Where inferences are asked for, at the gateway and at each replica.
pub(crate) const INFER: &str = "/v2/models/ranker/infer";

/// Is the process there at all?
pub(crate) const LIVE: &str = "/v2/health/live";

/// Does it claim to be able to work?
pub(crate) const READY: &str = "/v2/health/ready";

/// Does it claim to be able to work with the model?
pub(crate) const MODEL_READY: &str = "/v2/models/ranker/ready";

/// A question to the model.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct InferRequest {
    /// Echoed in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The features, at most one tensor. None: whatever the gateway knows of the user.
    #[serde(default)]
    pub(crate) inputs: Vec<Tensor>,
    /// The gateway reads `user` here.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) parameters: Map<String, Value>,
}

/// The model's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InferResponse {
    pub(crate) model_name: String,
    pub(crate) model_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Where the gateway says from where the features came.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) parameters: Map<String, Value>,
    pub(crate) outputs: Vec<Tensor>,
}

impl InferResponse {
    /// The score, if the answer has one that makes sense.
    pub(crate) fn score(&self) -> Option<f32> {
        let score = *self.outputs.first()?.data.first()?;
        (0.0..=1.0).contains(&score).then_some(score)
    }
}

/// A named row of 32-bit floats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) datatype: String,
    pub(crate) data: Vec<f32>,
}

impl Tensor {
    /// A tensor of one dimension.
    pub(crate) fn row(name: &str, data: Vec<f32>) -> Self {
        Self { name: name.into(), shape: vec![data.len()], datatype: "FP32".into(), data }
    }
}
