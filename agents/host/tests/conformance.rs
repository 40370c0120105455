//! Every fault of the table, by the table: a fault without a scene fails here.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::sync::Arc;
use std::time::Instant;

use chaos_core::AnyFault;
use chaos_core::conformance::{Scene, check};
use chaos_host::{Host, faults};
use chaos_testbed::{Payload, also_in_a_machine};
use scenes::cgroups::{FakeCgroups, RealGroup};
use scenes::containers::container_target;
use scenes::{Started, children, path_target, process_target, state, target, wait_for};
use scenes::{network, shaped};
use serde_json::json;

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the slow one is found by it")]
async fn every_fault_of_the_table_keeps_the_contract() {
    let fake = fake_cgroups();
    let host = Arc::new(Host::with_cgroups_from(scenes::HELPER, fake.proc()));
    let table = faults(&host);
    for fault in table.iter() {
        let Some(stage) = scene_for(fault.kind()) else {
            panic!("{} has no scene in this test: every fault of the table is checked", fault.kind());
        };
        if fault.kind().starts_with("net.") && !scenes::networks(fault.kind()) {
            continue;
        }
        if kernel_can(fault, stage).await {
            let began = Instant::now();
            check(&table, fault, &stage).await;
            println!("{} in {:.1?}", fault.kind(), began.elapsed());
        }
    }
}

/// Only of `netem` there are kernels without it.
async fn kernel_can(fault: &dyn AnyFault, stage: fn() -> Scene) -> bool {
    const NEED_NETEM: [&str; 5] = ["net.delay", "net.loss", "net.duplicate", "net.corrupt", "net.reorder"];
    !NEED_NETEM.contains(&fault.kind()) || shaped::kernel_can(fault, &stage(), "every_fault_of_the_table_keeps_the_contract").await
}

/// Every way to damage a file.
#[tokio::test]
async fn every_way_to_damage_a_file_keeps_the_contract() {
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("file.corrupt").expect("the fault");
    check(&table, fault, &|| a_file(json!({"truncate": "1 kB"}))).await;
    check(&table, fault, &|| a_file(json!({"truncate": "0 B"}))).await;
    check(&table, fault, &|| a_file(json!({"flip": "1 B"}))).await;
    check(&table, fault, &|| a_file(json!({"flip": "1 MiB"}))).await;
    check(&table, fault, &|| a_file(json!({"delete": true}))).await;
    check(&table, fault, &|| a_file(json!({"replace": "/etc/passwd"}))).await;
}

