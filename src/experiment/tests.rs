mod corpus;
mod hostile;
mod messages;
mod outside;
mod vocabulary;

use std::collections::BTreeMap;
use std::path::Path;

use super::{Diagnostic, LoadOptions, Loaded, Vocabulary, load, render};

/// Loads a file with the real words of this program.
fn real(path: &Path, sets: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
    let (faults, probes, kinds) = vocabulary::real();
    with(Vocabulary { faults: &faults, probes: &probes, kinds: &kinds }, path, sets)
}

fn with(vocabulary: Vocabulary<'_>, path: &Path, sets: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
    let sets: BTreeMap<String, String> = sets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let env = |name: &str| (name == "CHAOS_TEST_KEY" || name == "LLM_API_KEY").then(|| "hunter2".to_owned());
    load(path, &LoadOptions { vocabulary, sets: &sets, env: &env, run_id: "run-1" })
}

/// Loads a text, written to a file of this name, with the words of the tests.
fn text(name: &str, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file");
    let (faults, probes, kinds) = vocabulary::real();
    let named = |mut diagnostics: Vec<Diagnostic>| {
        for diagnostic in &mut diagnostics {
            diagnostic.file = diagnostic.file.file_name().map(Into::into).unwrap_or_default();
        }
        diagnostics
    };
    match with(Vocabulary { faults: &faults, probes: &probes, kinds: &kinds }, &path, &[]) {
        Ok(mut loaded) => {
            loaded.warnings = named(loaded.warnings);
            Ok(loaded)
        }
        Err(problems) => Err(named(problems)),
    }
}

/// What a person reads about a text: errors and warnings.
fn told(text_of_file: &str) -> String {
    match text("x.yaml", text_of_file) {
        Ok(loaded) => render(&loaded.warnings, false),
        Err(problems) => render(&problems, false),
    }
}
