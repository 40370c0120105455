//! A chunk of a language model's answer, as OpenAI and those who follow it send them
//! (<https://platform.openai.com/docs/api-reference/chat-streaming>).

use serde_json::Value;

/// What one event's data says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// `[DONE]`: the stream is complete.
    Done,
    /// A piece of the answer, or its end.
    Piece {
        /// Text, of `choices[0].text` or `choices[0].delta.content` (or what it thinks aloud); nothing where the chunk has none.
        text: Option<String>,
        /// Why it ended: `stop`, `length` …
        finish: Option<String>,
    },
    /// An error, sent after the answer had begun.
    Error(String),
    /// Something else: JSON of another form, or a text.
    Other,
    /// What begins as JSON and is none.
    Malformed,
}

impl Chunk {
    /// Reads the data of an event.
    #[must_use]
    pub fn parse(data: &str) -> Self {
        let data = data.trim();
        if data == "[DONE]" {
            return Self::Done;
        }
        match serde_json::from_str::<Value>(data) {
            Ok(json) => Self::of(&json),
            Err(_) if data.starts_with(['{', '[', '"']) => Self::Malformed,
            Err(_) => Self::Other,
        }
    }

    fn of(json: &Value) -> Self {
        let filled = |v: &&Value| !v.is_null();
        if let Some(error) = json.get("error").filter(filled) {
            let message = error.get("message").unwrap_or(error);
            return Self::Error(message.as_str().map_or_else(|| message.to_string(), str::to_owned));
        }
        let Some(choices) = json.get("choices").and_then(Value::as_array) else { return Self::Other };
        // A chunk without choices tells the usage at the end.
        let choice = choices.first().unwrap_or(&Value::Null);
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let said = [choice.get("text"), delta.get("content"), delta.get("reasoning_content"), delta.get("reasoning")];
        let text = said.into_iter().flatten().filter_map(Value::as_str).find(|t| !t.is_empty()).map(str::to_owned);
        let called = delta.get("tool_calls").filter(filled).map(|_| String::new());
        let finish = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned);
        Self::Piece { text: text.or(called), finish }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: Option<&str>, finish: Option<&str>) -> Chunk {
        Chunk::Piece { text: text.map(str::to_owned), finish: finish.map(str::to_owned) }
    }

    #[test]
    fn chunks_of_both_kinds_of_answer_are_read() {
        for (data, chunk) in [
            ("[DONE]", Chunk::Done),
            (r#"{"choices":[{"index":0,"text":" blue","finish_reason":null}]}"#, piece(Some(" blue"), None)),
            (r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, piece(None, None)),
            (r#"{"choices":[{"delta":{"content":"Hi"}}]}"#, piece(Some("Hi"), None)),
            (r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, piece(None, Some("length"))),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, piece(Some(""), None)),
            (r#"{"choices":[],"usage":{"total_tokens":7}}"#, piece(None, None)),
            (r#"{"error":{"message":"overloaded","type":"server_error"}}"#, Chunk::Error("overloaded".into())),
            (r#"{"choices":[{"text":"#, Chunk::Malformed),
            (r#"{"type":"ping"}"#, Chunk::Other),
            ("hello", Chunk::Other),
            ("", Chunk::Other),
        ] {
            assert_eq!(Chunk::parse(data), chunk, "{data}");
        }
    }
}
