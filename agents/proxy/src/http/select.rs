//! Which exchanges are meant.

use std::collections::BTreeMap;

use chaos_core::fault::SpecError;
use chaos_core::literal::{Pattern, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::RequestHead;

/// Which exchanges a fault means. All that is given must fit; what is not given fits everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Select {
    /// Methods, in any letter case: `[GET, POST]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Pattern of the path, without its query: `/v1/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Pattern>,
    /// Patterns of the request's fields: `{x-tenant: "42*"}`. A field that is absent fits no pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Pattern>,
    /// Share of the requests that are meant, drawn for each; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Percent>,
    /// Share of the connections that are meant, drawn for each; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<Percent>,
}

/// Which exchanges a toxic means.
pub trait Meant {
    /// Is this request one that is meant? The share is not drawn here.
    fn fits(&self, request: &dyn RequestHead) -> bool;
    /// The share of those that is meant; all where it is not given.
    fn share(&self) -> Option<Percent>;
}

impl Meant for Select {
    fn fits(&self, request: &dyn RequestHead) -> bool {
        let method = self.methods.is_empty() || self.methods.iter().any(|m| m.eq_ignore_ascii_case(request.method()));
        let path = self.path.as_ref().is_none_or(|p| p.matches(request.path()));
        method && path && self.headers.iter().all(|(name, pattern)| request.get(name).is_some_and(|v| pattern.matches(v)))
    }

    fn share(&self) -> Option<Percent> {
        self.requests
    }
}

impl Select {
    /// The share of connections that is meant.
    #[must_use]
    pub fn connections(&self) -> Percent {
        self.connections.unwrap_or(Percent::HUNDRED)
    }

    /// What is wrong with it.
    #[must_use]
    pub fn check(&self) -> Vec<SpecError> {
        let methods = self.methods.iter().enumerate().filter(|(_, m)| http::Method::from_bytes(m.as_bytes()).is_err());
        let methods = methods.map(|(n, m)| SpecError::new(format!("methods[{n}]"), format!("`{m}` is no method")).hint("GET, POST …"));
        let fields = self.headers.keys().filter(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err());
        let fields = fields.map(|name| SpecError::new(format!("headers.{name}"), format!("`{name}` is no name of a field")));
        methods.chain(fields).collect()
    }

    /// Are some exchanges meant by both, for certain? Where only a share is meant, what each draws composes.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let shares = [self.requests, self.connections, other.requests, other.connections];
        let method = |one: &Self, other: &Self| {
            one.methods.is_empty() || one.methods.iter().any(|m| other.methods.iter().any(|o| o.eq_ignore_ascii_case(m)))
        };
        let path = match (&self.path, &other.path) {
            (Some(one), Some(other)) => one.overlaps(other),
            _ => true,
        };
        let field = |(name, pattern): (&String, &Pattern)| {
            other.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).all(|(_, other)| pattern.overlaps(other))
        };
        let methods = other.methods.is_empty() || method(self, other);
        shares.iter().all(Option::is_none) && methods && path && self.headers.iter().all(field)
    }

    /// What of a proxy a toxic of that kind takes for itself: the same exchanges cannot be meant twice.
    #[must_use]
    pub fn claims(&self, kind: &str) -> Vec<String> {
        // However its methods are written, they are the same.
        let mut same = self.clone();
        same.methods.iter_mut().for_each(|method| method.make_ascii_uppercase());
        same.methods.sort();
        same.methods.dedup();
        vec![format!("{kind} {}", serde_json::to_string(&same).unwrap_or_default())]
    }
}

/// What is wrong with a field that is to be sent, if anything.
pub(crate) fn check_field(name: &str, value: Option<&str>) -> Option<SpecError> {
    let path = format!("set_headers.{name}");
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(SpecError::new(path, format!("`{name}` is no name of a field")));
    }
    if value.is_some_and(|value| http::HeaderValue::from_str(value).is_err()) {
        return Some(SpecError::new(path, "a field holds one line of text"));
    }
    let framing = ["content-length", "transfer-encoding", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own));
    framing.then(|| {
        SpecError::new(path, format!("`{name}` says where the answer ends: it is not to be set")).hint("see http.truncate, http.abort")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_methods_claim_the_same() {
        let of = |methods: &[&str]| Select { methods: methods.iter().map(|m| (*m).to_owned()).collect(), ..Select::default() }.claims("k");
        assert_eq!(of(&["get", "POST"]), of(&["post", "GET", "get"]));
        assert_ne!(of(&["GET"]), of(&["POST"]));
    }
}
