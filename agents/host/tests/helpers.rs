//! Helpers die with whoever holds them, in every way that there is (RULES 3, 5, 6, 18).

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chaos_core::clock::Boot;
use scenes::{HELPER, Started, state, wait_for};

fn burn(parent: u32, lasting: Duration) -> Command {
    let mut command = Command::new(HELPER);
    command.args(["helper", "burn", "--tag", "chaos-test", "--cores", "1", "--load", "1000"]);
    command.args(["--parent", &parent.to_string(), "--deadline", &Boot::now().plus(lasting).0.to_string()]);
    command.stdin(Stdio::piped()).env("CHAOS_TAG", "chaos-test");
    command
}

fn ends_by_itself(mut child: Child, why: &str) {
    wait_for(why, || child.try_wait().expect("our child").is_some());
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn rule_6_a_helper_ends_with_its_lifeline() {
    let mut child = burn(std::process::id(), LONG).spawn().expect("a helper");
    child.stdin.as_mut().expect("its lifeline").write_all(b"2000\n").expect("it listens");
    wait_for("it gave itself to the killer", || {
        std::fs::read_to_string(format!("/proc/{}/oom_score_adj", child.id())).is_ok_and(|s| s.trim() == "1000")
    });
    drop(child.stdin.take());
    ends_by_itself(child, "its end");
}

#[test]
fn rule_10_a_helper_ends_at_its_deadline() {
    ends_by_itself(burn(std::process::id(), Duration::from_millis(50)).spawn().expect("a helper"), "its deadline");
}

#[test]
fn rule_6_a_helper_whose_parent_is_another_never_begins() {
    let status = burn(1, LONG).spawn().expect("a helper").wait().expect("its end");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn rule_3_sigkill_of_the_parent_is_the_end_of_its_helper() {
    let script = format!(
        "exec 3<>\"$0\"; {HELPER} helper burn --tag chaos-test --cores 1 --load 1000 --parent $$ --deadline {} <&3 & wait",
        Boot::now().plus(LONG).0
    );
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let mut parent = Command::new("sh").args(["-c", &script]).arg(&fifo).process_group(0).spawn().expect("a shell");
    let pid = i32::try_from(parent.id()).expect("a pid");
    wait_for("its helper", || scenes::children(pid).len() == 1);
    let helper = scenes::children(pid)[0];
    wait_for("it gave itself to the killer", || {
        std::fs::read_to_string(format!("/proc/{helper}/oom_score_adj")).is_ok_and(|s| s.trim() == "1000")
    });
    std::thread::sleep(Duration::from_millis(50));
    parent.kill().expect("killed");
    parent.wait().expect("reaped");
    wait_for("the helper's end", || state(helper) == "dead" || !std::path::Path::new(&format!("/proc/{helper}")).exists());
}

/// The helper that ends a system, told that this process is the coordinator.
fn keeper(tag: &str, coordinator: &Started) -> Child {
    let coordinator = coordinator.id();
    let mut command = Command::new(HELPER);
    command.args(["helper", "keep", "--tag", "keeper", "--parent", "1", "--deadline", "0", "--of", tag, "--grace", "1000"]);
    command.args(["--coordinator", &coordinator.pid.to_string(), "--began", &coordinator.start_ticks.to_string()]);
    command.stdin(Stdio::piped()).spawn().expect("a helper")
}

#[test]
fn rule_2_the_system_ends_when_executor_and_coordinator_are_both_gone_and_not_before() {
    let tag = format!("chaos-kept-{}", std::process::id());
    let system = Started::tagged("sleep 600 & wait", &[("CHAOS_TAG", &tag)]);
    let coordinator = Started::sleeping();
    let mut keeper = keeper(&tag, &coordinator);
    drop(keeper.stdin.take());
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(state(system.pid()), "runs", "while the coordinator lives it is the coordinator's matter");
    drop(coordinator);
    wait_for("the end of the system", || state(system.pid()) == "dead");
    assert!(keeper.wait().expect("its end").success());
}

#[test]
fn a_helper_that_is_told_nonsense_ends() {
    for words in [vec!["helper"], vec!["helper", "burn"], vec!["helper", "burn", "--parent", "x", "--deadline", "1"]] {
        let status = Command::new(HELPER).args(&words).stdin(Stdio::null()).status().expect("a helper");
        assert_eq!(status.code(), Some(2), "{words:?}");
    }
}
