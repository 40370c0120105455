//! `chaos validate FILE…`: everything that can be known from the file alone.

use std::path::PathBuf;
use std::process::ExitCode;

use super::worlds::Worlds;
use super::{Console, Failure, load};
use crate::experiment::{self, Diagnostic, Severity};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Set a parameter of the experiments; can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = load::assignment)]
    set: Vec<(String, String)>,
    /// How diagnostics are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(super) fn run(args: &Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let mut all: Vec<Diagnostic> = Vec::new();
    let mut well = Vec::new();
    for file in &args.files {
        match load::read(file, &args.set, "validate", worlds) {
            Ok(loaded) => {
                well.push(format!("{}: {}", file.display(), loaded.experiment.title));
                all.extend(loaded.warnings);
            }
            Err(diagnostics) => all.extend(diagnostics),
        }
    }
    let failed = all.iter().any(|d| d.severity == Severity::Error);
    match args.format {
        Format::Json => console.data(format_args!("{:#}\n", serde_json::to_value(&all).unwrap_or_default())),
        Format::Text => {
            if !all.is_empty() {
                console.say(format_args!("{}{}; nothing was run", experiment::render(&all, console.color_err), experiment::summary(&all)));
            }
            for line in well {
                console.data(format_args!("valid: {line}\n"));
            }
        }
    }
    Ok(if failed { ExitCode::from(2) } else { ExitCode::SUCCESS })
}
