//! One answer of the language model, in OpenAI's words.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::text;

/// The only model there is.
const MODEL: &str = "seaside";

/// What is said in reply to one prompt.
pub(super) struct Answer {
    id: String,
    created: u64,
    prompt_tokens: usize,
    /// Whether there would have been more to say.
    cut_short: bool,
    /// Word by word, each with the space before it.
    pub(super) tokens: Vec<String>,
}

impl Answer {
    /// What follows a prompt, so many tokens of it at most.
    pub(super) fn to(prompt: &str, max_tokens: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut rest = text::continuation(prompt);
        let tokens = rest.by_ref().take(max_tokens).map(|word| format!(" {word}")).collect();
        Self {
            id: format!("cmpl-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            prompt_tokens: text::tokens(prompt),
            cut_short: rest.next().is_some(),
            tokens,
        }
    }

    fn finish(&self) -> &'static str {
        if self.cut_short { "length" } else { "stop" }
    }

    /// The chunk of a stream that brings one token.
    pub(super) fn token(&self, token: &str) -> Value {
        self.chunk(&json!([choice(token, None)]))
    }

    /// The chunk that says why the answer ends.
    pub(super) fn last(&self) -> Value {
        self.chunk(&json!([choice("", Some(self.finish()))]))
    }

    /// The chunk that says what the answer cost.
    pub(super) fn usage(&self) -> Value {
        let mut chunk = self.chunk(&json!([]));
        chunk["usage"] = self.cost();
        chunk
    }

    /// The answer in one piece.
    pub(super) fn whole(&self) -> Value {
        let mut whole = self.chunk(&json!([choice(&self.tokens.concat(), Some(self.finish()))]));
        whole["usage"] = self.cost();
        whole
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({ "id": self.id, "object": "text_completion", "created": self.created, "model": MODEL, "choices": choices })
    }

    fn cost(&self) -> Value {
        let said = self.tokens.len();
        json!({ "prompt_tokens": self.prompt_tokens, "completion_tokens": said, "total_tokens": self.prompt_tokens + said })
    }
}

fn choice(text: &str, finish: Option<&str>) -> Value {
    json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish })
}

/// What `/v1/models` lists.
pub(super) fn models() -> Value {
    json!({ "object": "list", "data": [{ "id": MODEL, "object": "model", "owned_by": "chaos-demo" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_why_it_ends_and_what_it_cost() {
        let short = Answer::to("The sea is", 4);
        assert_eq!(short.tokens.concat(), " never the same twice,");
        let whole = short.whole();
        assert_eq!((&whole["choices"][0]["finish_reason"], &whole["usage"]["total_tokens"]), (&json!("length"), &json!(7)));
        assert_eq!(short.token(" never")["choices"][0]["finish_reason"], Value::Null);
        let long = Answer::to("The sea is", 1000);
        assert_eq!(long.last()["choices"][0]["finish_reason"], "stop");
        assert_eq!(long.usage()["choices"], json!([]));
    }
}
