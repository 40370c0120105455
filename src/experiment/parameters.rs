//! What may be set from outside, and putting it in: `$(name)`, `$$(`, the built-in `$(run)` and `$(dir)`, and secrets, which are never put in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use chaos_core::literal::Slug;
use chaos_core::secret::Secrets;

use super::file;
use super::problems::{Problems, did_you_mean};
use super::read;
use super::repair::BRACES;
use super::tree::{Data, Key, Node, Place};

/// The parameters of one file, with their values.
#[derive(Default)]
pub(super) struct Parameters {
    known: BTreeMap<String, Known>,
    /// How often each is put in.
    used: RefCell<BTreeMap<String, usize>>,
}

enum Known {
    /// Its text is put in.
    Value(String),
    /// It stays `$(name)` in everything that is written down.
    Secret,
    /// Nothing sets it: where it is declared, and how to.
    Unset(Place, String),
    /// It has an error of its own.
    Wrong,
}

/// Where values come from.
pub(super) struct Outside<'o> {
    /// `--set name=value`, or `with:` of the part.
    pub(super) sets: &'o BTreeMap<String, String>,
    /// The environment.
    pub(super) env: &'o dyn Fn(&str) -> Option<String>,
    /// Where `file:` starts.
    pub(super) folder: &'o Path,
    /// Is this the command line? There a secret would be visible to everybody.
    pub(super) visible: bool,
}

impl Parameters {
    /// Built-in ones only.
    pub(super) fn built_in(run: &str, folder: &Path) -> Self {
        let mut parameters = Self::default();
        parameters.known.insert("run".into(), Known::Value(run.into()));
        parameters.known.insert("dir".into(), Known::Value(folder.display().to_string()));
        parameters.used.borrow_mut().extend([("run".to_owned(), 1), ("dir".to_owned(), 1)]);
        parameters
    }

    /// Finds the value of a declared parameter.
    pub(super) fn declare(
        &mut self,
        problems: &mut Problems,
        (key, node): (&Key, &Node),
        declared: &file::Parameter,
        outside: &Outside<'_>,
        secrets: &mut Secrets,
    ) {
        let name = key.text.clone();
        if let Err(error) = name.parse::<Slug>() {
            problems.error(key.place, "wrong-name", format!("`{name}` is not the name of a parameter"), error.hint);
        }
        if name == "run" || name == "dir" {
            problems.error(key.place, "wrong-name", format!("`{name}` is built in"), "choose another name".to_owned());
            return;
        }
        let secret = declared.secret == Some(true);
        if secret && declared.default.is_some() {
            let place = node.get("default").map_or(node.place, |default| default.place);
            problems.error(place, "secret", "a secret has no default: the file would show it", "use `env` or `file`".to_owned());
        }
        if secret && outside.visible && outside.sets.contains_key(&name) {
            let hint = "`env: NAME` or `file: PATH`; a command line is visible to everybody on the host";
            problems.error(key.place, "secret", format!("`{name}` is a secret and is not given by `--set`"), hint.to_owned());
            self.known.insert(name, Known::Wrong);
            return;
        }
        let found = match value(declared, &name, outside) {
            Ok(Some(value)) => {
                let accepted: Vec<&str> = declared.one_of.iter().flatten().flatten().map(String::as_str).collect();
                if declared.one_of.is_some() && !accepted.contains(&value.as_str()) {
                    let message = format!("`{name}` is not `{}`", if secret { "(secret)" } else { &value });
                    let hint = did_you_mean(&value, &accepted, |known| Some(format!("it is one of {}", known.join(", "))));
                    problems.error(key.place, "wrong-word", message, hint);
                    Known::Wrong
                } else if secret {
                    secrets.insert(&name, value);
                    Known::Secret
                } else {
                    Known::Value(value)
                }
            }
            Ok(None) => Known::Unset(key.place, how_to_set(declared, &name)),
            Err(message) => {
                let place = node.get("file").map_or(node.place, |file| file.place);
                problems.error(place, "file", message, None);
                Known::Wrong
            }
        };
        self.known.insert(name, found);
    }

    /// What each was set to, for the record; secrets as `(secret)`.
    pub(super) fn recorded(&self) -> BTreeMap<String, String> {
        let shown = |known: &Known| match known {
            Known::Value(value) => Some(value.clone()),
            Known::Secret => Some("(secret)".to_owned()),
            Known::Unset(..) | Known::Wrong => None,
        };
        let declared = self.known.iter().filter(|(name, _)| *name != "run" && *name != "dir");
        declared.filter_map(|(name, known)| Some((name.clone(), shown(known)?))).collect()
    }

