//! The `good:` of a hypothesis.

use serde::{Deserialize, Serialize};

/// A checked expression. Stands in files and records as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expression(String);
