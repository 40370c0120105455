//! Reading an experiment for a command: parameters from `--set`, diagnostics in its own words.

use std::path::{Path, PathBuf};

use super::worlds::Worlds;
use super::{Console, Failure};
use crate::experiment::{self, Diagnostic, LoadOptions, Loaded};

/// What every command that reads an experiment takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// The experiment file
    pub file: PathBuf,
    /// Set a parameter of the experiment; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// One `--set`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` sets nothing: write NAME=VALUE"))?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// Reads an experiment and says its warnings.
///
/// # Errors
/// With every diagnostic, rendered; nothing was run.
pub fn load(source: &Source, run: &str, console: Console, worlds: &Worlds) -> Result<Loaded, Failure> {
    match read(&source.file, &source.set, run, worlds) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                console.say(experiment::render(&loaded.warnings, console.color_err).trim_end());
            }
            Ok(loaded)
        }
        Err(diagnostics) => Err(wrong(&diagnostics, console)),
    }
}

/// Diagnostics as the reason why nothing was run.
pub fn wrong(diagnostics: &[Diagnostic], console: Console) -> Failure {
    let text = experiment::render(diagnostics, console.color_err);
    Failure::rendered(format!("{text}{}; nothing was run", experiment::summary(diagnostics)))
}

/// Reads an experiment.
///
/// # Errors
/// With every diagnostic.
pub fn read(file: &Path, set: &[(String, String)], run_id: &str, worlds: &Worlds) -> Result<Loaded, Vec<Diagnostic>> {
    let sets = set.iter().cloned().collect();
    let env = |name: &str| std::env::var(name).ok();
    experiment::load(file, &LoadOptions { vocabulary: worlds.vocabulary(), sets: &sets, env: &env, run_id })
}
