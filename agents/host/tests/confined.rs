//! Faults on control groups: whose group it must be, what is kept, and when they are felt.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::PathBuf;
use std::sync::Arc;

use chaos_core::conformance::arm;
use chaos_core::fault::{InPlace, InjectionId, Met};
use chaos_host::{Host, faults};
use chaos_testbed::{Payload, also_in_a_machine};
use scenes::cgroups::{FakeCgroups, RealGroup};
use scenes::{Started, children, process_target, state, wait_for};
use serde_json::{Value, json};

fn id() -> InjectionId {
    InjectionId { run: format!("t{}", std::process::id()), slot: "0.0.0".into() }
}

/// A shell with one child, alone in a fake group; everything it needs.
struct Alone {
    host: Arc<Host>,
    cgroups: FakeCgroups,
    started: Started,
    group: PathBuf,
}

impl Alone {
    fn new() -> Self {
        Self::within(FakeCgroups::new())
    }

    fn within(cgroups: FakeCgroups) -> Self {
        let started = Started::shell("sleep 600 & wait");
        wait_for("its child", || children(started.pid()).len() == 1);
        let group = cgroups.group(&[started.pid(), children(started.pid())[0]]);
        Self { host: Arc::new(Host::with_cgroups_from("chaos", cgroups.proc())), cgroups, started, group }
    }

    async fn inject(&self, kind: &str, spec: Value) -> Value {
        let table = faults(&self.host);
        let fault = table.get(kind).expect("the fault");
        let prepared = fault.prepare(&spec, &process_target(self.started.id(), true), &id()).await.expect("prepared");
        fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
        prepared.undo
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.group.join(file)).expect("the group's file").trim().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.group.join(file), text).expect("the group's file");
    }
}

#[tokio::test]
async fn rule_4_a_group_with_anybody_else_in_it_is_never_limited() {
    let alone = Alone::new();
    let stranger = Started::sleeping();
    alone.write("cgroup.procs", &format!("{}\n{}\n", alone.started.pid(), stranger.pid()));
    let table = faults(&alone.host);
    for (kind, spec) in [("cpu.limit", json!({"cores": 0.5})), ("memory.limit", json!({"size": "64 MiB"}))] {
        let target = process_target(alone.started.id(), true);
        let error = table.get(kind).expect("the fault").prepare(&spec, &target, &id()).await.expect_err("a stranger");
        assert!(error.message.contains(&format!("(pid {})", stranger.pid())), "{error}");
    }
}

#[tokio::test]
async fn rule_4_children_that_are_not_meant_are_strangers_and_the_hint_says_how_to_mean_them() {
    let alone = Alone::new();
    let target = process_target(alone.started.id(), false);
    let table = faults(&alone.host);
    let error = table.get("cpu.limit").expect("the fault").prepare(&json!({"cores": 0.5}), &target, &id()).await.expect_err("a child");
    assert!(error.hint.unwrap_or_default().contains("tree: true"));
}

#[tokio::test]
async fn rule_4_a_process_in_the_root_group_is_refused() {
    let alone = Alone::new();
    std::fs::write(alone.cgroups.proc().join(alone.started.pid().to_string()).join("cgroup"), "0::/\n").expect("its membership");
    let target = process_target(alone.started.id(), true);
    let table = faults(&alone.host);
    let error = table.get("cpu.limit").expect("the fault").prepare(&json!({"cores": 0.5}), &target, &id()).await.expect_err("the root");
    assert!(error.message.contains("no control group of its own"), "{error}");
}

#[tokio::test]
async fn rule_31_a_limit_whose_restore_was_cut_off_is_still_known_as_ours() {
    let alone = Alone::within(FakeCgroups::of_the_first_version());
    let table = faults(&alone.host);
    let fault = table.get("cpu.limit").expect("the fault");
    for (quota, period, left) in [
        // As captured, and what a killed restore leaves between its writes.
        ("-1", "100000", ["-1", "99991"]),
        ("200000", "100000", ["49995", "100000"]),
        ("150000", "50000", ["150000", "99991"]),
    ] {
        alone.write("cpu.cfs_quota_us", quota);
        alone.write("cpu.cfs_period_us", period);
        for cut_off in [false, true] {
            let undo = alone.inject("cpu.limit", json!({"cores": 0.5})).await;
            if cut_off {
                alone.write("cpu.cfs_quota_us", left[0]);
                alone.write("cpu.cfs_period_us", left[1]);
            }
            assert_ne!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None, "{left:?} is said to be gone");
            let notes = fault.revert(&undo).await.expect("reverted").notes;
            assert!(notes.is_empty(), "{left:?}: {notes:?}");
            assert_eq!([alone.read("cpu.cfs_quota_us"), alone.read("cpu.cfs_period_us")], [quota, period]);
            assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
        }
    }
}

