//! Host faults on containers: whose processes they are, and whose limits.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::Path;
use std::sync::Arc;

use chaos_core::conformance::{Scene, arm, check};
use chaos_core::fault::{InPlace, InjectionId, Met, Reach};
use chaos_host::{Host, faults};
use chaos_testbed::{Payload, also_in_a_machine};
use scenes::containers::StandIn;
use scenes::{Started, state, wait_for};
use serde_json::{Value, json};

fn id() -> InjectionId {
    InjectionId { run: format!("c{}", std::process::id()), slot: "0.0.0".into() }
}

fn host() -> Arc<Host> {
    Arc::new(Host::new(scenes::HELPER))
}

/// A container; counted as not covered where there can be none.
fn container(test: &str, script: &str) -> Option<StandIn> {
    let made = if std::env::var_os("CHAOS_TESTS_QUICK").is_none() { StandIn::new(script) } else { None };
    if made.is_none() {
        scenes::not_covered(test, "control groups and namespaces of its own need root");
    }
    made
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
}

#[tokio::test]
async fn rule_16_a_process_that_the_kernel_does_not_know_as_the_containers_is_never_entered() {
    let started = Started::sleeping();
    let target = scenes::containers::container_target(&"4f".repeat(32), started.id());
    let host = host();
    let table = faults(&host);
    for (kind, spec) in [("process.pause", json!({})), ("net.rate", json!({"rate": "1 MB/s"})), ("container.limit", json!({"cpus": 0.5}))] {
        let error = table.get(kind).expect("the fault").prepare(&spec, &target, &id()).await.expect_err("a stranger");
        assert!(error.message.contains("is not known to be one of container stand-in"), "{kind}: {error}");
        assert!(error.hint.unwrap_or_default().contains("--pid=host"), "{kind}");
    }
}

#[tokio::test]
async fn rule_4_a_container_is_frozen_at_one_moment_with_whoever_was_sent_into_it() {
    let Some(container) = container("rule_4_a_container_is_frozen", "sleep 600 & exec sleep 600") else { return };
    let sent = container.exec("exec sleep 600");
    let host = host();
    let table = faults(&host);
    let fault = table.get("process.pause").expect("the fault");
    let prepared = fault.prepare(&json!({}), &container.target(), &id()).await.expect("prepared");
    assert_eq!(prepared.undo["version"], "1-freezer", "{}", prepared.undo);
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::Whole);
    let again = fault.prepare(&json!({}), &container.target(), &id()).await.expect_err("frozen already");
    assert!(again.message.contains("frozen already"), "{again}");
    fault.revert(&prepared.undo).await.expect("reverted");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::None);
    assert_eq!(state(sent.pid()), "runs");
}

#[tokio::test]
async fn a_kill_ends_all_of_a_container() {
    let Some(container) = container("a_kill_ends_all_of_a_container", "sleep 600 & exec sleep 600") else { return };
    let sent = container.exec("exec sleep 600");
    let host = host();
    let table = faults(&host);
    let fault = table.get("process.kill").expect("the fault");
    let prepared = fault.prepare(&json!({}), &container.target(), &id()).await.expect("prepared");
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    wait_for("all of it is dead", || container.is_dead() && state(sent.pid()) == "dead");
}

/// Every limit, whatever version of control groups this kernel has.
#[tokio::test]
async fn every_limit_of_a_container_comes_back_exactly() {
    const TEST: &str = "every_limit_of_a_container_comes_back_exactly";
    let Some(probe) = container(TEST, "exec sleep 600") else { return };
    let has = |names| probe.file(names).exists();
    let sizes = std::fs::read_dir("/sys/block").into_iter().flatten().flatten().map(|disk| disk.path().join("size"));
    let disks = has(["blkio.throttle.read_bps_device", "io.max"]) && sizes.into_iter().any(|size| read(&size) != "0");
    if !disks {
        scenes::not_covered(TEST, "here is no disk, or no control group that limits disks");
    }
    assert!(has(["cpu.cfs_quota_us", "cpu.max"]) && has(["memory.limit_in_bytes", "memory.max"]) && has(["pids.max", "pids.max"]));
    drop(probe);
    let host = host();
    let table = faults(&host);
    let fault = table.get("container.limit").expect("the fault");
    let mut specs = vec![json!({"cpus": 0.2}), json!({"memory": "96 MiB"}), json!({"pids": 20})];
    if disks {
        specs.push(json!({"cpus": 0.5, "memory": "96 MiB", "pids": 20, "read": "1 MB/s", "write": "2 MB/s"}));
    }
    for spec in specs {
        check(&table, fault, &|| limited(spec.clone())).await;
    }
}

fn limited(spec: Value) -> Scene {
    let container = StandIn::new("exec sleep 600").expect("made before");
    let files: Vec<_> = [
        ["cpu.cfs_quota_us", "cpu.max"],
        ["cpu.cfs_period_us", "cpu.max"],
        ["memory.limit_in_bytes", "memory.max"],
        ["pids.max", "pids.max"],
        ["blkio.throttle.read_bps_device", "io.max"],
        ["blkio.throttle.write_bps_device", "io.max"],
    ]
    .map(|names| container.file(names))
    .into_iter()
    .collect();
    Scene {
        target: container.target(),
        spec,
        look: Box::new(move || files.iter().filter(|file| file.exists()).map(|file| read(file)).collect::<Vec<_>>().join(" | ")),
        keep: Box::new(container),
    }
}

