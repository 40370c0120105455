//! Host faults on containers of a real engine: limits and networks that are the engine's own, and files in its layers.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::sync::Arc;

use chaos_core::AnyFault;
use chaos_core::conformance::{Scene, arm, check};
use chaos_core::fault::{InPlace, InjectionId, Prepared, Reach};
use chaos_core::target::Target;
use chaos_host::{Host, faults};
use chaos_testbed::Engine;
use scenes::engine::{Container, Removed};
use serde_json::{Value, json};

fn id() -> InjectionId {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    InjectionId { run: format!("e{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)), slot: "0.0.0".into() }
}

fn engine(test: &str) -> Option<&'static Engine> {
    let engine = if std::env::var_os("CHAOS_TESTS_QUICK").is_none() { Engine::shared().ok() } else { None };
    if engine.is_none() {
        scenes::not_covered(test, "no container engine can be started here");
    }
    engine
}

fn table() -> chaos_core::Table {
    faults(&Arc::new(Host::new(scenes::HELPER)))
}

async fn prepared(fault: &dyn AnyFault, spec: Value, target: &Target, id: &InjectionId) -> Prepared<Value> {
    fault.prepare(&spec, target, id).await.unwrap_or_else(|e| panic!("{}: {e} {:?}", fault.kind(), e.hint))
}

async fn injected(fault: &dyn AnyFault, spec: Value, target: &Target) -> Prepared<Value> {
    let id = id();
    let prepared = prepared(fault, spec, target, &id).await;
    fault.stage(&arm(id.clone(), prepared.undo.clone())).await.expect("staged");
    fault.inject(arm(id, prepared.undo.clone())).await.expect("injected");
    assert_eq!(fault.inspect(&prepared.undo).await.expect("inspected").in_place, InPlace::Whole);
    prepared
}

async fn reverted(fault: &dyn AnyFault, undo: &Value) -> Vec<String> {
    let notes = fault.revert(undo).await.unwrap_or_else(|e| panic!("{}: revert: {e}", fault.kind())).notes;
    fault.revert(undo).await.expect("reverted twice");
    assert_eq!(fault.inspect(undo).await.expect("inspected").in_place, InPlace::None);
    notes
}

/// Its limits, its freezer, its network: as the engine made them, and as it says of them.
#[tokio::test]
async fn faults_on_a_container_keep_the_contract() {
    let Some(engine) = engine("faults_on_a_container_keep_the_contract") else { return };
    let table = table();
    for (kind, spec, look) in [
        ("container.limit", json!({"cpus": 0.25, "memory": "64 MiB", "pids": 40}), CGROUPS),
        ("process.pause", json!({}), FREEZER),
        ("net.partition", json!({"hosts": ["127.0.0.0/8"], "how": "reject"}), REACHED),
    ] {
        let fault = table.get(kind).expect("the fault");
        check(&table, fault, &|| scene(engine, spec.clone(), look)).await;
    }
}

/// The values of its control groups, whatever version: read from outside.
const CGROUPS: &str = "for line in $(cut -d: -f3 /proc/PID/cgroup | sort -u); do cat /sys/fs/cgroup/cpu$line/cpu.cfs_* \
    /sys/fs/cgroup/memory$line/memory.limit_in_bytes /sys/fs/cgroup/pids$line/pids.max \
    /sys/fs/cgroup$line/cpu.max /sys/fs/cgroup$line/memory.max /sys/fs/cgroup$line/pids.max 2>/dev/null; done; true";
const FREEZER: &str = "for line in $(cut -d: -f3 /proc/PID/cgroup | sort -u); do cat /sys/fs/cgroup/freezer$line/freezer.state \
    /sys/fs/cgroup$line/cgroup.freeze 2>/dev/null; done; true";
const REACHED: &str = "nsenter --net --target PID busybox ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1 && echo reached || echo cut off";

fn scene(engine: &'static Engine, spec: Value, look: &str) -> Scene {
    let container = Removed(engine, Container::new(engine, &["--cpus", "0.5", "--memory", "128m"], "true"));
    let look = look.replace("PID", &container.1.pid(engine).to_string());
    Scene {
        target: container.1.target(engine),
        spec,
        look: Box::new(move || {
            let said = std::process::Command::new("sh").args(["-c", &look]).output().expect("a shell");
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        }),
        keep: Box::new(container),
    }
}

const MODEL: &str = "mkdir -p /srv/model; seq 1 2000 > /srv/model/weights; ln -s /srv/model /models";

#[tokio::test]
async fn a_file_in_the_layers_of_a_container_is_damaged_and_restored() {
    let Some(engine) = engine("a_file_in_the_layers_of_a_container") else { return };
    let container = Removed(engine, Container::new(engine, &[], MODEL));
    let table = table();
    let fault = table.get("file.corrupt").expect("the fault");
    // A link within the container leads within it.
    for path in ["/srv/model/weights", "/models/weights"] {
        for spec in [json!({"truncate": "100 B"}), json!({"flip": "64 B"}), json!({"delete": true}), json!({"replace": "/etc/passwd"})] {
            damaged_and_restored(engine, &container.1, fault, &spec, path).await;
        }
    }
    // One that comes from the image.
    let image = Engine::unique("image");
    engine.docker(&["commit", &container.1.name, &image]);
    let other = Removed(engine, Container::of(engine, &image, &[], "true"));
    for spec in [json!({"flip": "64 B"}), json!({"delete": true})] {
        damaged_and_restored(engine, &other.1, fault, &spec, "/srv/model/weights").await;
    }
    drop(other);
    engine.docker(&["rmi", &image]);
    let left = engine.docker(&["exec", &container.1.name, "ls", "-a", "/", "/srv", "/srv/model"]);
    assert!(!left.contains(".chaos"), "{left}");
}

async fn damaged_and_restored(engine: &Engine, container: &Container, fault: &dyn AnyFault, spec: &Value, path: &str) {
    let seen = || {
        let listed = engine.try_docker(&["exec", &container.name, "ls", "-l", "--full-time", path]).unwrap_or_default();
        (listed, container.cat(engine, path))
    };
    let before = seen();
    let done = injected(fault, spec.clone(), &container.file(engine, path)).await;
    assert!(done.notes.iter().any(|note| note.contains("own layer")), "{:?}", done.notes);
    assert_ne!(seen(), before, "{spec} of {path} is not seen");
    reverted(fault, &done.undo).await;
    assert_eq!(seen(), before, "{spec} of {path}");
}

#[tokio::test]
async fn a_file_comes_back_although_its_container_was_restarted_or_stopped_and_goes_with_one_that_was_removed() {
    let Some(engine) = engine("a_file_comes_back_although") else { return };
    let container =
        Removed(engine, Container::new(engine, &[], "[ -e /srv/model ] || { mkdir -p /srv/model; seq 1 2000 > /srv/model/weights; }"));
    let name = container.1.name.as_str();
    let table = table();
    let fault = table.get("file.corrupt").expect("the fault");
    let target = || container.1.file(engine, "/srv/model/weights");
    let before = container.1.cat(engine, "/srv/model/weights");
    for spec in [json!({"flip": "64 B"}), json!({"delete": true})] {
        let done = injected(fault, spec.clone(), &target()).await;
        engine.docker(&["restart", "--time", "0", name]);
        assert_ne!(container.1.cat(engine, "/srv/model/weights"), before);
        assert_eq!(fault.inspect(&done.undo).await.expect("inspected").in_place, InPlace::Whole, "{spec}, restarted");
        reverted(fault, &done.undo).await;
        assert_eq!(container.1.cat(engine, "/srv/model/weights"), before, "{spec}, restarted");

        let done = injected(fault, spec.clone(), &target()).await;
        engine.docker(&["stop", "--time", "0", name]);
        assert_eq!(fault.inspect(&done.undo).await.expect("inspected").in_place, InPlace::Whole, "{spec}, stopped");
        reverted(fault, &done.undo).await;
        engine.docker(&["start", name]);
        assert_eq!(container.1.cat(engine, "/srv/model/weights"), before, "{spec}, stopped");
    }
    let done = injected(fault, json!({"flip": "64 B"}), &target()).await;
    engine.docker(&["rm", "--force", name]);
    let notes = fault.revert(&done.undo).await.expect("reverted").notes;
    assert!(notes[0].contains("gone"), "{notes:?}");
    assert_eq!(fault.inspect(&done.undo).await.expect("inspected").in_place, InPlace::None);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_what_lies_on_a_volume_is_the_hosts() {
    let Some(engine) = engine("what_cannot_be_written_is_refused") else { return };
    let table = table();
    let fault = table.get("file.corrupt").expect("the fault");
    let read_only = Removed(engine, Container::new(engine, &["--read-only"], "true"));
    let error = fault.prepare(&json!({"flip": "8 B"}), &read_only.1.file(engine, "/bin/busybox"), &id()).await.expect_err("read only");
    assert!(error.message.contains("read only"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).expect("a folder");
    std::fs::write(model.join("weights"), "0123456789").expect("a file");
    let bound = format!("{}:/srv", folder.path().display());
    let container = Removed(engine, Container::new(engine, &["--volume", &bound], "true"));
    let done = injected(fault, json!({"truncate": "4 B"}), &container.1.file(engine, "/srv/model/weights")).await;
    assert_eq!(container.1.cat(engine, "/srv/model/weights"), "0123");
    drop(container);
    reverted(fault, &done.undo).await;
    assert_eq!(std::fs::read_to_string(model.join("weights")).expect("restored"), "0123456789");
}

#[tokio::test]
async fn a_disk_in_memory_is_the_containers_alone() {
    let Some(engine) = engine("a_disk_in_memory_is_the_containers_alone") else { return };
    let container = Removed(engine, Container::new(engine, &["--tmpfs", "/scratch:size=8m"], "true"));
    let table = table();
    let fault = table.get("disk.fill").expect("the fault");
    let done = injected(fault, json!({"free": "0 B"}), &container.1.file(engine, "/scratch")).await;
    assert_eq!(done.reach, Some(Reach::Target));
    let write = ["exec", &container.1.name, "sh", "-c", "head -c 100000 /dev/zero > /scratch/x"];
    engine.try_docker(&write).expect_err("it is full");
    reverted(fault, &done.undo).await;
    engine.docker(&write);

    let layer = fault.prepare(&json!({"free": "0 B"}), &container.1.file(engine, "/srv"), &id()).await;
    let layer = layer.or(fault.prepare(&json!({"size": "1 MiB"}), &container.1.file(engine, "/tmp"), &id()).await).expect("prepared");
    assert!(layer.reach.is_none(), "the disk under the layers is everybody's");
    // What was damaged in it ends with the container.
    let file = table.get("file.corrupt").expect("the fault");
    engine.docker(&["exec", &container.1.name, "sh", "-c", "mkdir -p /scratch/a; seq 1 500 > /scratch/a/b"]);
    let done = injected(file, json!({"flip": "8 B"}), &container.1.file(engine, "/scratch/a/b")).await;
    engine.docker(&["restart", "--time", "0", &container.1.name]);
    let notes = file.revert(&done.undo).await.expect("reverted").notes;
    assert!(notes[0].contains("gone"), "{notes:?}");
}
