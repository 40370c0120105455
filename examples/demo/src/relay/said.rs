//! What the model has said so far in one answer, over all its attempts.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::events::Event;
use crate::llm;

/// The last event of an answer.
const DONE: &str = "[DONE]";

/// What an event means for the user.
pub(super) enum Meaning {
    /// This goes to the user, and more is to come.
    More(Bytes),
    /// This goes to the user, and is the end.
    Last(Bytes),
    /// This is no part of an answer.
    Nonsense(String),
}

/// An answer in the making.
pub(super) struct Said {
    asked: Value,
    text: String,
    tokens: u64,
    /// Tokens that came before the present attempt.
    earlier: u64,
}

impl Said {
    /// Nothing yet.
    pub(super) fn new(asked: Value) -> Self {
        Self { asked, text: String::new(), tokens: 0, earlier: 0 }
    }

    /// Takes note of an event. Where answers are not `mended`, everything is passed on as it came.
    pub(super) fn hear(&mut self, event: Event, mended: bool) -> Meaning {
        if event.data == DONE {
            return Meaning::Last(event.bytes);
        }
        if !mended || event.data.is_empty() {
            return Meaning::More(event.bytes);
        }
        let mut chunk: Value = match serde_json::from_str(&event.data) {
            Ok(chunk) => chunk,
            Err(error) => return Meaning::Nonsense(format!("an event that is no JSON: {error}")),
        };
        if let Some(error) = chunk.get("error") {
            return Meaning::Nonsense(format!("the model says {error}"));
        }
        let text = chunk["choices"][0]["text"].as_str().unwrap_or_default();
        self.text.push_str(text);
        self.tokens += u64::from(!text.is_empty());
        match self.bill(&mut chunk) {
            true => Meaning::More(llm::event(&chunk)),
            false => Meaning::More(event.bytes),
        }
    }

    /// What an earlier attempt said stood in the prompt of this one, and yet was part of the answer.
    fn bill(&self, chunk: &mut Value) -> bool {
        let mut changed = false;
        for (key, more) in [("prompt_tokens", false), ("completion_tokens", true)] {
            if let Some(count) = chunk["usage"][key].as_u64().filter(|_| self.earlier > 0) {
                let count = if more { count + self.earlier } else { count.saturating_sub(self.earlier) };
                chunk["usage"][key] = count.into();
                changed = true;
            }
        }
        changed
    }

    /// The question for what is still missing.
    pub(super) fn resumed(&mut self) -> Value {
        let mut asked = self.asked.clone();
        if let Some(prompt) = self.asked["prompt"].as_str() {
            asked["prompt"] = format!("{prompt}{}", self.text).into();
        }
        if let Some(most) = self.asked["max_tokens"].as_u64() {
            asked["max_tokens"] = most.saturating_sub(self.tokens).into();
        }
        self.earlier = self.tokens;
        asked
    }
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} tokens", self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hear(said: &mut Said, data: &Value) -> Meaning {
        said.hear(Event { bytes: llm::event(data), data: data.to_string() }, true)
    }

    #[test]
    fn what_is_asked_again_is_what_is_missing() {
        let mut said = Said::new(json!({ "prompt": "The sea is", "max_tokens": 4, "stream": true }));
        for text in [" never", " the"] {
            assert!(matches!(hear(&mut said, &json!({ "choices": [{ "text": text }] })), Meaning::More(_)));
        }
        assert_eq!(said.resumed(), json!({ "prompt": "The sea is never the", "max_tokens": 2, "stream": true }));
        let usage = json!({ "choices": [], "usage": { "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7 } });
        let Meaning::More(bytes) = hear(&mut said, &usage) else { panic!("usage is passed on") };
        let chunk: Value = serde_json::from_slice(bytes.strip_prefix(b"data: ").unwrap()).unwrap();
        assert_eq!(chunk["usage"], json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 }));
    }

    #[test]
    fn errors_and_nonsense_break_an_answer_that_is_mended_and_pass_through_one_that_is_not() {
        let mut said = Said::new(json!({}));
        assert!(matches!(hear(&mut said, &json!({ "error": { "message": "overloaded" } })), Meaning::Nonsense(_)));
        let broken = || Event { bytes: Bytes::from_static(b"data: {\"cho\n\n"), data: "{\"cho".into() };
        assert!(matches!(said.hear(broken(), true), Meaning::Nonsense(_)));
        assert!(matches!(said.hear(broken(), false), Meaning::More(_)));
    }
}
