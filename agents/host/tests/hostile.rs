//! An undo is what root acts upon: whatever stands in it, nothing outside our own objects is touched, and nobody panics (RULES 35).
//!
//! Every leaf of a true undo of every fault is replaced by every value of a list, and then reverted, inspected and explained.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::Path;
use std::sync::Arc;

use chaos_core::conformance::arm;
use chaos_core::fault::InjectionId;
use chaos_core::target::Facets;
use chaos_host::{Host, faults};
use chaos_testbed::Twin;
use scenes::cgroups::FakeCgroups;
use scenes::files::{everything_below, write_with_everything};
use scenes::network::Networked;
use scenes::{Started, children, path_target, process_target, state, target, wait_for};
use serde_json::{Value, json};

#[tokio::test]
async fn rule_35_a_forged_undo_touches_nothing_and_panics_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("model")).expect("a folder");
    let file = folder.path().join("model/weights.bin");
    write_with_everything(&file, 10_000);
    let canary = folder.path().join("canary");
    std::fs::create_dir(&canary).expect("a folder");
    for name in ["cpu.max", "memory.max", "freezer.state", "cgroup.freeze", "0-0-0.original", "weights.bin"] {
        std::fs::write(canary.join(name), "1 2").expect("a file");
    }
    let bystander = Started::sleeping();
    let harmed = Started::shell("sleep 600 & wait");
    wait_for("its child", || children(harmed.pid()).len() == 1);
    let cgroups = FakeCgroups::new();
    cgroups.group(&[harmed.pid(), children(harmed.pid())[0]]);
    let host = Arc::new(Host::with_cgroups_from(scenes::HELPER, cgroups.proc()));
    let before = everything_below(folder.path(), &file);
    let networked = scenes::networks("rule_35_a_forged_undo_touches_nothing_and_panics_nobody, net.*").then(Networked::with_names);
    let network = || networked.as_ref().map(|networked| Twin::of(networked.namespace().pid()));
    if let Some(networked) = &networked {
        networked.namespace().sh("nft add table inet chaos-theirs; nft add table inet foreign");
    }
    let network_before = network();

    let id = InjectionId { run: format!("forged-{}", std::process::id()), slot: "0.0.0".into() };
    let table = faults(&host);
    let mut tried = 0;
    for fault in table.iter() {
        let (spec, target) = match (fault.kind(), &networked) {
            (kind, Some(networked)) if kind.starts_with("net.") => (on_the_network(kind, networked), networked.target()),
            (kind, None) if kind.starts_with("net.") => continue,
            ("file.corrupt", _) => (json!({"flip": "8 B"}), path_target(&file)),
            ("disk.fill", _) => (json!({"size": "1 MiB"}), path_target(&file)),
            ("memory.fill", _) => (json!({"size": "1 MiB"}), process_target(harmed.id(), true)),
            ("memory.limit", _) => (json!({"size": "64 MiB"}), process_target(harmed.id(), true)),
            ("cpu.limit", _) => (json!({"cores": 0.5}), process_target(harmed.id(), true)),
            ("system.process", _) => {
                (json!({"name": "api", "run": ["sleep", "600"], "folder": folder.path(), "stop_grace": "10ms"}), target(Facets::default()))
            }
            _ => (json!({}), process_target(harmed.id(), true)),
        };
        let undo = match fault.prepare(&spec, &target, &id).await {
            Ok(prepared) => prepared.undo,
            Err(error) if scenes::shaped::lacks_netem(&error) => {
                scenes::not_covered("rule_35_a_forged_undo_touches_nothing_and_panics_nobody", &error.message);
                continue;
            }
            Err(error) => panic!("{}: {error}", fault.kind()),
        };
        for path in leaves(&undo) {
            for forged in forgeries(&canary, bystander.pid()) {
                let mut undo = undo.clone();
                *undo.pointer_mut(&path).expect("a leaf") = forged;
                let _ = fault.inspect(&undo).await;
                let _ = fault.revert(&undo).await;
                let _ = fault.explain(&undo);
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "only {tried} forgeries");
    assert_eq!(everything_below(folder.path(), &file), before);
    for entry in std::fs::read_dir(&canary).expect("the canary") {
        assert_eq!(std::fs::read(entry.expect("a file").path()).expect("read"), b"1 2");
    }
    assert_eq!(network(), network_before);
    assert_eq!(state(bystander.pid()), "runs");
    assert_eq!(state(harmed.pid()), "runs");
}

/// What stands under `with:` of a fault on the network.
fn on_the_network(kind: &str, networked: &Networked) -> Value {
    match kind {
        "net.dns" => json!({"names": ["store.internal"], "answer": {"addresses": ["192.0.2.1"]}}),
        "net.rate" => json!({"rate": "1 MB/s", "direction": "both", "hosts": ["127.0.0.0/8"]}),
        "net.loss" => json!({"gilbert_elliott": {"p": "1%", "r": "25%"}}),
        "net.delay" => json!({"delay": "20ms", "jitter": "5ms", "distribution": "normal"}),
        "net.duplicate" | "net.corrupt" | "net.reorder" => json!({"share": "5%"}),
        "net.root" => scenes::shaped::hooks_of(networked.namespace()),
        _ => json!({}),
    }
}

#[tokio::test]
async fn rule_35_a_forged_name_never_leads_out_of_the_vault() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("model")).expect("a folder");
    let file = folder.path().join("model/weights.bin");
    write_with_everything(&file, 10_000);
    let canary = folder.path().join("canary");
    std::fs::create_dir(&canary).expect("a folder");
    std::fs::write(canary.join("x.original"), "1 2").expect("a file");
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("file.corrupt").expect("the fault");
    let id = InjectionId { run: format!("led-{}", std::process::id()), slot: "0.0.0".into() };
    let undo = fault.prepare(&json!({"flip": "8 B"}), &path_target(&file), &id).await.expect("prepared").undo;
    fault.stage(&arm(id, undo.clone())).await.expect("staged");
    let below_root = canary.strip_prefix("/").expect("absolute").display().to_string();
    for (pointer, forged) in [
        ("/vault/key", format!("../{below_root}/x")),
        ("/vault/key", format!("../../{below_root}/x")),
        ("/vault/key", "../model/weights".to_owned()),
        ("/vault/place/name", "canary".to_owned()),
        ("/place/name", format!("../{below_root}/x.original")),
    ] {
        let mut led = undo.clone();
        *led.pointer_mut(pointer).expect("a leaf") = json!(forged);
        assert!(fault.revert(&led).await.is_err(), "{pointer}: {forged}");
        assert_eq!(std::fs::read(canary.join("x.original")).expect("the canary"), b"1 2");
    }
    fault.revert(&undo).await.expect("reverted");
}

fn forgeries(canary: &Path, bystander: i32) -> Vec<Value> {
    vec![
        json!(null),
        json!(0),
        json!(bystander),
        json!(u64::MAX),
        json!(""),
        json!("../../etc"),
        json!("/"),
        json!(canary),
        json!([]),
        json!("foreign"),
        json!("chaos-theirs"),
    ]
}

/// JSON pointers to everything that holds no more.
fn leaves(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| leaves(value).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>();
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(list) if !list.is_empty() => {
            list.iter().enumerate().flat_map(|(index, value)| below(&index.to_string(), value)).collect()
        }
        _ => vec![String::new()],
    }
}
