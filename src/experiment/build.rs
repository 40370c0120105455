//! Tree to experiment: names and references, faults and probes with their fields, limits, times. Everything that is wrong is collected.

mod evidence;
mod hypothesis;
mod method;
mod objective;
mod patience;
mod question;
mod radius;
mod references;
mod system;
mod target;
mod timing;

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::Rc;

use chaos_core::experiment::Experiment;
use chaos_core::fault::SpecError;
use chaos_core::literal::{Duration, LiteralError};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::problems::Problems;
use super::tree::{Data, Node, Place};
use super::{Vocabulary, file, walk};
use references::Names;

/// What the experiment is, beside its tree.
pub(super) struct Given {
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) set: BTreeSet<String>,
}

/// Builds the experiment from its file (first) and parts. What could not be built is left out and stands among the problems.
pub(super) fn build(problems: &mut Problems, vocabulary: &Vocabulary<'_>, files: &[Node], given: Given) -> Option<Experiment> {
    let names = Names::collect(problems, files);
    let mut builder = Builder {
        problems,
        vocabulary,
        names,
        given,
        schemas: HashMap::new(),
        kinds: HashMap::new(),
        used: BTreeSet::new(),
        watched: Vec::new(),
    };
    builder.experiment(files)
}

/// What later checks need to know of a hypothesis.
struct Watched {
    name: String,
    every: Duration,
    timeout: Duration,
    /// Whether faults decide its verdict.
    judged: bool,
    /// The probe's kind, where it is known.
    probe: Option<String>,
    /// How long the baseline is watched for it.
    baseline: Option<Duration>,
    /// Objectives that need so many samples: where, how many, of what, and whether they are about the baseline.
    needs: Vec<evidence::Need>,
}

struct Builder<'b> {
    problems: &'b mut Problems,
    vocabulary: &'b Vocabulary<'b>,
    names: Names<'b>,
    given: Given,
    /// The schema of each type of the file, made once.
    schemas: HashMap<TypeId, Rc<Json>>,
    /// The schema of each fault, probe and kind of target, made once.
    kinds: HashMap<String, Rc<Json>>,
    /// Target sets that something refers to.
    used: BTreeSet<String>,
    watched: Vec<Watched>,
}

impl Builder<'_> {
    fn experiment(&mut self, files: &[Node]) -> Option<Experiment> {
        let root = files.first()?;
        let top: file::Experiment = self.decode(root);
        for part in &files[1..] {
            self.decode::<file::Part>(part);
        }
        self.places(files);
        let system = self.system();
        let hypotheses = self.hypotheses();
        let targets = self.targets();
        if self.names.hypotheses.is_empty() && !self.problems.incomplete {
            let hint = "say what healthy means: `steady_state: {users are served: {probe: http, …}}`";
            self.problems.error(walk::start(root), "missing-key", "`steady_state` is missing", hint.to_owned());
        }
        let limits = root.get("blast_radius").map(|node| (node, self.blast_radius(node)));
        let stop_when = root.get("stop_when").map(|node| self.stop_when(node)).unwrap_or_default();
        let method = root.get("method").map(|node| self.method(node)).unwrap_or_default();
        if let Some((node, Some(limits))) = &limits {
            self.limits_of_method(&method, limits, node);
            self.length(&method, limits, node);
        }
        self.evidence(&method);
        self.patience(&method);
        self.unused();
        let slug = top.experiment?.to_string();
        Some(Experiment {
            title: top.title.unwrap_or_else(|| slug.clone()),
            slug,
            file: self.given.path.clone(),
            folder: self.given.folder.clone(),
            parameters: std::mem::take(&mut self.given.parameters),
            set: std::mem::take(&mut self.given.set),
            system,
            hypotheses,
            targets,
            blast_radius: limits?.1?,
            stop_when,
            method: method.into_iter().map(|planned| planned.step).collect(),
            seed: top.seed,
        })
    }

    /// Decodes a part of the file by its own type. What is wrong is collected, and left out.
    fn decode<T: JsonSchema + DeserializeOwned + Default + 'static>(&mut self, node: &Node) -> T {
        let schema = self.schemas.entry(TypeId::of::<T>()).or_insert_with(|| Rc::new(schema_of::<T>()));
        let schema = Rc::clone(schema);
        let Some(json) = walk::decode(self.problems, node, &schema, None) else { return T::default() };
        serde_json::from_value(json).unwrap_or_else(|error| {
            self.problems.error(walk::start(node), "wrong-shape", error.to_string(), None);
            T::default()
        })
    }

    /// Decodes the own fields of a fault, probe or kind of target, and asks it what it thinks of them.
    fn fields(&mut self, found: Found<'_>, schema: impl FnOnce() -> Json, check: impl FnOnce(&Json) -> Vec<SpecError>) -> Json {
        let Found { family, kind, node, place } = found;
        let schema = Rc::clone(self.kinds.entry(format!("{family} {kind}")).or_insert_with(|| Rc::new(schema())));
        let empty = Node { data: Data::Map(Vec::new()), place };
        let node = node.unwrap_or(&empty);
        let before = self.problems.found;
        let json = walk::decode(self.problems, node, &schema, Some(kind)).unwrap_or_else(|| Map::new().into());
        if self.problems.found == before {
            for error in check(&json) {
                let at = node.find(&error.path);
                let place = if at.entries().is_empty() { at.place } else { walk::start(at) };
                let LiteralError { message, hint } = LiteralError::decode(&error.message);
                self.problems.error(place, "wrong-field", message, error.hint.or(hint));
            }
        }
        json
    }

    /// `at:` is `here`, or a place of the file.
    fn at(&mut self, at: Option<String>, node: &Node) -> String {
        let at = at.unwrap_or_else(|| "here".to_owned());
        if at != "here" && !self.names.places.iter().any(|place| place.name == at) {
            let place = node.get("at").map_or(node.place, |at| at.place);
            self.problems.error(place, "unknown-name", format!("no place is called `{at}`"), "`here` is this host".to_owned());
        }
        at
    }

    fn places(&mut self, files: &[Node]) {
        for node in files.iter().filter_map(|file| file.get("places")) {
            for (_, place) in node.entries() {
                let kind = place.entries().iter().find(|(key, _)| key.text != "zone");
                let (at, word) = kind.map_or((place.place, "…"), |(key, _)| (key.place, key.text.as_str()));
                let hint = "this version of `chaos` reaches this host only, which is called `here`".to_owned();
                self.problems.error(at, "unknown-place-kind", format!("unknown kind of place `{word}`"), hint);
            }
        }
    }
}

/// Whose fields are decoded: the table it is in, its kind, the fields themselves, and where to point when there are none.
struct Found<'f> {
    family: &'static str,
    kind: &'f str,
    node: Option<&'f Node>,
    place: Place,
}

/// The schema of a type of the file.
pub(super) fn schema_of<T: JsonSchema>() -> Json {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}