/// Every way to cut off, and every answer for a name.
#[tokio::test]
async fn every_way_to_cut_off_and_every_answer_keeps_the_contract() {
    if !scenes::networks("every_way_to_cut_off_and_every_answer_keeps_the_contract") {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let cut = table.get("net.partition").expect("the fault");
    check(&table, cut, &|| network::to_cut_off(json!({}))).await;
    check(&table, cut, &|| network::to_cut_off(json!({"direction": "in", "family": "ipv6"}))).await;
    check(&table, cut, &|| network::to_cut_off(json!({"direction": "out", "hosts": ["127.0.0.0/8"], "interface": "lo"}))).await;
    let dns = table.get("net.dns").expect("the fault");
    for answer in [json!("servfail"), json!("refused"), json!("timeout"), json!({"addresses": ["192.0.2.1", "2001:db8::1"]})] {
        check(&table, dns, &|| network::to_misname(json!({"names": ["store.internal"], "answer": answer}))).await;
    }
}

/// The same faults on control groups of this host's own kernel, whatever their version.
#[tokio::test]
async fn faults_on_control_groups_keep_the_contract_on_this_kernel() {
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    for (kind, controller, spec, file) in [
        ("cpu.limit", "cpu", json!({"cores": 0.1}), ["cpu.cfs_quota_us", "cpu.max"]),
        ("memory.limit", "memory", json!({"size": "64 MiB"}), ["memory.limit_in_bytes", "memory.max"]),
        ("process.pause", "freezer", json!({}), ["freezer.state", "cgroup.freeze"]),
        ("process.pause", "", json!({}), ["cgroup.freeze", "cgroup.freeze"]),
    ] {
        let fault = table.get(kind).expect("the fault");
        let scene = || {
            let group = RealGroup::new(controller)?;
            let file = file.iter().map(|f| group.folder().join(f)).find(|f| f.exists())?;
            let started = group.started("sleep 600 & wait");
            wait_for("its child", || children(started.pid()).len() == 1);
            Some(Scene {
                target: process_target(started.id(), true),
                spec: spec.clone(),
                look: Box::new(move || std::fs::read_to_string(&file).unwrap_or_default()),
                keep: Box::new((started, group)),
            })
        };
        if scene().is_none() {
            scenes::not_covered(kind, &format!("no control group of `{controller}` can be made here"));
            continue;
        }
        check(&table, fault, &|| scene().expect("as before")).await;
    }
}

/// All of the above once more, on a kernel that has what this one may lack: control groups of the second version, netem.
#[test]
fn every_fault_keeps_the_contract_in_a_virtual_machine() {
    let payload = Payload::new().with_this_test().with_program(scenes::HELPER);
    also_in_a_machine("every_fault_keeps_the_contract_in_a_virtual_machine", &payload);
}

fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "process.kill" => a_process_to_kill,
        "process.pause" => a_tree_to_pause,
        "cpu.burn" => a_process_to_burn_beside,
        "cpu.limit" => a_group_of_the_second_version_to_limit_cpu,
        "memory.limit" => a_group_of_the_second_version_to_limit_memory,
        "container.limit" => a_container_to_limit,
        "memory.fill" => memory_to_fill,
        "disk.fill" => a_disk_to_fill,
        "file.corrupt" => a_file_to_flip,
        "system.process" => a_process_to_start,
        "net.partition" => || network::to_cut_off(json!({"how": "reject"})),
        "net.reset" => network::to_reset,
        "net.delay" => || shaped::to_shape(json!({"delay": "20ms", "jitter": "5ms", "distribution": "normal"})),
        "net.loss" => || shaped::to_shape(json!({"gilbert_elliott": {"p": "1%", "r": "25%"}, "direction": "both"})),
        "net.duplicate" => || shaped::to_shape(json!({"share": "5%", "hosts": ["127.0.0.0/8", "::1"], "direction": "in"})),
        "net.corrupt" => || shaped::to_shape(json!({"share": "5%", "protocol": "udp", "ports": "53"})),
        "net.reorder" => || shaped::to_shape(json!({"share": "25%", "gap": 3, "family": "ipv6", "interface": "lo"})),
        "net.rate" => || shaped::to_shape(json!({"rate": "1 MB/s", "direction": "both"})),
        "net.root" => shaped::to_hook,
        "net.dns" => || network::to_misname(json!({"names": ["*.internal"]})),
        _ => return None,
    })
}

fn a_process_to_kill() -> Scene {
    let started = Started::shell("sleep 600 & wait");
    let pid = started.pid();
    wait_for("its child", || children(pid).len() == 1);
    Scene { target: process_target(started.id(), true), spec: json!({}), look: Box::new(move || state(pid)), keep: Box::new(started) }
}

fn a_tree_to_pause() -> Scene {
    let started = Started::shell("sleep 600 & sleep 600 & wait");
    let pid = started.pid();
    wait_for("its children", || children(pid).len() == 2);
    let family: Vec<i32> = std::iter::once(pid).chain(children(pid)).collect();
    Scene {
        target: process_target(started.id(), true),
        spec: json!({}),
        look: Box::new(move || family.iter().map(|p| state(*p)).collect::<Vec<_>>().join(" ")),
        keep: Box::new(started),
    }
}

