//! Secrets, kept out of everything that is written down (RULES 36).
//!
//! A secret parameter is *never substituted*: plan, undo, record, journal and argv hold the text `$(name)`. Only the
//! place that uses it, a probe being opened or a process being started, fills it in from here.

use std::collections::BTreeMap;

use serde_json::Value;

/// The values of secret parameters. Has no `Serialize`, and its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// For the socket between coordinator and executor, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// From the socket between coordinator and executor.
    #[must_use]
    pub fn from_exposed(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }

    /// `text` with every `$(name)` of a secret replaced. `$$(` stands for a literal `$(`.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            let (before, from) = rest.split_at(at);
            if let Some(literal) = before.strip_suffix('$') {
                out.push_str(literal);
                out.push_str("$(");
                rest = &from[2..];
                continue;
            }
            out.push_str(before);
            let known = from[2..].find(')').and_then(|end| Some((end, self.0.get(&from[2..2 + end])?)));
            match known {
                Some((end, value)) => {
                    out.push_str(value);
                    rest = &from[2 + end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = &from[2..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// A JSON value with every text in it filled. Keys are left alone.
    #[must_use]
    pub fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.fill(s)),
            Value::Array(items) => items.iter().map(|v| self.fill_value(v)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.fill_value(v))).collect::<serde_json::Map<_, _>>().into(),
            other => other.clone(),
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_36_a_secret_shows_only_where_it_is_filled_in() {
        let mut s = Secrets::new();
        s.insert("key", "hunter2");
        assert_eq!(s.fill("Bearer $(key)!"), "Bearer hunter2!");
        assert_eq!(s.fill("$$(key) $(other) $("), "$(key) $(other) $(");
        assert!(!format!("{s:?}").contains("hunter2"));
    }
}
