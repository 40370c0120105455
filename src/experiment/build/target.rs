//! `targets`: what may be harmed. First the kind with its selector.

use std::collections::BTreeMap;

use chaos_core::experiment::TargetSet;
use serde_json::{Map, Value as Json};

use super::{Builder, Found};
use crate::experiment::problems::did_you_mean;
use crate::experiment::tree::{Key, Node, Place};
use crate::experiment::walk;

/// What stands beside the kind.
const BESIDE: [&str; 2] = ["at", "expect"];

impl Builder<'_> {
    pub(super) fn targets(&mut self) -> Vec<TargetSet> {
        let defined: Vec<(String, Place, &Node)> =
            self.names.targets.iter().map(|defined| (defined.name.clone(), defined.place, defined.node)).collect();
        let mut refers: BTreeMap<String, (Place, Vec<String>)> = BTreeMap::new();
        let mut sets = Vec::new();
        for (name, place, node) in defined {
            let (set, others) = self.target_set(name.clone(), place, node);
            refers.insert(name, (place, others));
            if let Some(set) = set {
                self.excluded(&set, &sets, node);
                sets.push(set);
            }
        }
        self.circles(&refers);
        sets
    }

    fn target_set(&mut self, name: String, place: Place, node: &Node) -> (Option<TargetSet>, Vec<String>) {
        if !node.is_map() {
            let hint = "for example `{processes: {listening_on: 8001-8003}, expect: 3}`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", format!("a target set is a map, not {}", node.describe()), hint);
            return (None, Vec::new());
        }
        let Some((key, selector)) = self.kind_key(node, place) else { return (None, Vec::new()) };
        let others = self.referenced(Some(selector));
        let selected = self.selector(key, selector);
        self.beside(node, key);
        let at = node.get("at").and_then(Node::text).map(str::to_owned);
        let at = self.at(at, node);
        let expect = node.get("expect").and_then(|value| self.expected(value));
        (Some(TargetSet { name, kind: key.text.clone(), selector: selected, at, expect }), others)
    }

    /// Sets that cannot both be.
    fn excluded(&mut self, set: &TargetSet, before: &[TargetSet], node: &Node) {
        let vocabulary = self.vocabulary;
        let Some((kind, selector)) = vocabulary.kinds.get(&set.kind).zip(node.get(&set.kind)) else { return };
        for other in before.iter().filter(|other| other.kind == set.kind) {
            if let Some(error) = kind.excludes(&set.selector, &other.selector) {
                let message = format!("{} (target set `{}`)", error.message, other.name);
                self.problems.error(selector.find(&error.path).place, "conflict", message, error.hint);
            }
        }
    }

    /// The key that says the kind: the first.
    fn kind_key<'n>(&mut self, node: &'n Node, place: Place) -> Option<(&'n Key, &'n Node)> {
        let entries = node.entries();
        let found = entries.iter().find(|(key, _)| !BESIDE.contains(&key.text.as_str()) && key.text != "zone_label");
        let Some((key, selector)) = found else {
            let kinds: Vec<&str> = self.vocabulary.kinds.iter().map(|kind| kind.kind()).collect();
            let place = entries.first().map_or(place, |(key, _)| key.place);
            let hint = format!("begin with the kind: one of {}", kinds.join(", "));
            self.problems.error(place, "missing-key", "a target set begins with what it finds", hint);
            return None;
        };
        self.comes_first(node, &key.text);
        Some((key, selector))
    }

    fn selector(&mut self, key: &Key, selector: &Node) -> Json {
        let vocabulary = self.vocabulary;
        let Some(kind) = vocabulary.kinds.get(&key.text) else {
            self.unknown_kind(key);
            return Map::new().into();
        };
        if selector.is_map() && selector.entries().is_empty() {
            let hint = kind.profile().example.trim().to_owned();
            self.problems.error(key.place, "missing-key", format!("a selector of {} names at least one field", kind.kind()), hint);
        }
        let found = Found { family: "targets", kind: kind.kind(), node: Some(selector), place: key.place };
        self.fields(found, || kind.schema().to_value(), |spec| kind.check(spec))
    }

    fn unknown_kind(&mut self, key: &Key) {
        let kinds: Vec<&str> = self.vocabulary.kinds.iter().map(|kind| kind.kind()).collect();
        let hint = did_you_mean(&key.text, &kinds, |known| Some(format!("this version of `chaos` knows {}", known.join(", "))));
        self.problems.error(key.place, "unknown-target-kind", format!("unknown kind of target `{}`", key.text), hint);
    }

    fn beside(&mut self, node: &Node, kind: &Key) {
        for (key, _) in node.entries() {
            if key.text != kind.text && !BESIDE.contains(&key.text.as_str()) {
                walk::unknown_key(self.problems, &key.text, key.place, &BESIDE, None);
            }
        }
    }

    /// How many must be found: at least 1.
    fn expected(&mut self, value: &Node) -> Option<u64> {
        let schema = serde_json::json!({"type": "integer", "minimum": 1, "examples": [3]});
        walk::single(self.problems, value, &schema, "expect", None)?.as_u64()
    }

    /// A kind with its selector, as in `never`.
    pub(super) fn lone_selector(&mut self, node: &Node) -> Option<(String, Json)> {
        let [(key, selector)] = node.entries() else {
            let hint = "for example `- processes: {user: postgres}`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", "one kind with its selector stands here", hint);
            return None;
        };
        self.referenced(Some(selector));
        Some((key.text.clone(), self.selector(key, selector)))
    }

    /// The kind that a set of this name has.
    pub(super) fn kind_of_set(&self, name: &str) -> Option<String> {
        let set = self.names.targets.iter().find(|set| set.name == name)?;
        let keys = set.node.entries().iter().map(|(key, _)| key.text.as_str());
        keys.into_iter().find(|key| !BESIDE.contains(key) && *key != "zone_label").map(str::to_owned)
    }

    /// Sets that refer to each other in a circle.
    fn circles(&mut self, refers: &BTreeMap<String, (Place, Vec<String>)>) {
        for (name, (place, _)) in refers {
            let mut way = vec![name.as_str()];
            while let Some((_, others)) = way.last().and_then(|last| refers.get(*last)) {
                let Some(next) = others.first() else { break };
                if next == name {
                    let message = format!("`{name}` refers to itself: {} → {name}", way.join(" → "));
                    self.problems.error(*place, "circle", message, "one of them must be found by itself".to_owned());
                    break;
                }
                if way.contains(&next.as_str()) {
                    break;
                }
                way.push(next);
            }
        }
    }

    /// A key that says what a thing is comes first in its map.
    pub(super) fn comes_first(&mut self, node: &Node, key: &str) {
        if let (Some((first, _)), Some((found, _))) = (node.entries().first(), node.entry(key))
            && first.text != key
        {
            let hint = format!("put `{key}: …` before `{}:`", first.text);
            self.problems.error(found.place, "key-order", format!("`{key}` comes first: it says what this is"), hint);
        }
    }
}
