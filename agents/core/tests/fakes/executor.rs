//! An executor over fake faults, started by the tests as `fake-executor executor --state-dir DIR [--recover RUN]`: how a
//! composition root puts one together.

#[path = "mod.rs"]
mod fakes;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::claim::Claims;
use chaos_core::executor::{Composition, Executor, Guard, detach};
use chaos_core::fault::FaultError;
use chaos_core::lever::Lever;
use chaos_core::plan::PlannedInjection;
use chaos_core::recover::Recovery;
use chaos_core::state_dir::StateDir;
use chaos_core::take_back::Patience;
use chaos_core::target::Target;

struct Untouchable;

impl Guard for Untouchable {
    fn allow(&self, _: &PlannedInjection, target: &Target) -> Result<(), FaultError> {
        if target.label == "untouchable" {
            return Err(FaultError::new("not injected: it is untouchable"));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let state = |path| StateDir::open(Path::new(path)).expect("a state directory");
    match words[1..] {
        ["executor", "--state-dir", path] => serve(state(path)),
        ["executor", "--state-dir", path, "--recover", run] => recover(state(path), run, false),
        ["executor", "--state-dir", path, "--recover", run, "--leave-system"] => recover(state(path), run, true),
        _ => ExitCode::from(2),
    }
}

fn patience() -> Patience {
    // `FAKE_GIVE_UP_MS` so that a test of giving up need not take ten minutes.
    let give_up = std::env::var("FAKE_GIVE_UP_MS").ok().and_then(|ms| ms.parse().ok()).map_or(600_000, |ms: u64| ms);
    Patience { give_up: Duration::from_millis(give_up), attempt: Duration::from_millis(500), ..Patience::default() }
}

fn claims(state: &StateDir) -> Claims {
    Claims::at(&state.path().join("claims")).expect("claims")
}

fn serve(state: StateDir) -> ExitCode {
    let (socket, surroundings) = detach().expect("a socket as standard input");
    let executor = Executor {
        socket,
        claims: claims(&state),
        lever: Lever::at(vec![state.path().join("halt")]),
        state,
        patience: patience(),
        class_patience: Duration::from_millis(300),
        surroundings,
        coordinator: None,
        chaos: "0.1.0".into(),
        compose: Box::new(|_, _| Composition { table: fakes::table(), guard: Arc::new(Untouchable) }),
    };
    match executor.serve_to_the_end() {
        Ok(residue) if residue.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(7),
        Err(_) => ExitCode::from(2),
    }
}

#[allow(clippy::print_stdout, reason = "the report goes to whoever started this")]
fn recover(state: StateDir, run: &str, leave_system: bool) -> ExitCode {
    let recovery = Recovery {
        claims: claims(&state),
        state,
        table: fakes::table(),
        patience: patience(),
        class_patience: Duration::from_millis(300),
        chaos: "0.1.0".into(),
        leave_system,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(recovery.recover(Some(&[run.to_owned()]))).expect("journals");
    runtime.shutdown_background();
    println!("{}", serde_json::to_string(&report).expect("a report"));
    ExitCode::from(if report.has_residue() { 7 } else { 0 })
}
