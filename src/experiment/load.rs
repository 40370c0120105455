//! From a path to an experiment: the file, its parameters, its parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chaos_core::experiment::Experiment;
use chaos_core::secret::Secrets;

use super::build::{self, Given, schema_of};
use super::diagnostic::{Diagnostic, Severity, sort};
use super::parameters::{Outside, Parameters};
use super::problems::Problems;
use super::tree::{Key, Node, Source};
use super::{Vocabulary, file, read, walk, yaml};

/// What a file is read with.
pub struct LoadOptions<'a> {
    /// The words that it may use.
    pub vocabulary: Vocabulary<'a>,
    /// `--set name=value`.
    pub sets: &'a BTreeMap<String, String>,
    /// The environment, for parameters with `env:`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What `$(run)` is.
    pub run_id: &'a str,
}

/// A file that was read and found right.
#[derive(Debug)]
pub struct Loaded {
    /// What it says. Secrets stand in it as `$(name)`.
    pub experiment: Experiment,
    /// Their values, for whoever opens a probe or starts a process.
    pub secrets: Secrets,
    /// What somebody should know.
    pub warnings: Vec<Diagnostic>,
    files: Vec<Node>,
    sources: Vec<Source>,
}

impl Loaded {
    /// An error found later, such as when planning, shown at its place in the file.
    ///
    /// `path` says where, as the file is nested: `blast_radius.targets.rack 4.share`, `method[0].pick`. What is not written there is
    /// shown at the nearest thing around it.
    #[must_use]
    pub fn error_at(&self, path: &str, code: &'static str, message: impl Into<String>, hint: Option<String>) -> Diagnostic {
        self.diagnostic(Severity::Error, path, code, message.into(), hint)
    }

    /// A warning found later.
    #[must_use]
    pub fn warning_at(&self, path: &str, code: &'static str, message: impl Into<String>, hint: Option<String>) -> Diagnostic {
        self.diagnostic(Severity::Warning, path, code, message.into(), hint)
    }

    fn diagnostic(&self, severity: Severity, path: &str, code: &'static str, message: String, hint: Option<String>) -> Diagnostic {
        let main = &self.files[0];
        // What stands in a part is found there: of all files, the one in which the path leads furthest.
        let nodes = self.files.iter().map(|file| (file.reach(path), file));
        let node = nodes.max_by_key(|((depth, _), file)| (*depth, std::ptr::eq(*file, main))).map_or(main, |((_, node), _)| node);
        let place = walk::start(node);
        Diagnostic::at(&self.sources[place.file as usize], place, severity, code, message, hint)
    }
}

/// Reads an experiment and everything that it uses.
///
/// # Errors
/// Everything that is wrong with it, sorted by place; warnings among it.
pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Loaded, Vec<Diagnostic>> {
    let mut reading = Reading { problems: Problems::default(), files: Vec::new(), secrets: Secrets::new() };
    let experiment = reading.experiment(path, options);
    let Reading { mut problems, files, secrets } = reading;
    let paths: Vec<PathBuf> = problems.sources.iter().map(|source| source.path.clone()).collect();
    sort(&mut problems.list, &paths);
    match experiment {
        Some(experiment) if problems.errors() == 0 => {
            Ok(Loaded { experiment, secrets, warnings: problems.list, files, sources: problems.sources })
        }
        _ => Err(problems.list),
    }
}

struct Reading {
    problems: Problems,
    files: Vec<Node>,
    secrets: Secrets,
}

impl Reading {
    fn experiment(&mut self, path: &Path, options: &LoadOptions<'_>) -> Option<Experiment> {
        let mut root = self.tree(path)?;
        if !self.is_kind(&root, "experiment") {
            return None;
        }
        let folder = folder_of(path);
        let mut parameters = Parameters::built_in(options.run_id, &folder);
        let outside = Outside { sets: options.sets, env: options.env, folder: &folder, visible: true };
        self.declare(&root, &mut parameters, &outside);
        for name in options.sets.keys().filter(|name| root.get("parameters").and_then(|node| node.get(name)).is_none()) {
            let known: Vec<&str> = parameters.names().into_iter().filter(|known| !matches!(*known, "run" | "dir")).collect();
            let hint = super::problems::did_you_mean(name, &known, |known| match known {
                [] => Some("the file declares no parameters".to_owned()),
                _ => Some(format!("the file declares {}", known.join(", "))),
            });
            let message = format!("--set {name}: no parameter has this name");
            self.problems.list.push(Diagnostic::of_file(path, "unknown-parameter", message, hint.unwrap_or_default()));
        }
        parameters.put_in(&mut self.problems, &mut root);
        let uses = root.get("use").cloned();
        self.warn_of_unused(&root, &parameters);
        self.files.push(root);
        if let Some(uses) = uses {
            self.parts(&uses, &folder, options);
        }
        let set = options.sets.keys().cloned().collect();
        let given = Given { path: path.to_owned(), folder, parameters: parameters.recorded(), set };
        build::build(&mut self.problems, &options.vocabulary, &self.files, given)
    }

    /// Reads one file to a tree that is a map and of a version that is known.
    fn tree(&mut self, path: &Path) -> Option<Node> {
        let source = match read::read(path) {
            Ok(source) => source,
            Err(refused) => {
                self.problems.list.push(*refused);
                return None;
            }
        };
        let number = u16::try_from(self.problems.sources.len()).ok()?;
        let (root, mistakes) = yaml::parse(&source, number);
        self.problems.sources.push(source);
        self.problems.list.extend(mistakes);
        let root = root?;
        if !root.is_map() {
            let hint = "begin with `version: 1` and `experiment: NAME`".to_owned();
            self.problems.error(walk::start(&root), "wrong-shape", format!("an experiment is a map, not {}", root.describe()), hint);
            return None;
        }
        self.version(&root).then_some(root)
    }

