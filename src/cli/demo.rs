//! `chaos demo …`: the small AI serving system that the quickstart is about.

use std::process::ExitCode;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which part of it
    #[command(subcommand)]
    command: chaos_demo::Command,
}

pub(super) fn run(args: Args) -> ExitCode {
    chaos_demo::run(args.command)
}
