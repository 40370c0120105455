//! Why a text is not the literal that was asked for.

use std::fmt;

/// Stands between message and hint where only one text can be carried: through serde. (U+001F, the unit separator: no literal holds it.)
const SEPARATOR: char = '\u{1f}';

/// Why a text is not the literal that was asked for, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteralError {
    /// What is wrong, in one sentence without full stop.
    pub message: String,
    /// What to do, where something useful can be said.
    pub hint: Option<String>,
}

impl LiteralError {
    /// An error with a hint.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }

    /// The error as one text, from which [`LiteralError::decode`] gets both parts back. serde carries errors as text only.
    #[must_use]
    pub fn encode(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}{SEPARATOR}{hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// Takes apart what [`LiteralError::encode`] made; any other text becomes a message without hint.
    ///
    /// ```
    /// use chaos_core::literal::{Duration, LiteralError};
    /// let error = serde_json::from_str::<Duration>("\"20\"").unwrap_err();
    /// assert_eq!(LiteralError::decode(&error.to_string()).message, "a duration needs its unit");
    /// ```
    #[must_use]
    pub fn decode(text: &str) -> Self {
        match text.split_once(SEPARATOR) {
            Some((message, hint)) => Self { message: message.into(), hint: Some(without_json_position(hint).into()) },
            None => Self { message: text.into(), hint: None },
        }
    }
}

/// `serde_json` appends ` at line 1 column 4` when it reads from text; such places mean nothing to a reader of the experiment.
fn without_json_position(text: &str) -> &str {
    match text.rfind(" at line ") {
        Some(at) if text[at..].contains(" column ") => &text[..at],
        _ => text,
    }
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{} (hint: {hint})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for LiteralError {}
