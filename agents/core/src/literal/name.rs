//! What things are called: names (`ranking answers`) and slugs (`frozen-replica`).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::LiteralError;
use super::serial::literal;

const LONGEST: usize = 64;

/// The name of a hypothesis, a target set, a place or a part of a system: a letter, then letters, digits, spaces, `-`, `_` or `.`; at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The identity of an experiment or a parameter: `a-z`, `0-9`, `-` and `_`; at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl FromStr for Name {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let within = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
        let rule = "a letter, then letters, digits, spaces, `-`, `_` or `.`";
        if text.chars().count() > LONGEST {
            Err(LiteralError::new(format!("a name has at most {LONGEST} characters"), rule))
        } else if !text.starts_with(char::is_alphabetic) || text.ends_with(' ') || !text.chars().all(within) {
            Err(LiteralError::new(format!("`{}` is not a name", text.escape_debug()), rule))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl FromStr for Slug {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Self, LiteralError> {
        let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if text.len() > LONGEST {
            return Err(LiteralError::new(format!("a slug has at most {LONGEST} characters"), "for example `frozen-replica`"));
        }
        if text.is_empty() || !text.chars().all(within) {
            let slug: String = text.to_lowercase().chars().map(|c| if within(c) { c } else { '-' }).collect();
            let hint = if slug.is_empty() { "for example `frozen-replica`".into() } else { format!("a-z, 0-9, - and _: `{slug}`") };
            return Err(LiteralError::new(format!("`{}` is not a slug", text.escape_debug()), hint));
        }
        Ok(Self(text.into()))
    }
}

macro_rules! text {
    ($type:ty) => {
        impl $type {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    };
}

text!(Name);
text!(Slug);

literal!(
    Name,
    "name",
    r"^\p{Alphabetic}([\p{Alphabetic}\p{N} _.-]{0,62}[\p{Alphabetic}\p{N}_.-])?$",
    ["ranking answers", "replicas"],
    "A name: a letter, then letters, digits, spaces, `-`, `_` or `.`; at most 64."
);
literal!(Slug, "slug", r"^[a-z0-9_-]{1,64}$", ["frozen-replica"], "A slug: a-z, 0-9, - and _; at most 64.");
