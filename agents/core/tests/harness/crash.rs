//! Killing somebody at a known point, and looking whether anything is left.

use std::any::Any;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chaos_core::event::InjectionState as S;
use chaos_core::experiment::SystemProcess;
use chaos_core::fault::FaultError;
use chaos_core::journal::Journal;
use chaos_core::plan::PlannedInjection;
use chaos_core::state_dir::StateDir;
use chaos_core::wire::Request;
use rustix::process::{Pid, Signal, kill_process};

use super::{Coordinator, PATIENCE, plan, spawn};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Coordinator,
    Executor,
    Both,
}

pub const VICTIMS: [Victim; 3] = [Victim::Coordinator, Victim::Executor, Victim::Both];

/// When.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// While the executor is held at this failpoint.
    At(&'static str),
    /// So long after the injection was asked for.
    After(Duration),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(point) => f.write_str(point),
            Self::After(time) => write!(f, "after {time:?}"),
        }
    }
}

/// Something that can be harmed, and a look at it that asks no fault.
pub struct Scene {
    pub act: Act,
    /// Is everything as it was? Says what is not.
    pub look: Box<dyn Fn() -> Result<(), String> + Send>,
    /// The effect dies with the executor: nobody needs to recover it.
    pub bound: bool,
    /// What must live as long as the scene.
    pub keep: Box<dyn Any + Send>,
}

/// What the executor is asked to do.
pub enum Act {
    Inject(Box<PlannedInjection>),
    Start(Box<SystemProcess>),
}

impl Act {
    fn slot(&self) -> String {
        match self {
            Self::Inject(injection) => injection.slot.clone(),
            Self::Start(process) => format!("system.{}", process.name),
        }
    }
}

/// What came of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Somebody was killed there, and nothing was left.
    Clean,
    /// The injection does not pass that point.
    NotPassed,
}

/// Kills the victim then and there; an error says what was left.
pub fn crash(program: &Path, folder: &Path, run: &str, scene: &Scene, when: When, victim: Victim) -> Result<Came, String> {
    let state_path = folder.join("state");
    let state = StateDir::open(&state_path).map_err(|e| e.to_string())?;
    let wrapped = wrap(program, folder, when, &scene.act.slot());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let began = runtime.block_on(act(&wrapped, &state_path, run, scene, when, folder));
    let (coordinator, held) = began?;
    if !held {
        // The whole story ran without coming by: it must end well all the same.
        let mut coordinator = coordinator;
        let residue = runtime.block_on(coordinator.close());
        return if residue.is_empty() { (scene.look)().map(|()| Came::NotPassed) } else { Err(format!("residue {residue:?}")) };
    }
    let executor = Journal::look(&state, run).map_err(|e| e.to_string())?.0.writer.ok_or("no writer")?.pid;
    match victim {
        Victim::Coordinator => {
            drop(runtime);
            drop(coordinator);
            let_go(folder, when);
        }
        Victim::Executor => {
            kill(executor);
            recovered_by_link(&runtime, coordinator)?;
        }
        Victim::Both => {
            drop(runtime);
            kill(executor);
            drop(coordinator);
            if scene.bound {
                wait_until("what is bound died with the executor", || (scene.look)())?;
            }
            recover(program, &state_path, run)?;
        }
    }
    let done = state_path.join(format!("journals/done/{run}.journal"));
    wait_until("the journal is finished", || if done.exists() { Ok(()) } else { Err("it is not".into()) })?;
    (scene.look)().map(|()| Came::Clean)
}

/// Asks for the injection, and waits until the time has come. False: the point was not passed.
async fn act(program: &Path, state: &Path, run: &str, scene: &Scene, when: When, folder: &Path) -> Result<(Coordinator, bool), String> {
    let link = spawn(program, state, run, Duration::from_secs(30)).await.map_err(|e| e.message)?;
    let mut c = Coordinator::new(link);
    let slot = scene.act.slot();
    match &scene.act {
        Act::Inject(injection) => {
            let plan = plan(run, vec![(**injection).clone()]);
            c.approve(&plan).await;
            c.grant(&plan, &slot).await;
        }
        Act::Start(process) => c.link.send(Request::StartSystem(process.clone())).await,
    }
    let When::At(point) = when else {
        let When::After(time) = when else { return Ok((c, true)) };
        let _ = tokio::time::timeout(time, c.until("the time has come", |_| false)).await;
        return match c.states.iter().find_map(|(_, s)| refused(s)) {
            Some(e) => Err(format!("{slot} could not be done: {e}")),
            None => Ok((c, true)),
        };
    };
    let hit = folder.join(format!("{point}.hit"));
    let began = Instant::now();
    let mut asked = false;
    while !hit.exists() {
        if began.elapsed() > PATIENCE {
            return Err(format!("neither held at {point} nor done: {:?}", c.story(&slot)));
        }
        let _ = tokio::time::timeout(Duration::from_millis(5), c.until("something is heard", |_| false)).await;
        if let Some(e) = c.states.iter().find_map(|(_, s)| refused(s)) {
            return Err(format!("{slot} could not be done: {e}"));
        }
        let in_force = c.has(&slot, |s| matches!(s, S::Present(_)))
            || (matches!(scene.act, Act::Start(_)) && c.has(&slot, |s| matches!(s, S::Injected { .. })));
        if c.has(&slot, |s| matches!(s, S::Reverted { .. })) {
            return Ok((c, false));
        }
        if in_force && !asked && point != chaos_core::failpoint::INJECTED {
            asked = true;
            c.link.send(Request::Close).await;
        }
    }
    Ok((c, true))
}