    fn version(&mut self, root: &Node) -> bool {
        let Some(version) = root.get("version") else {
            let hint = "begin the file with `version: 1`".to_owned();
            self.problems.error(walk::start(root), "missing-key", "`version` is missing", hint);
            return true;
        };
        match version.text() {
            Some("1") => true,
            other => {
                let message = format!("unknown version `{}` of the language", other.unwrap_or("…"));
                let hint = "this `chaos` reads `version: 1`; a newer file wants a newer `chaos`".to_owned();
                self.problems.error(version.place, "unknown-version", message, hint);
                false
            }
        }
    }

    /// Is this the kind of file that is wanted, said in its second key?
    fn is_kind(&mut self, root: &Node, wanted: &str) -> bool {
        let other = if wanted == "part" { "experiment" } else { "part" };
        if let (None, Some((key, _))) = (root.get(wanted), root.entry(other)) {
            let (message, hint) = match wanted {
                "part" => ("this is an experiment, and a part is used", "a part begins with `version: 1` and `part: NAME`"),
                _ => ("this is a part, not an experiment", "name an experiment that has it under `use:`"),
            };
            self.problems.error(key.place, "wrong-kind-of-file", message, hint.to_owned());
            return false;
        }
        // Where one of them is missing, that has been said, or will be.
        for (at, key) in ["version", wanted].into_iter().enumerate().take_while(|(_, key)| root.get(key).is_some()) {
            if let (Some((found, _)), Some((expected, _))) = (root.entry(key), root.entries().get(at))
                && expected.text != key
            {
                let hint = format!("put `{key}: …` before `{}:`", expected.text);
                self.problems.error(found.place, "key-order", format!("`{key}` comes {}", if at == 0 { "first" } else { "second" }), hint);
                break;
            }
        }
        true
    }

    fn declare(&mut self, root: &Node, parameters: &mut Parameters, outside: &Outside<'_>) {
        let Some(node) = root.get("parameters") else { return };
        if !node.is_map() {
            let hint = "for example `check: {default: deep}`".to_owned();
            self.problems.error(walk::start(node), "wrong-shape", format!("`parameters` is a map, not {}", node.describe()), hint);
        }
        let schema = schema_of::<file::Parameter>();
        for (key, value) in node.entries() {
            let json = walk::decode(&mut self.problems, value, &schema, None);
            let declared: file::Parameter = json.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default();
            parameters.declare(&mut self.problems, (key, value), &declared, outside, &mut self.secrets);
        }
    }

    fn warn_of_unused(&mut self, root: &Node, parameters: &Parameters) {
        let declared: Vec<&Key> = root.get("parameters").map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key).collect();
        for key in declared.into_iter().filter(|key| !parameters.is_used(&key.text)) {
            let hint = format!("put it in as `$({})`, or leave it out", key.text);
            self.problems.warning(key.place, "unused", format!("the parameter `{}` is never used", key.text), hint);
        }
    }

    fn parts(&mut self, uses: &Node, folder: &Path, options: &LoadOptions<'_>) {
        let schema = serde_json::json!({"type": "array", "items": schema_of::<file::Use>(), "$defs": schema_of::<file::Use>()["$defs"]});
        let decoded = walk::decode(&mut self.problems, uses, &schema, None).unwrap_or_default();
        let decoded: Vec<Option<file::Use>> = serde_json::from_value(decoded).unwrap_or_default();
        for (node, written) in uses.items().iter().zip(decoded) {
            let written = written.and_then(|written| Some((written.part?, written.with.unwrap_or_default())));
            let read = written.and_then(|(part, with)| self.part(node, &folder.join(part), &with, options));
            self.problems.incomplete |= read.is_none();
        }
    }

    fn part(&mut self, node: &Node, path: &Path, with: &BTreeMap<String, String>, options: &LoadOptions<'_>) -> Option<()> {
        let place = node.get("part").map_or(node.place, |part| part.place);
        let before = self.problems.list.len();
        let Some(mut root) = self.tree(path) else {
            // A file that cannot be read is best shown where it is named.
            if let Some(refused) = self.problems.list.get(before).filter(|problem| problem.line == 0).cloned() {
                self.problems.list.truncate(before);
                self.problems.error(place, "file", format!("the part {}", refused.message), refused.hint);
            }
            return None;
        };
        if !self.is_kind(&root, "part") {
            return None;
        }
        let folder = folder_of(path);
        let mut parameters = Parameters::built_in(options.run_id, &folder);
        let outside = Outside { sets: with, env: options.env, folder: &folder, visible: false };
        self.declare(&root, &mut parameters, &outside);
        let declared = root.get("parameters");
        for (key, _) in node.get("with").map(Node::entries).unwrap_or_default() {
            if declared.and_then(|declared| declared.get(&key.text)).is_none() {
                let known: Vec<&str> = declared.map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.text.as_str()).collect();
                walk::unknown_key(&mut self.problems, &key.text, key.place, &known, Some("this part"));
            }
        }
        parameters.put_in(&mut self.problems, &mut root);
        self.warn_of_unused(&root, &parameters);
        self.files.push(root);
        Some(())
    }
}

fn folder_of(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}
