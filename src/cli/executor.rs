//! `chaos executor`: the process in which harm is done. Hidden: `chaos run` starts it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::claim::Claims;
use chaos_core::executor::{Composition, Executor, Guard, Surroundings, TellSystem, detach, start_coordinator};
use chaos_core::fault::FaultError;
use chaos_core::lever::Lever;
use chaos_core::plan::PlannedInjection;
use chaos_core::recover::Recovery;
use chaos_core::secret::Secrets;
use chaos_core::state_dir::StateDir;
use chaos_core::take_back::Patience;
use chaos_core::target::Target;
use chaos_core::wire::Begin;

use super::worlds::Worlds;
use super::{Cli, ColorChoice, Command, Console, Failure, Global, LogFormat};

/// How long one class of faults may keep the next from being taken back.
pub(super) const CLASS_PATIENCE: Duration = Duration::from_secs(5);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Finish what the executor of this run left, and report it as JSON; without it, serve the socket that is standard input
    #[arg(long, value_name = "RUN")]
    recover: Option<String>,
    /// With --recover: leave the processes of `system:` as they are, for now
    #[arg(long, requires = "recover")]
    leave_system: bool,
}

/// A command line that only `chaos run` writes. What reads the words of a person is half of this program, and an executor that
/// waits beside somebody's system should not carry it in memory.
pub(super) fn as_run_starts_it(words: &[OsString]) -> Option<Cli> {
    let [_, name, state_dir, path] = words else { return None };
    if name != "executor" || state_dir != "--state-dir" {
        return None;
    }
    let global = Global { state_dir: Some(path.into()), color: ColorChoice::Auto, verbose: 0, log_format: LogFormat::Text };
    Some(Cli { global, command: Command::Executor(Args { recover: None, leave_system: false }) })
}

pub(super) fn run(args: &Args, global: &Global, console: Console, worlds: Worlds) -> Result<ExitCode, Failure> {
    match &args.recover {
        Some(run) => recover(run, args.leave_system, global, console, &worlds),
        None => serve(global, worlds),
    }
}

fn serve(global: &Global, worlds: Worlds) -> Result<ExitCode, Failure> {
    let (socket, surroundings) = detach().map_err(|e| Failure::usage(format!("take the socket from standard input: {e}")))?;
    let executor = assemble(socket, surroundings, None, super::state(global)?, worlds)?;
    let residue = executor.serve_to_the_end().map_err(|e| Failure::usage(e.to_string()))?;
    Ok(ExitCode::from(if residue.is_empty() { 0 } else { 7 }))
}

/// As the first process of a container: starts this command line once more as coordinator, and is its executor until it ends.
///
/// # Errors
/// If no coordinator can be started.
pub(super) fn serve_coordinator(global: &Global, worlds: Worlds) -> Result<ExitCode, Failure> {
    let state = super::state(global)?;
    let started = start_coordinator().map_err(|e| Failure::usage(format!("start the coordinator: {e}")).exit(70))?;
    let (socket, surroundings, coordinator) = started;
    // One that ends before it begins a run has said why; its exit code says it all.
    let _ = assemble(socket, surroundings, Some(coordinator.pid()), state, worlds)?.serve_to_the_end();
    Ok(ExitCode::from(coordinator.exit_code()))
}

/// An executor for this host.
fn assemble(
    socket: std::os::fd::OwnedFd,
    surroundings: Surroundings,
    coordinator: Option<i32>,
    state: StateDir,
    worlds: Worlds,
) -> Result<Executor, Failure> {
    let lever = Lever::of(state.path());
    let path = state.path().to_owned();
    Ok(Executor {
        socket,
        state,
        claims: claims()?,
        lever,
        patience: Patience::default(),
        class_patience: CLASS_PATIENCE,
        surroundings,
        coordinator,
        chaos: env!("CARGO_PKG_VERSION").to_owned(),
        compose: Box::new(move |begin, tell| compose(worlds, &path, begin, tell)),
    })
}

fn compose(worlds: Worlds, state: &Path, begin: &Begin, tell: TellSystem) -> Composition {
    worlds.host.protect(state);
    worlds.host.begin(Secrets::from_exposed(begin.secrets.clone()), &begin.run_folder);
    worlds.host.on_system(move |name, what| tell(name, what));
    Composition { table: Arc::clone(&worlds.faults), guard: Arc::new(NeverList(worlds)) }
}

/// What no plan overrides: this tool, its ancestors, the journal's disk.
struct NeverList(Worlds);

impl Guard for NeverList {
    fn allow(&self, _: &PlannedInjection, target: &Target) -> Result<(), FaultError> {
        match self.0.protected(target) {
            Some(why) => Err(FaultError::new(format!("not injected: {} is never harmed: {why}", target.label))),
            None => Ok(()),
        }
    }
}

fn recover(run: &str, leave_system: bool, global: &Global, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    // Whoever started this may die meanwhile; what was begun is finished.
    let _ = rustix::process::setsid();
    let recovery = Recovery { leave_system, ..recovery_in(super::state(global)?, worlds, Patience::default())? };
    let runs = [run.to_owned()];
    let report = super::wait_for(recovery.recover(Some(&runs)))?.map_err(|e| Failure::usage(format!("read the journals: {e}")))?;
    console.data(format_args!("{}\n", serde_json::to_value(&report).unwrap_or_default()));
    Ok(ExitCode::from(if report.has_residue() { 7 } else { 0 }))
}

/// Recovery on this host.
pub(super) fn recovery_in(state: StateDir, worlds: &Worlds, patience: Patience) -> Result<Recovery, Failure> {
    worlds.host.protect(state.path());
    Ok(Recovery {
        state,
        claims: claims()?,
        table: Arc::clone(&worlds.faults),
        patience,
        class_patience: CLASS_PATIENCE,
        chaos: env!("CARGO_PKG_VERSION").to_owned(),
        leave_system: false,
    })
}

fn claims() -> Result<Claims, Failure> {
    Claims::of_host().map_err(|e| Failure::usage(format!("claims cannot be taken on this host: {e}")))
}