    /// Is it put in anywhere?
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.borrow().contains_key(name)
    }

    /// Every name, the built-in ones included.
    pub(super) fn names(&self) -> Vec<&str> {
        self.known.keys().map(String::as_str).collect()
    }

    /// Puts the values into a whole file, save its `parameters:`.
    pub(super) fn put_in(&self, problems: &mut Problems, root: &mut Node) {
        let Data::Map(entries) = &mut root.data else { return };
        for (key, value) in entries.iter_mut().filter(|(key, _)| key.text != "parameters") {
            self.put(problems, value, key.text == "with", false);
        }
        self.tell_unset(problems);
    }

    /// One error for each that is needed and not set, where it is declared, however often it is put in.
    fn tell_unset(&self, problems: &mut Problems) {
        for (name, known) in &self.known {
            let (Known::Unset(place, how), Some(times)) = (known, self.used.borrow().get(name).copied()) else { continue };
            let needed = if times == 1 { String::new() } else { format!(", and is put in {times} times") };
            problems.error(*place, "unset-parameter", format!("`{name}` has no value{needed}"), how.clone());
        }
    }

    /// `inside`: under a `with:` or `env:`, where every key is somebody else's. `filled`: where secrets are filled in later.
    fn put(&self, problems: &mut Problems, node: &mut Node, inside: bool, filled: bool) {
        let place = node.place;
        match &mut node.data {
            Data::Scalar { text, .. } => {
                if text.contains("$(") {
                    let before = problems.list.len();
                    *text = self.replaced(problems, text, place, filled);
                    if problems.list.len() > before {
                        problems.spoil(place);
                    }
                }
            }
            Data::List(items) => items.iter_mut().for_each(|item| self.put(problems, item, inside, filled)),
            Data::Map(entries) => {
                let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
                let (question, command) = (has("probe"), has("run"));
                for (key, value) in entries.iter_mut() {
                    if inside {
                        self.put(problems, value, true, filled);
                    } else if key.text != "good" {
                        let filled = (key.text == "with" && question) || (key.text == "env" && command);
                        self.put(problems, value, filled || key.text == "with", filled);
                    }
                }
            }
        }
    }

    fn replaced(&self, problems: &mut Problems, text: &str, place: Place, filled: bool) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                result.push_str(before);
                // Where secrets are filled in later, that is also where `$$(` becomes `$(`.
                result.push_str(if filled { "$$(" } else { "$(" });
                rest = &from[2..];
                continue;
            }
            result.push_str(before);
            let Some(end) = from.find(')') else {
                let hint = "write `$(name)`, or `$$(` for a literal `$(`";
                problems.error(place, "unknown-parameter", "a `$(` is never closed", hint.to_owned());
                rest = "";
                break;
            };
            let name = &from[2..end];
            self.one(problems, name, place, filled, &mut result);
            rest = &from[end + 1..];
        }
        result.push_str(rest);
        result
    }

    fn one(&self, problems: &mut Problems, name: &str, place: Place, filled: bool, result: &mut String) {
        *self.used.borrow_mut().entry(name.to_owned()).or_default() += 1;
        match self.known.get(name) {
            Some(Known::Value(value)) if filled => result.push_str(&value.replace("$(", "$$(")),
            Some(Known::Value(value)) => result.push_str(value),
            Some(Known::Secret) if filled => {
                result.push_str("$(");
                result.push_str(name);
                result.push(')');
            }
            Some(Known::Secret) => {
                let message = format!("the secret `{name}` may stand only under `with:` of a probe and under `env:`");
                problems.error(place, "secret", message, "everything else is shown in plan and record".to_owned());
            }
            // Told once, where it is declared.
            Some(Known::Unset(..) | Known::Wrong) => problems.spoil(place),
            None if problems.list.iter().any(|problem| problem.code == BRACES && problem.line == place.line) => problems.spoil(place),
            None => {
                let known = self.names();
                let hint = did_you_mean(name, &known, |_| {
                    Some(format!("declare `{name}` under `parameters:`, or write `$$(` for a literal `$(`"))
                });
                problems.error(place, "unknown-parameter", format!("no parameter is called `{name}`"), hint);
            }
        }
    }
}

fn value(declared: &file::Parameter, name: &str, outside: &Outside<'_>) -> Result<Option<String>, String> {
    if let Some(set) = outside.sets.get(name) {
        return Ok(Some(set.clone()));
    }
    if let Some(found) = declared.env.as_deref().and_then(outside.env) {
        return Ok(Some(found));
    }
    if let Some(file) = &declared.file {
        let path = outside.folder.join(file);
        if path.exists() || declared.default.is_none() {
            let text = read::read(&path).map_err(|refused| format!("{file} {}", refused.message))?.text;
            return Ok(Some(text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r')).to_owned()));
        }
    }
    Ok(declared.default.clone())
}

fn how_to_set(declared: &file::Parameter, name: &str) -> String {
    match &declared.env {
        Some(env) if declared.secret == Some(true) => format!("set the environment variable {env}"),
        Some(env) => format!("`--set {name}=…`, or set the environment variable {env}"),
        None => format!("`--set {name}=…`, or give it a `default`"),
    }
}
