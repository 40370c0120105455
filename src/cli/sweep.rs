//! `chaos sweep`: what bears our mark on this host, journal or not. The second net, when a journal is lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use chaos_core::World;
use chaos_core::recover::{Standing, survey};
use chaos_core::take_back::Patience;
use chaos_docker::Stamp;
use chaos_host::Found;

use super::executor::recovery_in;
use super::worlds::Worlds;
use super::{Console, Failure, Global};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look in these folders too, and in all folders above them; mounts are always looked at
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Take back what lies beside its own undo, after it was shown
    #[arg(long)]
    follow: bool,
}

pub(super) fn run(args: &Args, global: &Global, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let state = super::state(global)?;
    let live = live_runs(&survey(&state).map_err(|e| Failure::usage(format!("read the journals in {}: {e}", state.path().display())))?);
    let roots: Vec<PathBuf> = args.folders.iter().map(|f| std::path::absolute(f).unwrap_or_else(|_| f.clone())).collect();
    let found = chaos_host::sweep(&roots).map_err(|e| Failure::usage(format!("look for what bears our mark: {e}")))?;
    let mut found = found;
    match super::wait_for(chaos_docker::sweep(worlds.docker.view()))? {
        Ok(stamps) => found.extend(stamps.into_iter().map(|stamp| in_an_engine(stamp, worlds))),
        Err(e) => console.say(format_args!("what faults left in containers was not looked for: {e}")),
    }
    let (found, living): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|f| !live.contains(&f.run));
    for of in living.iter().map(|f| &f.run).collect::<BTreeSet<_>>() {
        console.say(format_args!("run {of} lives; what it made belongs there"));
    }
    if found.is_empty() {
        console.data("nothing was left here that bears our mark\n");
        return Ok(ExitCode::SUCCESS);
    }
    for one in &found {
        let commands: String = one.remove.iter().map(|line| format!("  {line}\n")).collect();
        console.data(format_args!("run {}: {}\n{commands}", one.run, one.what));
    }
    if !args.follow {
        return Ok(ExitCode::from(7));
    }
    let recovery = recovery_in(state, worlds, Patience::default())?;
    let mut left = found.iter().any(|f| f.stamps.is_empty());
    for (run, (kind, undo)) in found.iter().flat_map(|f| f.stamps.iter().map(move |stamp| (&f.run, stamp))) {
        match super::wait_for(recovery.follow_stamp(run, kind, undo))? {
            Ok(reverted) => console.data(format_args!("{kind}: taken back; {}\n", reverted.notes.join("; "))),
            Err(e) => {
                left = true;
                console.say(format_args!("{kind}: {e}"));
            }
        }
    }
    Ok(ExitCode::from(if left { 7 } else { 0 }))
}

/// Shown as its commands; followed if it is ours.
fn in_an_engine(stamp: Stamp, worlds: &Worlds) -> Found {
    let Stamp { run, what, kind, undo, is_own } = stamp;
    let remove = worlds.faults.get(&kind).map_or_else(|| vec![format!("# this chaos knows no fault {kind}")], |fault| fault.explain(&undo));
    Found { run, what, remove, stamps: if is_own { vec![(kind, undo)] } else { Vec::new() } }
}

fn live_runs(found: &[chaos_core::recover::Found]) -> BTreeSet<String> {
    found.iter().filter(|f| f.standing == Standing::Live).map(|f| f.run.clone()).collect()
}
