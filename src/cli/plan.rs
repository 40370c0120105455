//! `chaos plan FILE`: exactly what a run would do, found without touching anything.

use std::process::ExitCode;

use chaos_core::experiment::{Experiment, SystemProcess};
use chaos_core::lever::Lever;
use chaos_core::state_dir::StateDir;
use chaos_core::target::Target;

use super::load::{self, Source};
use super::validate::Format;
use super::worlds::Worlds;
use super::{Console, Failure, Global};
use crate::experiment::{self, Loaded};
use crate::plan::{self, Known, Refusal, Wave};
use crate::report;

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

pub(super) fn run(args: &Args, global: &Global, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let state = global.state_dir.clone().or_else(|| StateDir::usual().ok()).unwrap_or_default();
    if let Some(pulled) = Lever::of(&state).pulled() {
        console.say(format_args!("warning: {pulled}: nothing would be run; `chaos resume` allows it again"));
    }
    // What a run would refuse because our own files are there, a plan refuses too.
    worlds.host.protect(&state);
    let loaded = load::load(&args.source, "plan", console, worlds)?;
    let protected = |targets: &[Target]| worlds.first_protected(targets);
    let known = worlds.known(&protected);
    let planned = super::wait_for(plan::plan(&loaded.experiment, "plan", args.seed, &known))?;
    match planned {
        Ok(approved) => {
            match args.format {
                Format::Text => console.data(report::plan(approved.get(), &loaded.experiment, console.style_out())),
                Format::Json => console.data(format_args!("{:#}\n", serde_json::to_value(approved.get()).unwrap_or_default())),
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) if refusals.iter().all(|r| r.path.starts_with("targets.")) => {
            // What the experiment starts itself cannot be found before it runs.
            match super::wait_for(started_by_the_run(&loaded.experiment, &known))? {
                Ok(own) if own.is_empty() => Err(refused(&loaded, &refusals, console)),
                Ok(own) => {
                    console.data(report::outline(&loaded.experiment, &own, console.style_out()));
                    console.say("\nnothing was checked against the world: what the run starts itself is not running yet");
                    Ok(ExitCode::SUCCESS)
                }
                Err(refusals) => Err(refused(&loaded, &refusals, console)),
            }
        }
        Err(refusals) => Err(refused(&loaded, &refusals, console)),
    }
}

/// The proxies that targets need, and the experiment's own system. Who stands before a process of that is known once it runs.
async fn started_by_the_run(experiment: &Experiment, known: &Known<'_>) -> Result<Vec<SystemProcess>, Vec<Refusal>> {
    let mut own = plan::standing(experiment, "plan", known, Wave::First).await?;
    own.extend(experiment.system.iter().cloned());
    if experiment.system.is_empty() {
        own.extend(plan::standing(experiment, "plan", known, Wave::AfterSystem).await?);
    }
    Ok(own)
}

/// Refusals of a plan, each at its place in the file.
pub(super) fn refused(loaded: &Loaded, refusals: &[Refusal], console: Console) -> Failure {
    let at = |r: &Refusal| loaded.error_at(&r.path, "refused", r.message.clone(), r.hint.clone());
    let diagnostics: Vec<_> = refusals.iter().map(at).collect();
    Failure::rendered(format!("{}nothing was injected", experiment::render(&diagnostics, console.color_err)))
}
