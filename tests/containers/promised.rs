//! What experiments/README.md promises of each experiment.

use std::path::{Path, PathBuf};
use std::process::Output;

/// How often a run that proved nothing is begun again.
pub const AGAIN: usize = 3;

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

/// Runs an experiment, and again while it proves nothing and was to end otherwise.
pub fn proved(promised: Option<i32>, mut run: impl FnMut() -> Output) -> Output {
    let mut output = run();
    for _ in 0..AGAIN {
        let code = output.status.code();
        if code == promised || !proves_nothing(code, &told(&output)) {
            break;
        }
        output = run();
    }
    output
}

/// All that a program said.
pub fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A machine that is too busy says so in one of these ways, and is asked again: too little was measured, the demo was not well even
/// before anything was done to it, or its executor was not heard of in time. Nothing was found out about what the experiment promises.
pub fn proves_nothing(code: Option<i32>, told: &str) -> bool {
    const INCONCLUSIVE: i32 = 3;
    const NOT_WELL_BEFORE: i32 = 4;
    matches!(code, Some(INCONCLUSIVE | NOT_WELL_BEFORE)) || told.contains("nothing was run: the executor has been silent")
}
