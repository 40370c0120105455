//! `chaos recover`: finishes what a crash left. And the gate before every run.

use std::process::ExitCode;
use std::time::Duration;

use chaos_core::journal::DAMAGE;
use chaos_core::recover::{Found, RecoveryReport, RunOutcome, Standing, forget, residue, survey};
use chaos_core::state_dir::StateDir;
use chaos_core::take_back::Patience;

use super::executor::recovery_in;
use super::worlds::Worlds;
use super::{Console, Failure, Global};

/// How long the recovery before another command tries; `chaos recover` itself tries longer.
const BEFORE_A_COMMAND: Duration = Duration::from_secs(15);

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these runs [default: every run of this host that left something]
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    /// Print the undo as shell commands for a person, and do nothing
    #[arg(long, conflicts_with_all = ["expired", "forget"])]
    print: bool,
    /// Say nothing where nothing was left: for a boot unit
    #[arg(long)]
    expired: bool,
    /// Let one thing be: `RUN/SLOT`, or `RUN/damage` for what cannot be read of a journal
    #[arg(long, value_name = "RUN/SLOT", requires = "because", conflicts_with_all = ["runs", "expired"])]
    forget: Option<String>,
    /// Why it need not be taken back
    #[arg(long, value_name = "TEXT", requires = "forget")]
    because: Option<String>,
    /// Try for so long to take a thing back before it is called residue
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    within: chaos_core::literal::Duration,
}

pub(super) fn run(args: &Args, global: &Global, console: Console, worlds: &Worlds) -> Result<ExitCode, Failure> {
    let state = super::state(global)?;
    if let (Some(what), Some(because)) = (&args.forget, &args.because) {
        return forget_one(&state, what, because, console);
    }
    let recovery = recovery_in(state, worlds, patience(args.within.get()))?;
    let cannot_read = |e| Failure::usage(format!("read the journals in {}: {e}", recovery.state.path().display()));
    if args.print {
        let lines = recovery.print().map_err(cannot_read)?;
        if lines.is_empty() {
            let found = survey(&recovery.state).map_err(cannot_read)?;
            for live in found.iter().filter(|f| f.standing == Standing::Live) {
                console.say(format_args!("run {} lives: it takes its own faults back; `chaos halt` makes it do so now", live.run));
            }
            console.say("nothing was left here");
        }
        console.data(lines.into_iter().map(|line| line + "\n").collect::<String>());
        return Ok(ExitCode::SUCCESS);
    }
    let runs = (!args.runs.is_empty()).then_some(args.runs.as_slice());
    let mut report = super::wait_for(recovery.recover(runs))?.map_err(cannot_read)?;
    if args.expired {
        report.runs.retain(|run| !matches!(run.outcome, RunOutcome::Live | RunOutcome::Foreign(_)));
    }
    say(&report, args.expired, console);
    Ok(ExitCode::from(if report.has_residue() { 7 } else { 0 }))
}

fn say(report: &RecoveryReport, quiet: bool, console: Console) {
    match report.runs.is_empty() {
        false => console.data(format_args!("{report}\n")),
        true if quiet => {}
        true => console.data("nothing was left here\n"),
    }
    if report.has_residue() {
        console.say("hint: look at what is left with `chaos recover --print`; `chaos recover --forget RUN/SLOT --because TEXT` lets it be");
    }
}

fn forget_one(state: &StateDir, what: &str, because: &str, console: Console) -> Result<ExitCode, Failure> {
    let (run, slot) = what
        .split_once('/')
        .ok_or_else(|| Failure::usage(format!("`{what}` names nothing to forget")).hint("`RUN/SLOT`, as `chaos status` prints it"))?;
    match forget(state, run, slot, because, env!("CARGO_PKG_VERSION")) {
        Ok(()) => {
            console.data(format_args!("{what} is forgotten: {because}\n"));
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => Err(Failure::usage(e.to_string()).hint("`chaos status` prints what is left")),
    }
}

fn patience(give_up: Duration) -> Patience {
    Patience { give_up, ..Patience::default() }
}

/// What every command does first, whatever it is about: takes back what dead runs left. Makes no state directory where
/// there is none, and is no reason for a command to fail: what could not be taken back is found by [`gate`].
pub(super) fn before_a_command(global: &Global, worlds: &Worlds, console: Console) {
    let Some(path) = global.state_dir.clone().or_else(|| StateDir::usual().ok()) else { return };
    if !path.join("journals").is_dir() {
        return;
    }
    if let Err(failure) = super::state(global).and_then(|state| expired(&state, worlds, console)) {
        console.say(format_args!("warning: what an earlier run may have left was not looked for: {}", failure.message));
    }
}

/// Takes back what dead runs of this host left, as every command does first. What could not be is found by [`gate`].
///
/// # Errors
/// If the journals cannot be read.
fn expired(state: &StateDir, worlds: &Worlds, console: Console) -> Result<(), Failure> {
    if left(state)?.is_empty() {
        return Ok(());
    }
    let state = StateDir::open(state.path()).map_err(|e| Failure::usage(e.to_string()).hint(e.hint))?;
    let recovery = recovery_in(state, worlds, patience(BEFORE_A_COMMAND))?;
    let report = super::wait_for(recovery.recover(None))?
        .map_err(|e| Failure::usage(format!("read the journals in {}: {e}", recovery.state.path().display())))?;
    for run in report.runs.iter().filter(|run| !matches!(run.outcome, RunOutcome::Live | RunOutcome::Foreign(_))) {
        let what = if run.outcome == RunOutcome::Clean { "recovered" } else { "not recovered" };
        console.say(format_args!("{what}: {run}"));
    }
    Ok(())
}

/// Refuses to go on while something is left that could not be taken back before.
///
/// # Errors
/// Exit 7, with everything that is left and how to be rid of it.
pub(super) fn gate(state: &StateDir) -> Result<(), Failure> {
    let left = left(state)?;
    if left.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = left.iter().flat_map(names).collect();
    Err(Failure::usage(format!("nothing was run: an earlier run left something on this host: {}", names.join(", ")))
        .hint("`chaos recover` takes it back; `chaos recover --print` prints how a person would")
        .hint("`chaos recover --forget RUN/SLOT --because TEXT` lets it be")
        .exit(7))
}

fn left(state: &StateDir) -> Result<Vec<Found>, Failure> {
    residue(state).map_err(|e| Failure::usage(format!("read the journals in {}: {e}", state.path().display())))
}

/// Everything that is left of a run, by the names under which it can be forgotten.
pub(super) fn names(found: &Found) -> Vec<String> {
    let unreadable = if let Standing::Unreadable(why) = &found.standing { Some(format!("{} ({why})", found.run)) } else { None };
    let entries =
        found.contents.open_entries().map(|e| format!("{}/{} ({} on {})", found.run, e.intent.slot, e.intent.fault, e.intent.target));
    let damage = (!found.contents.open_damage().is_empty()).then(|| format!("{}/{DAMAGE}", found.run));
    unreadable.into_iter().chain(entries).chain(damage).collect()
}
