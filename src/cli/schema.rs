//! `chaos schema`: the JSON Schema of the experiment file, for editors.

use std::process::ExitCode;

use super::worlds::Worlds;
use super::{Console, Failure};
use crate::experiment;

pub(super) fn run(console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    console.data(format_args!("{:#}\n", experiment::schema(&worlds.vocabulary())));
    Ok(ExitCode::SUCCESS)
}