#[tokio::test]
async fn a_limit_below_what_is_in_use_is_refused() {
    // A file in memory, which cannot be dropped.
    let script = "mount -t tmpfs none /mnt && head -c 24000000 /dev/zero > /mnt/x; sleep 600 & wait";
    let Some(container) = container("a_limit_below_what_is_in_use_is_refused", script) else { return };
    let host = host();
    let table = faults(&host);
    let fault = table.get("container.limit").expect("the fault");
    let usage = container.file(["memory.usage_in_bytes", "memory.current"]);
    wait_for("it has memory", || read(&usage).parse().unwrap_or(0) > 24_000_000);
    let refused = |spec: Value| {
        let target = container.target();
        async move { fault.prepare(&spec, &target, &id()).await.expect_err("in use") }
    };
    let error = refused(json!({"memory": "8 MiB"})).await;
    // The first version of control groups takes no limit below what is in use, whatever is meant.
    let takes_any = usage.ends_with("memory.current");
    let says = if takes_any { "may_kill" } else { "takes no less" };
    assert!(error.message.contains("cannot be given back") && error.hint.clone().unwrap_or_default().contains(says), "{error}");
    let error = refused(json!({"pids": 1})).await;
    assert!(error.message.contains("processes and threads already"), "{error}");
    let meant = json!({"memory": "8 MiB", "may_kill": true});
    if !takes_any {
        let error = refused(meant).await;
        assert!(error.message.contains("cannot be given back"), "{error}");
        return;
    }
    let prepared = fault.prepare(&meant, &container.target(), &id()).await.expect("meant");
    assert!(prepared.notes.iter().any(|note| note.contains("may kill")), "{:?}", prepared.notes);
}

#[tokio::test]
async fn a_container_that_has_ended_takes_its_limits_with_it() {
    let Some(container) = container("a_container_that_has_ended", "exec sleep 600") else { return };
    let host = host();
    let table = faults(&host);
    let fault = table.get("container.limit").expect("the fault");
    let prepared = fault.prepare(&json!({"cpus": 0.2, "pids": 50}), &container.target(), &id()).await.expect("prepared");
    fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
    drop(container);
    let presence = fault.inspect(&prepared.undo).await.expect("inspected");
    assert_eq!(presence.in_place, InPlace::None);
    assert!(presence.finding.unwrap_or_default().contains("is gone"));
    let reverted = fault.revert(&prepared.undo).await.expect("reverted");
    assert_eq!(reverted.notes.len(), 1, "{reverted:?}");
    assert_eq!(reverted.met, Some(Met::Unknown), "what was counted went with it");
}

/// Burners and hogs are within the limits of the container, and go when it goes.
#[tokio::test]
async fn what_takes_from_a_container_lives_in_it_and_not_longer() {
    const TEST: &str = "what_takes_from_a_container_lives_in_it_and_not_longer";
    for (kind, spec, names, limit, procs) in [
        ("cpu.burn", json!({"cores": 1}), ["cpu.cfs_quota_us", "cpu.max"], "20000", "burn"),
        ("memory.fill", json!({"size": "60%"}), ["memory.limit_in_bytes", "memory.max"], "134217728", "fill-memory"),
    ] {
        let Some(container) = container(TEST, "exec sleep 600") else { return };
        let file = container.file(names);
        std::fs::write(&file, limit).expect("a limit of its own");
        let host = host();
        let table = faults(&host);
        let fault = table.get(kind).expect("the fault");
        let prepared = fault.prepare(&spec, &container.target(), &id()).await.expect("prepared");
        // With one core online, a fifth of it is all the same a part of what the host has.
        let alone = kind == "memory.fill" || std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
        assert_eq!(prepared.reach == Some(Reach::Target), alone, "{kind}: {:?}", prepared.notes);
        fault.inject(arm(id(), prepared.undo.clone())).await.expect("injected");
        let helper = scenes::helpers(procs);
        assert_eq!(helper.len(), 1, "{kind}");
        let members = file.with_file_name("cgroup.procs");
        wait_for("it is in there", || read(&members).lines().any(|pid| pid == helper[0].to_string()));
        let since = std::time::Instant::now();
        while fault.inspect(&prepared.undo).await.expect("inspected").in_place != InPlace::Whole {
            assert!(since.elapsed() < std::time::Duration::from_secs(20), "{kind}: never all of it");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        drop(container);
        wait_for("the helper ends with the container", || state(helper[0]) == "dead");
        assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::None);
        fault.revert(&prepared.undo).await.expect("reverted");
    }
}

/// A rate in a network namespace of its own reaches the container alone.
#[tokio::test]
async fn rule_26_the_network_of_a_container_is_felt_by_the_container_alone() {
    let Some(container) = container("rule_26_the_network_of_a_container", "sleep 600 & exec sleep 600") else { return };
    let _sent = container.exec("exec sleep 600");
    let host = host();
    let table = faults(&host);
    for (kind, spec) in [
        ("net.rate", json!({"rate": "1 MB/s", "hosts": ["127.0.0.0/8"]})),
        ("net.partition", json!({"hosts": ["127.0.0.0/8"]})),
        ("net.partition", json!({})),
    ] {
        let prepared = table.get(kind).expect("the fault").prepare(&spec, &container.target(), &id()).await.expect("prepared");
        assert_eq!(prepared.reach, Some(Reach::Target), "{kind}: {:?}", prepared.bystanders);
    }
}

/// All of the above once more, on a kernel with control groups of the second version.
#[test]
fn all_of_this_in_a_virtual_machine() {
    let payload = Payload::new().with_this_test().with_program(scenes::HELPER);
    also_in_a_machine("all_of_this_in_a_virtual_machine", &payload);
}
