//! `chaos halt` and `chaos resume`: the lever that takes every fault back at once, and forbids new ones until it is released.

use std::path::PathBuf;
use std::process::ExitCode;

use chaos_core::lever::{self, Lever};

use super::{Console, Failure, Global};

/// Arguments of `halt`.
#[derive(Debug, clap::Args)]
pub struct HaltArgs {
    /// Why, for whoever is stopped by it
    #[arg(long, value_name = "TEXT", default_value = "halted by `chaos halt`")]
    because: String,
    /// Only for the runs of this state directory [default for everybody but root]
    #[arg(long)]
    here: bool,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {}

pub(super) fn halt(args: &HaltArgs, global: &Global, console: Console) -> Result<ExitCode, Failure> {
    let path = pick(global, args.here)?;
    lever::pull(&path, &args.because)
        .map_err(|e| Failure::usage(format!("pull the lever: {e}")).hint("`--here` halts only the runs of your own state directory"))?;
    console.data(format_args!(
        "halted: {} take their faults back within a second, and none injects any, until `chaos resume`\n",
        if own_runs_only(global, args.here) { "the runs of this state directory" } else { "all runs of this host" }
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn resume(_: &ResumeArgs, global: &Global, console: Console) -> Result<ExitCode, Failure> {
    let state = super::state(global)?;
    let lever = Lever::of(state.path());
    for path in lever.paths() {
        match lever::release(path) {
            Ok(true) => console.data(format_args!("released {}\n", path.display())),
            Ok(false) => {}
            Err(e) => return Err(Failure::usage(format!("release the lever: {e}")).hint("whoever pulled it may release it")),
        }
    }
    match lever.pulled() {
        Some(pulled) => Err(Failure::usage(pulled.to_string()).exit(5)),
        None => {
            console.data("runs may inject faults\n");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The file that is pulled.
fn pick(global: &Global, here: bool) -> Result<PathBuf, Failure> {
    let state = super::state(global)?;
    let lever = Lever::of(state.path());
    let own = state.path().join("halt");
    Ok(if own_runs_only(global, here) { own } else { lever.paths().first().cloned().unwrap_or(own) })
}

/// Root halts the host; others, and who says so, their own runs.
fn own_runs_only(global: &Global, here: bool) -> bool {
    here || global.state_dir.is_some() || !rustix::process::geteuid().is_root()
}
