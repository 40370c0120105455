//! `process.pause` of a tree that grows while it is being stopped.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::sync::Arc;

use chaos_core::conformance::arm;
use chaos_core::fault::{FaultError, InPlace, InjectionId};
use chaos_host::{Host, faults};
use scenes::{Started, children, process_target, state, wait_for};
use serde_json::{Value, json};

/// A shell that starts this when its file appears, after it was looked at and before it is stopped.
struct Growing {
    host: Arc<Host>,
    folder: tempfile::TempDir,
    _starter: Started,
    /// It leads a session, as services do: the kernel wakes nobody of its group when it dies.
    shell: i32,
    id: InjectionId,
}

impl Growing {
    fn new(later: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!("cd {}; mkfifo go; read line < go; {later} & wait", folder.path().display());
        let starter = Started::shell(&format!("setsid sh -c '{script}' & wait"));
        wait_for("its file", || folder.path().join("go").exists());
        let shell = children(starter.pid())[0];
        let id = InjectionId { run: format!("grows-{shell}"), slot: "0.0.0".into() };
        Self { host: Arc::new(Host::new(scenes::HELPER)), folder, _starter: starter, shell, id }
    }

    /// Prepares, lets the child be born, and injects.
    async fn pause(&self) -> (Value, i32, Result<(), FaultError>) {
        let table = faults(&self.host);
        let fault = table.get("process.pause").expect("the fault");
        let prepared = fault.prepare(&json!({}), &process_target(scenes::process_id(self.shell), true), &self.id).await.expect("prepared");
        std::fs::write(self.folder.path().join("go"), "go\n").expect("told");
        wait_for("its child", || {
            children(self.shell).first().is_some_and(|c| std::fs::read(format!("/proc/{c}/comm")).is_ok_and(|n| n == b"sleep\n"))
        });
        let child = children(self.shell)[0];
        let injected = fault.inject(arm(self.id.clone(), prepared.undo.clone())).await.map(|_| ());
        (prepared.undo, child, injected)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        kill(self.shell);
    }
}

fn kill(pid: i32) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), rustix::process::Signal::KILL);
}

#[tokio::test]
async fn rule_4_a_child_born_during_the_stop_goes_on_although_its_parent_was_killed() {
    let growing = Growing::new("sleep 600");
    let (undo, child, injected) = growing.pause().await;
    injected.expect("injected");
    wait_for("it stands still", || state(child) == "stopped");
    // As a supervisor does.
    kill(growing.shell);
    wait_for("it has another parent", || state(growing.shell) == "dead");
    let table = faults(&growing.host);
    let fault = table.get("process.pause").expect("the fault");
    let seen = fault.inspect(&undo).await.expect("inspected").in_place;
    let reverted = fault.revert(&undo).await;
    let after = state(child);
    kill(child);
    assert_ne!(seen, InPlace::None, "a process that we stopped stands still");
    reverted.expect("reverted");
    assert_eq!(after, "runs");
}

#[tokio::test]
async fn rule_4_a_child_that_nobody_would_find_again_is_never_stopped() {
    let growing = Growing::new("exec setsid sleep 600");
    let (undo, child, injected) = growing.pause().await;
    let (own, its) = (state(growing.shell), state(child));
    kill(child);
    let error = injected.expect_err("the tree has changed");
    assert!(error.message.contains("was born") && error.hint.is_some(), "{error}");
    assert_eq!((own.as_str(), its.as_str()), ("runs", "runs"), "nobody is left stopped");
    faults(&growing.host).get("process.pause").expect("the fault").revert(&undo).await.expect("nothing to do");
}
