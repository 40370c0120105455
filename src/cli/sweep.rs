//! `chaos sweep`: what bears our mark on this host, journal or not. The second net, when a journal is lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(feature = "docker")]
use chaos_core::World;
use chaos_core::recover::{Standing, survey};
use chaos_core::take_back::Patience;
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
    let in_containers = in_engines(worlds, console)?;
    let (found, living): (Vec<Found>, Vec<Found>) = found.into_iter().chain(in_containers).partition(|f| !live.contains(&f.run));
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

/// The undos that stand in a container engine beside their effects: shown as their commands, followed if they are of this host.
#[cfg(feature = "docker")]
fn in_engines(worlds: &Worlds, console: Console) -> Result<Vec<Found>, Failure> {
    let stamps = super::wait_for(chaos_docker::sweep(worlds.docker.view()))?.unwrap_or_else(|e| {
        console.say(format_args!("what faults left in containers was not looked for: {e}"));
        Vec::new()
    });
    let explained = |kind: &str, undo: &serde_json::Value| match worlds.faults.get(kind) {
        Some(fault) => fault.explain(undo),
        None => vec![format!("# this chaos knows no fault {kind}")],
    };
    let found = stamps.into_iter().map(|stamp| Found {
        remove: explained(&stamp.kind, &stamp.undo),
        stamps: if stamp.is_own { vec![(stamp.kind, stamp.undo)] } else { Vec::new() },
        run: stamp.run,
        what: stamp.what,
    });
    Ok(found.collect())
}

#[cfg(not(feature = "docker"))]
fn in_engines(_: &Worlds, _: Console) -> Result<Vec<Found>, Failure> {
    Ok(Vec::new())
}

fn live_runs(found: &[chaos_core::recover::Found]) -> BTreeSet<String> {
    found.iter().filter(|f| f.standing == Standing::Live).map(|f| f.run.clone()).collect()
}
