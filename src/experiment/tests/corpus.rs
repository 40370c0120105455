//! Files that are right and files that are wrong: the fourteen experiments of the language, those that ship, and one mistake a file.

use std::path::{Path, PathBuf};

use super::super::{Severity, Vocabulary, render, schema};
use super::{real, vocabulary, with};

fn corpus(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{} holds no experiment", folder.display());
    files
}

/// A copy of the experiments, with the secret beside them that only their author has.
fn with_secrets(folder: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for (from, to) in [(folder.to_owned(), ""), (format!("{folder}/parts"), "parts")] {
        std::fs::create_dir_all(copy.path().join(to)).expect("a folder");
        for file in corpus(from) {
            std::fs::copy(&file, copy.path().join(to).join(file.file_name().expect("a name"))).expect("a copy");
        }
    }
    std::fs::create_dir(copy.path().join("secrets")).expect("a folder");
    std::fs::write(copy.path().join("secrets/pg"), "hunter2\n").expect("a secret");
    copy
}

/// Errors that only say that a word belongs to a platform which does not exist yet.
pub(super) const LATER: [&str; 5] = ["unknown-fault", "unknown-probe", "unknown-target-kind", "unknown-place-kind", "later-word"];

#[test]
fn the_fourteen_experiments_are_refused_only_for_words_of_later_platforms() {
    let folder = with_secrets("src/experiment/corpus/language");
    let files = corpus(folder.path());
    assert_eq!(files.len(), 14);
    let mut accepted = Vec::new();
    for file in files {
        match real(&file, &[]) {
            Ok(_) => accepted.push(file.file_name().map(|name| name.to_string_lossy()[..2].to_owned()).unwrap_or_default()),
            Err(problems) => {
                let wrong: Vec<_> =
                    problems.into_iter().filter(|problem| problem.severity == Severity::Error && !LATER.contains(&problem.code)).collect();
                assert!(wrong.is_empty(), "{}", render(&wrong, false));
            }
        }
    }
    for number in ["01", "03", "08", "13"] {
        assert!(accepted.iter().any(|accepted| accepted == number), "{accepted:?}");
    }
}

#[test]
fn schema_and_decoder_agree_on_the_corpus() {
    let (faults, probes, kinds) = vocabulary::real();
    let words = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
    let validator = jsonschema::validator_for(&schema(&words)).expect("a valid schema");
    for file in corpus("src/experiment/corpus/good") {
        let loaded = with(words, &file, &[]);
        assert!(loaded.is_ok(), "{}", render(&loaded.err().unwrap_or_default(), false));
        let errors: Vec<String> =
            validator.iter_errors(&as_json(&file)).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
    for file in corpus("src/experiment/corpus/bad") {
        assert!(with(words, &file, &[]).is_err(), "{} is accepted", file.display());
        assert!(!validator.is_valid(&as_json(&file)), "{} is accepted by the schema", file.display());
    }
}

/// A file as an editor's schema checker sees it.
pub(super) fn as_json(file: &Path) -> serde_json::Value {
    let source = crate::experiment::read::read(file).expect("a readable file");
    let (root, mistakes) = crate::experiment::yaml::parse(&source, 0);
    assert!(mistakes.is_empty(), "{}", render(&mistakes, false));
    crate::experiment::walk::free(&root.expect("a tree"))
}

#[test]
fn every_bad_file_of_the_corpus_says_so_in_one_place() {
    let (faults, probes, kinds) = vocabulary::real();
    let words = Vocabulary { faults: &faults, probes: &probes, kinds: &kinds };
    let mut told = String::new();
    for file in corpus("src/experiment/corpus/bad") {
        let mut problems = with(words, &file, &[]).expect_err("a bad file");
        for problem in &mut problems {
            problem.file = problem.file.file_name().map(Into::into).unwrap_or_default();
        }
        assert_eq!(problems.len(), 1, "{}", render(&problems, false));
        told.extend(render(&problems, false).lines().take(1).map(|line| format!("{line}\n")));
    }
    insta::assert_snapshot!(told);
}