#[tokio::test]
async fn a_quota_that_was_there_before_is_there_after_and_one_set_meanwhile_is_kept() {
    let alone = Alone::new();
    let table = faults(&alone.host);
    let fault = table.get("cpu.limit").expect("the fault");
    alone.write("cpu.max", "150000 50000");
    let undo = alone.inject("cpu.limit", json!({"cores": 0.5})).await;
    assert_eq!(alone.read("cpu.max"), "49995 99991");
    fault.adjust(&json!({"cores": 0.25}), &undo).await.expect("adjusted");
    assert_eq!(alone.read("cpu.max"), "24997 99991");
    fault.revert(&undo).await.expect("reverted, although adjusted");
    assert_eq!(alone.read("cpu.max"), "150000 50000");

    let undo = alone.inject("cpu.limit", json!({"cores": 0.5})).await;
    alone.write("cpu.max", "70000 100000");
    let presence = fault.inspect(&undo).await.expect("inspected");
    assert_eq!(presence.in_place, InPlace::None);
    assert!(presence.finding.is_some(), "somebody else ended it");
    let notes = fault.revert(&undo).await.expect("reverted").notes;
    assert!(notes[0].contains("somebody else"), "{notes:?}");
    assert_eq!(alone.read("cpu.max"), "70000 100000");
}

#[tokio::test]
async fn a_limit_that_is_tighter_already_is_refused() {
    let alone = Alone::new();
    alone.write("cpu.max", "10000 100000");
    alone.write("memory.max", "8388608");
    let table = faults(&alone.host);
    for (kind, spec) in [("cpu.limit", json!({"cores": 0.5})), ("memory.limit", json!({"size": "64 MiB"}))] {
        let target = process_target(alone.started.id(), true);
        let error = table.get(kind).expect("the fault").prepare(&spec, &target, &id()).await.expect_err("no effect");
        assert!(error.message.contains("already"), "{error}");
    }
}

#[tokio::test]
async fn rule_31_a_limit_that_nobody_met_is_idle() {
    let alone = Alone::new();
    let table = faults(&alone.host);
    let undo = alone.inject("memory.limit", json!({"size": "64 MiB"})).await;
    let fault = table.get("memory.limit").expect("the fault");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").met, Met::Idle);
    alone.write("memory.events", "low 0\nhigh 0\nmax 7\noom 0\n");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").met, Met::Count(5), "two were there before");
    std::fs::remove_dir_all(&alone.group).expect("the group ends");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
    fault.revert(&undo).await.expect("a group that is gone is reverted");
}

