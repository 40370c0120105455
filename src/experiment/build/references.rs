//! Names: each once, and each reference to something that is there. References run forward and backward, never in a circle.

use std::collections::HashMap;

use chaos_core::literal::Name;

use super::Builder;
use crate::experiment::problems::{Problems, meant};
use crate::experiment::tree::{Node, Place};

/// A name with what stands under it.
pub(super) struct Defined<'n> {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) node: &'n Node,
}

/// Everything that has a name, over all files.
#[derive(Default)]
pub(super) struct Names<'n> {
    pub(super) places: Vec<Defined<'n>>,
    pub(super) system: Vec<Defined<'n>>,
    pub(super) hypotheses: Vec<Defined<'n>>,
    pub(super) targets: Vec<Defined<'n>>,
}

impl<'n> Names<'n> {
    pub(super) fn collect(problems: &mut Problems, files: &'n [Node]) -> Self {
        Self {
            places: defined(problems, files, "places"),
            system: defined(problems, files, "system"),
            hypotheses: defined(problems, files, "steady_state"),
            targets: defined(problems, files, "targets"),
        }
    }
}

fn defined<'n>(problems: &mut Problems, files: &'n [Node], key: &str) -> Vec<Defined<'n>> {
    let mut found: Vec<Defined<'n>> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for node in files.iter().filter_map(|file| file.get(key)) {
        if !node.is_map() {
            let hint = format!("`{key}:` holds names, each with what it is");
            problems.error(node.place, "wrong-shape", format!("`{key}` is a map, not {}", node.describe()), hint);
        }
        for (name, value) in node.entries() {
            if let Err(error) = name.text.parse::<Name>() {
                problems.error(name.place, "wrong-name", error.message, error.hint);
            }
            let lower = name.text.to_lowercase();
            match seen.get(&lower).map(|at| &found[*at]) {
                // The same key twice in one map has been said already.
                Some(other) if other.name == name.text && other.place.file == name.place.file => {}
                Some(other) => {
                    let file = problems.sources.get(other.place.file as usize).map(|source| source.path.display().to_string());
                    let hint = format!(
                        "the first is at {}:{}; names are unique, also without regard to case",
                        file.unwrap_or_default(),
                        other.place.line
                    );
                    problems.error(name.place, "duplicate-name", format!("`{}` is defined a second time", name.text), hint);
                }
                None => {
                    seen.insert(lower, found.len());
                    found.push(Defined { name: name.text.clone(), place: name.place, node: value });
                }
            }
        }
    }
    found
}

impl Builder<'_> {
    /// A reference to a target set.
    pub(super) fn set(&mut self, name: &str, place: Place) -> bool {
        self.used.insert(name.to_owned());
        let known = self.names.targets.iter().any(|set| set.name == name);
        if !known {
            let hint = suggestion(name, &self.names.targets, "targets");
            self.problems.error(place, "unknown-name", format!("no target set is called `{name}`"), hint);
        }
        known
    }

    /// A reference to a hypothesis.
    pub(super) fn hypothesis_called(&mut self, name: &str, place: Place) -> bool {
        let known = self.names.hypotheses.iter().any(|hypothesis| hypothesis.name == name);
        if !known {
            let hint = suggestion(name, &self.names.hypotheses, "steady_state");
            self.problems.error(place, "unknown-name", format!("no hypothesis is called `{name}`"), hint);
        }
        known
    }

    /// A reference to a process of `system:`.
    pub(super) fn process_called(&mut self, name: &str, place: Place) {
        if !self.names.system.iter().any(|process| process.name == name) {
            let hint = suggestion(name, &self.names.system, "system");
            self.problems.error(place, "unknown-name", format!("no process of `system:` is called `{name}`"), hint);
        }
    }

    /// References inside the fields of a fault or selector, known by their key: each key refers to one kind of thing.
    pub(super) fn referenced(&mut self, fields: Option<&Node>) -> Vec<String> {
        let mut sets = Vec::new();
        for (key, value) in fields.map(Node::entries).unwrap_or_default() {
            let Some(name) = value.text() else { continue };
            match key.text.as_str() {
                "of" | "peer" | "before" if self.set(name, value.place) => sets.push(name.to_owned()),
                "system" => self.process_called(name, value.place),
                _ => {}
            }
        }
        sets
    }

    /// What is defined and never used: worth a warning, save for hypotheses, which are watched in any case.
    pub(super) fn unused(&mut self) {
        for set in &self.names.targets {
            if !self.used.contains(&set.name) {
                let hint = "inject into it, or leave it out".to_owned();
                self.problems.warning(set.place, "unused", format!("the target set `{}` is never used", set.name), hint);
            }
        }
    }
}

fn suggestion(name: &str, known: &[Defined<'_>], key: &str) -> String {
    match meant(name, known.iter().map(|defined| defined.name.as_str())) {
        Some(found) => {
            let line = known.iter().find(|defined| defined.name == found).map_or(0, |defined| defined.place.line);
            format!("did you mean `{found}` (line {line})?")
        }
        None if known.is_empty() => format!("define it under `{key}:`"),
        None => {
            let names: Vec<String> = known.iter().take(8).map(|defined| format!("`{}`", defined.name)).collect();
            format!("`{key}:` defines {}", names.join(", "))
        }
    }
}