fn a_process_to_start() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("pid");
    let look = {
        let marker = marker.clone();
        move || match std::fs::read_to_string(&marker).ok().and_then(|text| text.trim().parse().ok()) {
            Some(pid) => state(pid),
            None => "dead".into(),
        }
    };
    Scene {
        target: target(chaos_core::target::Facets::default()),
        spec: json!({
            "name": "sleeper",
            "run": ["sh", "-c", format!("echo $$ > {}; sleep 600", marker.display())],
            "folder": folder.path(),
            "log": folder.path().join("log"),
            "stop_grace": "2s",
        }),
        look: Box::new(look),
        keep: Box::new(folder),
    }
}

fn a_process_to_burn_beside() -> Scene {
    let started = Started::sleeping();
    Scene {
        target: process_target(started.id(), false),
        spec: json!({"cores": 1, "load": "20%"}),
        look: Box::new(|| scenes::helpers("burn").len().to_string()),
        keep: Box::new(started),
    }
}

fn memory_to_fill() -> Scene {
    let started = Started::sleeping();
    Scene {
        target: process_target(started.id(), false),
        spec: json!({"size": "64 MiB"}),
        look: Box::new(|| scenes::helpers("fill-memory").len().to_string()),
        keep: Box::new(started),
    }
}

fn a_disk_to_fill() -> Scene {
    let disk = scenes::SmallDisk::new("disk.fill");
    let path = disk.path().to_owned();
    Scene {
        target: path_target(&path),
        spec: if disk.is_own() { json!({"free": "0 B"}) } else { json!({"size": "8 MiB"}) },
        look: Box::new(move || {
            let names = std::fs::read_dir(&path).expect("the disk").count();
            format!("{names} files, {} helpers", scenes::helpers("hold-file").len())
        }),
        keep: Box::new(disk),
    }
}

/// One fake hierarchy of the second version for the whole test process: the kernel here need not have one.
fn fake_cgroups() -> &'static FakeCgroups {
    static FAKE: std::sync::OnceLock<FakeCgroups> = std::sync::OnceLock::new();
    FAKE.get_or_init(FakeCgroups::new)
}

fn a_group_of_the_second_version_to_limit_cpu() -> Scene {
    a_group_of_the_second_version("cpu.max", json!({"cores": 0.5}))
}

fn a_group_of_the_second_version_to_limit_memory() -> Scene {
    a_group_of_the_second_version("memory.max", json!({"size": "64 MiB"}))
}

fn a_group_of_the_second_version(file: &'static str, spec: serde_json::Value) -> Scene {
    let started = Started::shell("sleep 600 & wait");
    let pid = started.pid();
    wait_for("its child", || children(pid).len() == 1);
    let family: Vec<i32> = std::iter::once(pid).chain(children(pid)).collect();
    let group = fake_cgroups().group(&family);
    Scene {
        target: process_target(started.id(), true),
        spec,
        look: Box::new(move || std::fs::read_to_string(group.join(file)).expect("the group's file").trim().to_owned()),
        keep: Box::new(started),
    }
}

fn a_container_to_limit() -> Scene {
    let started = Started::shell("sleep 600 & wait");
    let pid = started.pid();
    wait_for("its child", || children(pid).len() == 1);
    let group = fake_cgroups().group(&[pid, children(pid)[0]]);
    let id = group.file_name().expect("a name").to_string_lossy().into_owned();
    Scene {
        target: container_target(&id, started.id()),
        spec: json!({"cpus": 0.5, "memory": "64 MiB", "pids": 7}),
        look: Box::new(move || {
            let read = |file| std::fs::read_to_string(group.join(file)).expect("the group's file").trim().to_owned();
            ["cpu.max", "memory.max", "pids.max"].map(read).join(" ")
        }),
        keep: Box::new(started),
    }
}

fn a_file_to_flip() -> Scene {
    a_file(json!({"flip": "64 B"}))
}

fn a_file(spec: serde_json::Value) -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("its folder");
    let path = model.join("weights.bin");
    scenes::files::write_with_everything(&path, 20_000);
    let (above, seen) = (folder.path().to_owned(), path.clone());
    Scene {
        target: path_target(&path),
        spec,
        look: Box::new(move || scenes::files::everything_below(&above, &seen)),
        keep: Box::new(folder),
    }
}
