//! The same promises, with a real run: `chaos run` and its executor are killed, halted, and shut into a container.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use chaos_core::journal::{Journal, Status};
use chaos_core::state_dir::StateDir;
use rustix::process::{Pid, Signal, kill_process};

use crate::chaos;
use crate::harness::eventually;
use crate::scaffold::not_covered;

const EXPERIMENT: &str = r#"
version: 1
experiment: frozen-sleeper
title: A frozen sleeper
system:
  sleeper: {run: sh -c "sleep 600 & wait"}
steady_state:
  alive: {probe: process, of: sleepers, good: alive == total, every: 100ms, timeout: 1s}
targets:
  sleepers: {processes: {system: sleeper}, expect: 1}
blast_radius: {duration: 5m, targets: {sleepers: {at_most: 1}}}
method:
  - {inject: process.pause, into: sleepers, for: 2m}
"#;

/// A run whose fault is in force.
struct Run {
    folder: tempfile::TempDir,
    child: Child,
    id: String,
}

impl Run {
    fn start() -> Self {
        Self::start_as(|chaos| Command::new(chaos))
    }

    fn start_as(command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("experiment.yaml");
        std::fs::write(&file, EXPERIMENT).expect("a file");
        let mut command = command(chaos());
        command.arg("run").arg("--state-dir").arg(folder.path().join("state")).arg(&file);
        let log = std::fs::File::create(folder.path().join("output")).expect("a file");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).spawn().expect("chaos run");
        let mut run = Self { folder, child, id: String::new() };
        eventually("the fault is in force", || run.in_force().is_some());
        run.id = run.in_force().expect("as before");
        run
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn in_force(&self) -> Option<String> {
        let state = self.state().join("journals").exists().then(|| StateDir::open(&self.state()).ok())??;
        let run = state.unfinished().ok()?.pop()?;
        let (contents, _) = Journal::look(&state, &run).ok()?;
        contents.entries.iter().any(|e| e.intent.fault == "process.pause" && e.status == Status::Injected).then_some(run)
    }

    fn executor(&self) -> i32 {
        let state = StateDir::open(&self.state()).expect("a state directory");
        Journal::look(&state, &self.id).expect("a journal").0.writer.expect("a writer").pid
    }

    fn coordinator(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    fn finished(&self) -> bool {
        self.state().join(format!("journals/done/{}.journal", self.id)).exists()
    }

    fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("its end").code()
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// Does it say so, however its lines are broken?
    fn says(&self, text: &str) -> bool {
        self.output().split_whitespace().collect::<Vec<_>>().join(" ").contains(text)
    }

    fn nothing_is_left(&self) {
        let found = chaos_host::sweep(&[]).expect("a look");
        let ours: Vec<_> = found.iter().filter(|f| f.run == self.id).collect();
        assert!(ours.is_empty(), "{ours:?}\n{}", self.output());
    }

    fn command(&self, words: &[&str]) -> Output {
        Command::new(chaos()).args(words).arg("--state-dir").arg(self.state()).output().expect("chaos")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

#[test]
fn rule_02_a_killed_run_is_taken_back_without_any_command() {
    let run = Run::start();
    kill(run.coordinator(), Signal::KILL);
    eventually("its executor has finished", || run.finished());
    run.nothing_is_left();
}

#[test]
fn rule_09_a_killed_executor_is_recovered_by_its_run_which_ends_aborted() {
    let mut run = Run::start();
    kill(run.executor(), Signal::KILL);
    assert_eq!(run.ended(), Some(5), "{}", run.output());
    assert!(run.finished());
    run.nothing_is_left();
}

#[test]
fn rule_02_when_both_are_killed_the_next_command_takes_it_back() {
    let mut run = Run::start();
    let executor = run.executor();
    kill(run.coordinator(), Signal::STOP);
    kill(executor, Signal::KILL);
    kill(run.coordinator(), Signal::KILL);
    run.ended();
    eventually("the executor is dead", || !Path::new(&format!("/proc/{executor}/fd/0")).exists());
    let printed = run.command(&["recover", "--print"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.contains("kill -CONT") || printed.contains("cgroup"), "{printed}");
    assert!(!run.finished(), "printing does nothing");
    let status = run.command(&["status"]);
    assert!(String::from_utf8_lossy(&status.stderr).contains("recovered: run"), "{status:?}");
    assert!(run.finished());
    run.nothing_is_left();
}

/// Stopped for longer than its lease, it comes back to a world in which nothing is in force, and says why.
#[test]
fn rule_06_a_run_that_stands_still_loses_its_lease_and_ends_aborted() {
    let mut run = Run::start();
    kill(run.coordinator(), Signal::STOP);
    eventually("its executor has finished", || run.finished());
    kill(run.coordinator(), Signal::CONT);
    assert_eq!(run.ended(), Some(5), "{}", run.output());
    assert!(run.says("lease: the coordinator has been silent"), "{}", run.output());
    run.nothing_is_left();
}

#[test]
fn rule_36_the_lever_ends_a_run() {
    let mut run = Run::start();
    assert!(run.command(&["halt", "--because", "a test"]).status.success());
    assert_eq!(run.ended(), Some(5), "{}", run.output());
    assert!(run.says("a test"), "{}", run.output());
    assert!(run.finished());
    run.nothing_is_left();
    assert!(run.command(&["resume"]).status.success());
}

#[test]
fn rule_06_no_child_holds_the_socket_the_journal_or_a_claim() {
    let mut run = Run::start();
    let mine = format!("CHAOS_RUN={}", run.id);
    let pids = std::fs::read_dir("/proc").expect("/proc").filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let children: Vec<i32> = pids
        .filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|b| *b == 0).any(|word| word == mine.as_bytes())
        })
        .collect();
    assert!(!children.is_empty());
    for pid in children {
        for fd in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let link = std::fs::read_link(fd.path()).unwrap_or_default().display().to_string();
            let bad = link.starts_with("socket:") || link.contains(".journal") || link.contains("/lock/");
            assert!(!bad, "process {pid} of the run holds {link}");
        }
    }
    kill(run.coordinator(), Signal::INT);
    assert_eq!(run.ended(), Some(5), "{}", run.output());
    assert!(run.finished());
}

