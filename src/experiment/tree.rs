//! The text, taken apart once: every key and every value with its place. Everything else decodes from here.

use std::path::PathBuf;

/// A text that was read, and what it is called.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The whole line that a place is on.
    pub(super) fn line(&self, place: Place) -> &str {
        let at = (place.offset as usize).min(self.text.len());
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline);
        self.text[start..end].trim_end_matches('\r')
    }

    /// How many characters a place covers on its first line.
    pub(super) fn width(&self, place: Place) -> u32 {
        let start = (place.offset as usize).min(self.text.len());
        let end = (start + place.length as usize).min(self.text.len());
        let covered = self.text.get(start..end).unwrap_or_default();
        let first = covered.lines().next().unwrap_or_default().trim_end();
        u32::try_from(first.chars().count()).unwrap_or(u32::MAX).max(1)
    }

    /// The place of so many bytes at an offset.
    pub(super) fn place(&self, file: u16, offset: usize, length: usize) -> Place {
        let offset = offset.min(self.text.len());
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file,
            offset: small(offset),
            length: small(length),
            line: small(before.matches('\n').count() + 1),
            column: small(before[start..].chars().count() + 1),
        }
    }
}

/// Where something stands: which file, and in it offset and length in bytes, line and column (in characters) from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: u16,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
    Block,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key with its place.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Node {
    /// The value under a key of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value, by the key's text.
    pub(super) fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        self.entries().iter().find(|(found, _)| found.text == key).map(|(found, value)| (found, value))
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[(Key, Self)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Nothing was written here, or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, style: Style::Plain } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(super) const fn is_map(&self) -> bool {
        matches!(self.data, Data::Map(_))
    }

    /// As a person would say what it is.
    pub(super) fn describe(&self) -> &'static str {
        match &self.data {
            _ if self.is_null() => "nothing",
            Data::Scalar { .. } => "a single value",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// Follows a path such as `json.inputs[0]`, as far as it goes.
    pub(super) fn find(&self, path: &str) -> &Self {
        self.reach(path).1
    }

    /// Follows a path as far as it goes: how many steps that was, and what is there.
    pub(super) fn reach(&self, path: &str) -> (usize, &Self) {
        let (mut steps, mut node, mut rest) = (0, self, path);
        while !rest.is_empty() {
            let found = if let Some(index) = rest.strip_prefix('[') {
                let (number, after) = index.split_once(']').unwrap_or((index, ""));
                rest = after.strip_prefix('.').unwrap_or(after);
                number.parse::<usize>().ok().and_then(|at| node.items().get(at))
            } else {
                // A key may hold dots itself, so the longest key that fits is taken.
                let fitting = node.entries().iter().filter(|(key, _)| is_step(rest, &key.text));
                let longest = fitting.max_by_key(|(key, _)| key.text.len());
                rest = longest.map_or("", |(key, _)| rest[key.text.len()..].trim_start_matches('.'));
                longest.map(|(_, value)| value)
            };
            let Some(found) = found else { break };
            node = found;
            steps += 1;
        }
        (steps, node)
    }
}

fn is_step(path: &str, key: &str) -> bool {
    !key.is_empty() && path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