/// Why it was not done, or not taken back.
fn refused(state: &S) -> Option<&FaultError> {
    match state {
        S::Refused(e) | S::Residue(e) => Some(e),
        _ => None,
    }
}

/// The program with the failpoint in its environment, as a script of its own: cases run beside one another.
fn wrap(program: &Path, folder: &Path, when: When, slot: &str) -> PathBuf {
    let point = match when {
        When::At(point) => {
            format!("export CHAOS_FAILPOINT={point} CHAOS_FAILPOINT_SLOT='{slot}' CHAOS_FAILPOINT_DIR='{}'\n", folder.display())
        }
        When::After(_) => String::new(),
    };
    let script = folder.join("program");
    let text = format!("#!/bin/sh\n{point}exec '{}' \"$@\"\n", program.display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("a mode");
    script
}

fn let_go(folder: &Path, when: When) {
    if let When::At(point) = when {
        std::fs::write(folder.join(format!("{point}.go")), "").expect("a file");
    }
}

fn recovered_by_link(runtime: &tokio::runtime::Runtime, mut coordinator: Coordinator) -> Result<(), String> {
    runtime.block_on(coordinator.until("the executor is recovered", |c| c.recovered.is_some() || c.has_closed()));
    if let Some((residue, message)) = &coordinator.recovered
        && !residue.is_empty()
    {
        return Err(message.clone());
    }
    // The system stands until the run has watched it recover.
    let residue = runtime.block_on(coordinator.close());
    if residue.is_empty() { Ok(()) } else { Err(format!("left after the end: {residue:?}")) }
}

fn recover(program: &Path, state: &Path, run: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    let command = command.arg("executor").arg("--state-dir").arg(state).arg("--recover").arg(run);
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("recovery ended with {}: {}", output.status, String::from_utf8_lossy(&output.stdout)))
}

/// Kills a process and waits until it is dead: until then it holds its locks. One that has ended by itself is no failure.
fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let began = Instant::now();
    while is_alive(pid) && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A zombie whose other threads are still dying holds its locks.
fn is_alive(pid: i32) -> bool {
    if std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1) {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

fn wait_until(what: &str, so: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match so() {
            Ok(()) => return Ok(()),
            Err(e) if began.elapsed() > PATIENCE => return Err(format!("waited in vain until {what}: {e}")),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// One case of a matrix: its name, and what to do in a folder of its own.
pub type Case = (String, Box<dyn FnOnce(&Path) -> Result<Came, String> + Send>);

/// Does all cases, eight at a time: they wait more than they compute. In a virtual machine they compute more. Says how many there were; gives the failures.
#[allow(clippy::print_stdout, reason = "the counts are part of the result")]
pub fn all(what: &str, cases: Vec<Case>) -> Vec<String> {
    let total = cases.len();
    let queue = Mutex::new(cases);
    let came = Mutex::new((0, Vec::new(), Vec::new()));
    let at_once = if std::env::var_os("CHAOS_TESTBED_GUEST").is_some() { 2 } else { 8 };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no case panics with the lock").pop();
                    let Some((name, case)) = next else { break };
                    let folder = tempfile::tempdir().expect("a folder");
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(folder.path())));
                    let result = result.unwrap_or_else(|panic| Err(panic.downcast_ref::<String>().cloned().unwrap_or_default()));
                    let mut came = came.lock().expect("no case panics with the lock");
                    match result {
                        Ok(Came::Clean) => came.0 += 1,
                        Ok(Came::NotPassed) => came.1.push(name),
                        Err(e) => {
                            came.2.push(format!("{name}: {e}"));
                            // Kept, to be looked at.
                            let _ = folder.keep();
                        }
                    }
                }
            });
        }
    });
    let (clean, not_passed, failures) = came.into_inner().expect("no case panics with the lock");
    println!("{what}: {total} cases, {clean} clean, {} not passed {not_passed:?}, {} failed", not_passed.len(), failures.len());
    failures
}

/// Has the effect, looks, and takes it back: can the look see anything at all?
pub fn while_in_force<T>(program: &Path, folder: &Path, run: &str, scene: &Scene, look: impl FnOnce() -> T) -> Result<T, String> {
    let state = folder.join("state");
    StateDir::open(&state).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let (mut c, _) = act(program, &state, run, scene, When::After(Duration::ZERO), folder).await?;
        let slot = scene.act.slot();
        c.until("it is in force", |c| c.has(&slot, |s| matches!(s, S::Injected { .. } | S::Refused(_) | S::Failed(_)))).await;
        if let Some((_, S::Refused(e) | S::Failed(e))) = c.states.iter().find(|(_, s)| matches!(s, S::Refused(_) | S::Failed(_))) {
            return Err(e.to_string());
        }
        let seen = look();
        let residue = c.close().await;
        if residue.is_empty() { Ok(seen) } else { Err(format!("residue {residue:?}")) }
    })
}
