//! `chaos man DIR`: one page for the program and one for each subcommand.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use super::{Cli, Failure};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that the pages are written into; made if absent
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let failed = |e: std::io::Error| Failure::usage(format!("write man pages into {}: {e}", args.dir.display()));
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
