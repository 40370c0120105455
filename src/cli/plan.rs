//! `chaos plan FILE`: exactly what a run would do, found without touching anything.

use std::process::ExitCode;

use chaos_core::target::Target;

use super::load::{self, Source};
use super::validate::Format;
use super::worlds::Worlds;
use super::{Console, Failure, runtime};
use crate::experiment::{self, Loaded};
use crate::plan::{self, Refusal, text};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Seed of every random choice; the same seed and the same world give the same plan
    #[arg(long)]
    seed: Option<u64>,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let loaded = load::load(&args.source, "plan", console, worlds)?;
    let protected = |target: &Target| worlds.protected(target);
    let known = worlds.known(&protected);
    let planned = runtime()?.block_on(plan::plan(&loaded.experiment, "plan", args.seed, &known));
    match planned {
        Ok(approved) => {
            match args.format {
                Format::Text => console.data(text::render(approved.get(), &loaded.experiment, console.color_out)),
                Format::Json => console.data(format_args!("{:#}\n", serde_json::to_value(approved.get()).unwrap_or_default())),
            }
            Ok(ExitCode::SUCCESS)
        }
        // What the experiment starts itself cannot be found before it runs.
        Err(refusals) if !loaded.experiment.system.is_empty() && refusals.iter().all(|r| r.path.starts_with("targets.")) => {
            console.data(text::outline(&loaded.experiment, console.color_out));
            console.say("\nnothing was checked against the world: the experiment's own `system` is not running yet");
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) => Err(refused(&loaded, &refusals, console)),
    }
}

/// Refusals of a plan, each at its place in the file.
pub(super) fn refused(loaded: &Loaded, refusals: &[Refusal], console: Console) -> Failure {
    let at = |r: &Refusal| loaded.error_at(&r.path, "refused", r.message.clone(), r.hint.clone());
    let diagnostics: Vec<_> = refusals.iter().map(at).collect();
    Failure::rendered(format!("{}nothing was injected", experiment::render(&diagnostics, console.color_err)))
}
