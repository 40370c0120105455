//! Texts with gaps: `model-server *--port 80??`.

use std::fmt;
use std::str::FromStr;

use super::LiteralError;
use super::serial::literal;

/// A text in which `*` stands for any characters, also none, and `?` for exactly one. It must match the whole value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does the whole of `value` fit?
    ///
    /// ```
    /// let pattern: chaos_core::literal::Pattern = "model-server *--port 80??".parse().unwrap();
    /// assert!(pattern.matches("model-server --port 8001"));
    /// assert!(!pattern.matches("model-server --port 8001 --debug"));
    /// ```
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), value.chars());
        // Where to go on after the last `*` should what follows it not fit: one character further.
        let mut retry = None;
        loop {
            let rest_before = rest.clone();
            match (pattern.next(), rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    rest = rest_before.clone();
                    retry = Some((pattern.clone(), rest_before));
                }
                (Some('?'), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => {
                    let Some((after_star, mut from)) = retry.take() else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    pattern = after_star.clone();
                    rest = from.clone();
                    retry = Some((after_star, from));
                }
            }
        }
    }
}

impl Pattern {
    /// May a value fit both? False only where none does.
    ///
    /// ```
    /// let pattern = |text: &str| text.parse::<chaos_core::literal::Pattern>().unwrap();
    /// assert!(pattern("/v1/*").overlaps(&pattern("*/infer")));
    /// assert!(!pattern("/v1/*").overlaps(&pattern("/v2/*")));
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other): (Vec<char>, Vec<char>) = (self.0.chars().collect(), other.0.chars().collect());
        // `fits[b]`: may what is left of `one` and `other[b..]` become the same text? From the ends to the beginnings.
        let mut fits: Vec<bool> = (0..=other.len()).map(|b| other[b..].iter().all(|c| *c == '*')).collect();
        for a in (0..one.len()).rev() {
            let mut next = vec![one[a] == '*' && fits[other.len()]; other.len() + 1];
            for b in (0..other.len()).rev() {
                next[b] = match (one[a], other[b]) {
                    ('*', _) | (_, '*') => fits[b] || next[b + 1],
                    (x, y) => (x == y || x == '?' || y == '?') && fits[b + 1],
                };
            }
            fits = next;
        }
        fits[0]
    }
}

impl FromStr for Pattern {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        if text.is_empty() {
            return Err(LiteralError::new("an empty pattern fits nothing", "for example `model-server *`"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

literal!(
    Pattern,
    "pattern",
    r"^[\s\S]+$",
    ["model-server *--port 80??"],
    "A pattern for the whole value: `*` stands for any characters, `?` for one."
);
