//! Every fault of the table, by the table: a fault without a scene fails here.

mod scenes;

use std::sync::Arc;

use chaos_core::conformance::{Scene, check};
use chaos_host::{Host, faults};
use scenes::{Started, children, path_target, process_target, state, target, wait_for};
use serde_json::json;

#[tokio::test]
async fn every_fault_of_the_table_keeps_the_contract() {
    let host = Arc::new(Host::new(scenes::HELPER));
    for fault in faults(&host).iter() {
        let Some(stage) = scene_for(fault.kind()) else {
            panic!("{} has no scene in this test: every fault of the table is checked", fault.kind());
        };
        check(fault, &stage).await;
    }
}

fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "process.kill" => a_process_to_kill,
        "process.pause" => a_tree_to_pause,
        "cpu.burn" => a_process_to_burn_beside,
        "memory.fill" => memory_to_fill,
        "disk.fill" => a_disk_to_fill,
        "system.process" => a_process_to_start,
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
    let started = Started::shell("sleep 600");
    Scene {
        target: process_target(started.id(), false),
        spec: json!({"cores": 1, "load": "20%"}),
        look: Box::new(|| scenes::helpers("burn").len().to_string()),
        keep: Box::new(started),
    }
}

fn memory_to_fill() -> Scene {
    let started = Started::shell("sleep 600");
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