#[test]
fn rule_02_in_a_container_the_first_process_outlives_its_coordinator() {
    let Some((mut run, _, coordinator)) = start_in_a_container() else {
        not_covered("the first process of a container", "no pid namespace can be made");
        return;
    };
    kill(coordinator, Signal::KILL);
    assert_eq!(run.ended(), Some(137), "{}", run.output());
    assert!(run.finished(), "the first process took everything back before it ended");
    run.nothing_is_left();
}

/// As `docker stop` asks, with ten seconds until it kills the container.
#[test]
fn rule_02_in_a_container_a_coordinator_that_does_not_listen_is_not_waited_for() {
    let Some((mut run, first, coordinator)) = start_in_a_container() else {
        not_covered("the first process of a container", "no pid namespace can be made");
        return;
    };
    kill(coordinator, Signal::STOP);
    kill(first, Signal::TERM);
    let events = run.state().join("runs").join(&run.id).join("executor.jsonl");
    let says = |text: &str| std::fs::read_to_string(&events).is_ok_and(|events| events.contains(text));
    eventually("the fault is taken back", || says("was asked to end, and has not taken everything back") && says("reverted"));
    kill(coordinator, Signal::KILL);
    assert_eq!(run.ended(), Some(137), "{}", run.output());
    assert!(run.finished());
    run.nothing_is_left();
}

/// A run, its first process in there, the executor, and its coordinator: unshare ─ chaos run ─ chaos run.
fn start_in_a_container() -> Option<(Run, i32, i32)> {
    let able = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !able.is_ok_and(|o| o.status.success()) {
        return None;
    }
    let run = Run::start_as(|chaos| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]).arg(chaos);
        command
    });
    let first = only_child(run.coordinator());
    let coordinators: Vec<i32> = children(first).into_iter().filter(|pid| name(*pid) == "exe" || name(*pid) == "chaos").collect();
    let coordinator = coordinators.into_iter().find(|pid| words(*pid).contains(" run ")).expect("a coordinator");
    Some((run, first, coordinator))
}

fn children(pid: i32) -> Vec<i32> {
    let list = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let list = list.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    list.flat_map(|l| l.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<i32>>()).collect()
}

fn only_child(pid: i32) -> i32 {
    *children(pid).first().expect("a child")
}

fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn words(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// The executor alone must stay small: it is locked in memory while a fault may fill the rest.
#[test]
fn the_executor_is_small() {
    let run = Run::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", run.executor())).expect("a status");
    let rss = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("a size");
    let kib: u64 = rss.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(kib < 10 * 1024, "{kib} KiB");
}
