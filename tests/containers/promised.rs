//! What experiments/README.md promises of each experiment.

use std::path::{Path, PathBuf};

/// The folder of the experiments.
pub fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments")
}

/// The exit code that the README's table promises for an experiment.
pub fn promised(name: &str) -> Option<i32> {
    let readme = std::fs::read_to_string(experiments().join("README.md")).expect("the README is there");
    let row = readme.lines().find(|line| line.starts_with(&format!("| [{name}]({name}.yaml)")))?;
    let code = row.rsplit_once('(')?.1.split(')').next()?;
    code.parse().ok()
}

/// A machine that is too busy says so in one of these ways, and is asked again: too little was measured, the demo was not well even
/// before anything was done to it, or its executor was not heard of in time. Nothing was found out about what the experiment promises.
pub fn proves_nothing(code: Option<i32>, told: &str) -> bool {
    const INCONCLUSIVE: i32 = 3;
    const NOT_WELL_BEFORE: i32 = 4;
    matches!(code, Some(INCONCLUSIVE | NOT_WELL_BEFORE)) || told.contains("nothing was run: the executor has been silent")
}
