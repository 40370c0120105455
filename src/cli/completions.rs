//! `chaos completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;

use super::{Cli, Failure};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "chaos", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