#[tokio::test]
async fn rule_31_a_busy_process_meets_its_quota() {
    let Some(group) = RealGroup::new("cpu").filter(|g| g.folder().join("cpu.cfs_quota_us").exists() || g.folder().join("cpu.max").exists())
    else {
        return scenes::not_covered("rule_31_a_busy_process_meets_its_quota", "no control group of `cpu` can be made here");
    };
    let started = group.started("while :; do :; done");
    let host = Arc::new(Host::new("chaos"));
    let table = faults(&host);
    let fault = table.get("cpu.limit").expect("the fault");
    let spec = json!({"cores": 0.05});
    wait_for("it is in its group", || group.folder().join("cgroup.procs").metadata().is_ok() && is_in(&group, started.pid()));
    let prepared = fault.prepare(&spec, &process_target(started.id(), true), &id()).await.expect("prepared");
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    for _ in 0..400 {
        if matches!(fault.inspect(&prepared.undo).await.expect("inspected").met, Met::Count(_)) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(matches!(fault.inspect(&prepared.undo).await.expect("inspected").met, Met::Count(_)));
    fault.revert(&prepared.undo).await.expect("reverted");
}

fn is_in(group: &RealGroup, pid: i32) -> bool {
    std::fs::read_to_string(group.folder().join("cgroup.procs")).is_ok_and(|t| t.lines().any(|l| l == pid.to_string()))
}

#[tokio::test]
async fn rule_4_a_shared_group_is_not_frozen_its_target_is_stopped_instead() {
    let Some(group) = RealGroup::new("freezer") else {
        return scenes::not_covered("rule_4_a_shared_group_is_not_frozen", "no control group of `freezer` can be made here");
    };
    let (target, neighbour) = (group.started("sleep 600 & wait"), group.started("sleep 600 & wait"));
    wait_for("both are in", || is_in(&group, target.pid()) && is_in(&group, neighbour.pid()));
    let host = Arc::new(Host::new("chaos"));
    let table = faults(&host);
    let fault = table.get("process.pause").expect("the fault");
    let prepared = fault.prepare(&json!({}), &process_target(target.id(), true), &id()).await.expect("prepared");
    assert_eq!(prepared.undo["version"], "1", "by signals: {}", prepared.undo);
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    assert_eq!((state(target.pid()), state(neighbour.pid())), ("stopped".into(), "runs".into()));
    fault.revert(&prepared.undo).await.expect("reverted");
    assert_eq!(state(target.pid()), "runs");
    drop((target, neighbour));
}

#[tokio::test]
async fn rule_4_what_is_stopped_already_is_refused() {
    let started = Started::sleeping();
    let group = rustix::process::Pid::from_raw(started.pid()).expect("a pid");
    rustix::process::kill_process_group(group, rustix::process::Signal::STOP).expect("ours");
    wait_for("it stopped", || state(started.pid()) == "stopped");
    let host = Arc::new(Host::new("chaos"));
    let table = faults(&host);
    let fault = table.get("process.pause").expect("the fault");
    let error = fault.prepare(&json!({}), &process_target(started.id(), false), &id()).await.expect_err("stopped already");
    assert!(error.message.contains("already stopped"), "{error}");
}

#[tokio::test]
async fn a_target_that_ended_is_a_finding_and_its_pid_is_nobody_elses_harm() {
    let started = Started::sleeping();
    let target = process_target(started.id(), false);
    let host = Arc::new(Host::new("chaos"));
    let table = faults(&host);
    let fault = table.get("process.pause").expect("the fault");
    let prepared = fault.prepare(&json!({}), &target, &id()).await.expect("prepared");
    drop(started);
    let error = fault.inject(arm(id(), prepared.undo.clone())).await.expect_err("it ended");
    assert!(error.gone, "{error}");
    let presence = fault.inspect(&prepared.undo).await.expect("inspected");
    assert_eq!(presence.in_place, InPlace::None);
    assert!(presence.finding.is_some());
    fault.revert(&prepared.undo).await.expect("reverted");
    let mut reused = process_target(scenes::process_id(std::process::id().cast_signed()), false);
    reused.facets.process = reused.facets.process.map(|mut id| {
        id.start_ticks += 1;
        id
    });
    assert!(fault.prepare(&json!({}), &reused, &id()).await.expect_err("another process").gone);
}

#[tokio::test]
async fn the_printed_commands_let_a_process_go_on() {
    let started = Started::sleeping();
    let host = Arc::new(Host::new("chaos"));
    let table = faults(&host);
    let fault = table.get("process.pause").expect("the fault");
    let prepared = fault.prepare(&json!({}), &process_target(started.id(), false), &id()).await.expect("prepared");
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    for line in fault.explain(&prepared.undo) {
        assert!(std::process::Command::new("sh").args(["-c", &line]).status().expect("a shell").success(), "{line}");
    }
    wait_for("it goes on", || state(started.pid()) == "runs");
}

/// All of the above once more, on a kernel with control groups of the second version.
#[test]
fn all_of_this_in_a_virtual_machine() {
    let payload = Payload::new().with_this_test().with_program(scenes::HELPER);
    also_in_a_machine("all_of_this_in_a_virtual_machine", &payload);
}
