//! `system.process`: started again where asked to, never once it is being stopped, and stopped with everything that it started.

#![allow(clippy::disallowed_methods, reason = "tests make and look at the world by their own means")]

mod scenes;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos_core::conformance::arm;
use chaos_core::event::SystemState;
use chaos_core::fault::{InPlace, InjectionId};
use chaos_core::secret::Secrets;
use chaos_core::target::Facets;
use chaos_host::{Host, faults};
use scenes::{target, wait_for};
use serde_json::{Value, json};

/// What was told of which process.
type Told = Arc<Mutex<Vec<(String, SystemState)>>>;

fn told(host: &Host) -> Told {
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    host.on_system(move |name, state| list.lock().expect("the list").push((name.to_owned(), state)));
    told
}

async fn start(host: &Arc<Host>, slot: &str, spec: &Value) -> Value {
    let table = faults(host);
    let fault = table.get("system.process").expect("the fault");
    let id = InjectionId { run: format!("t{}", std::process::id()), slot: slot.into() };
    let prepared = fault.prepare(spec, &target(Facets::default()), &id).await.expect("prepared");
    fault.inject(arm(id, prepared.undo.clone())).await.expect("started");
    prepared.undo
}

fn spec(folder: &Path, script: &str, more: Value) -> Value {
    let mut spec = json!({"name": "api", "run": ["sh", "-c", script], "folder": folder, "stop_grace": "2s"});
    for (key, value) in more.as_object().expect("a map") {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test]
async fn rule_39_what_dies_is_started_again_where_the_file_says_so_and_never_after_revert_began() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    host.begin(Secrets::new(), folder.path());
    let told = told(&host);
    let undo = start(&host, "restart", &spec(folder.path(), "sleep 600", json!({"restart_after": "50ms"}))).await;
    let SystemState::Started { pid } = told.lock().expect("the list")[0].1 else { panic!("told that it was started") };
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), rustix::process::Signal::KILL).expect("ours");
    let restarted = || told.lock().expect("the list").iter().any(|(_, s)| matches!(s, SystemState::Restarted { .. }));
    wait_for("it was started again", restarted);
    assert_eq!(told.lock().expect("the list")[1].1, SystemState::Died { how: "signal 9".into() });

    let table = faults(&host);
    let fault = table.get("system.process").expect("the fault");
    fault.revert(&undo).await.expect("stopped");
    let states = told.lock().expect("the list").len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None, "it came back after revert");
    let told = told.lock().expect("the list");
    assert!(!told[states.min(told.len())..].iter().any(|(_, s)| matches!(s, SystemState::Restarted { .. })));
    assert!(told.iter().any(|(_, s)| *s == SystemState::Stopped));
}

#[tokio::test]
async fn rule_39_what_cannot_be_started_again_is_tried_until_it_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let told = told(&host);
    let program = folder.path().join("api");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").expect("a program");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    let mut spec = spec(folder.path(), "", json!({"restart_after": "20ms", "log": "log"}));
    spec["run"] = json!([program]);
    let undo = start(&host, "tried", &spec).await;
    let away = folder.path().join("away");
    std::fs::rename(&program, &away).expect("damaged");
    let SystemState::Started { pid } = told.lock().expect("the list")[0].1 else { panic!("told that it was started") };
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), rustix::process::Signal::KILL).expect("ours");
    let failed = || told.lock().expect("the list").iter().any(|(_, s)| matches!(s, SystemState::Died { how } if how.contains("could not")));
    wait_for("it could not be started", failed);
    std::fs::rename(&away, &program).expect("whole again");
    let restarted = || told.lock().expect("the list").iter().any(|(_, s)| matches!(s, SystemState::Restarted { .. }));
    wait_for("it was started again", restarted);
    let table = faults(&host);
    let fault = table.get("system.process").expect("the fault");
    fault.revert(&undo).await.expect("stopped");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
}

#[tokio::test]
async fn rule_39_what_daemonises_or_ignores_sigterm_is_stopped_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let script = "trap '' TERM; (setsid sleep 600 &) ; : > ready; while :; do sleep 1; done";
    let undo = start(&host, "daemon", &spec(folder.path(), script, json!({"stop_grace": "100ms", "log": "log"}))).await;
    wait_for("it ignores SIGTERM", || folder.path().join("ready").exists());
    let table = faults(&host);
    let fault = table.get("system.process").expect("the fault");
    let notes = fault.revert(&undo).await.expect("stopped").notes;
    assert!(notes[0].contains("killed"), "{notes:?}");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
}

/// Programs without a trace of us in their environment, as of servers that write their title over it; one of them a daemon.
const CLEANED: &str = "setsid env -i sh -c 'echo $$ >> pids; exec sleep 600' & exec env -i sh -c 'echo $$ >> pids; exec sleep 600'";

fn cleaned(folder: &Path) -> Vec<i32> {
    let pids = || std::fs::read_to_string(folder.join("pids")).unwrap_or_default();
    wait_for("both of them", || pids().ends_with('\n') && pids().lines().count() == 2);
    let pids: Vec<i32> = pids().lines().map(|l| l.parse().expect("a pid")).collect();
    for pid in &pids {
        wait_for("its program", || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "sleep"));
        let environ = std::fs::read_to_string(format!("/proc/{pid}/environ")).expect("its environment");
        assert!(!environ.contains("CHAOS"), "{environ}");
    }
    pids
}

#[tokio::test]
async fn rule_39_what_wipes_its_environment_is_found_and_stopped_by_whoever_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let undo = start(&host, "cleaned", &spec(folder.path(), CLEANED, json!({"log": "log"}))).await;
    let pids = cleaned(folder.path());
    let swept = chaos_host::sweep(&[]).expect("swept");
    for pid in &pids {
        let found = swept.iter().find(|f| f.what.ends_with(&format!("(pid {pid})"))).expect("the second net holds it");
        assert_eq!(found.run, format!("t{}", std::process::id()));
    }
    let other = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&other);
    let fault = table.get("system.process").expect("the fault");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::Whole);
    fault.revert(&undo).await.expect("stopped");
    assert_eq!(fault.inspect(&undo).await.expect("inspected").in_place, InPlace::None);
    for pid in pids {
        assert_eq!(scenes::state(pid), "dead", "said to be stopped, {pid} runs");
    }
}

#[tokio::test]
async fn rule_39_what_wipes_its_environment_is_stopped_by_its_keeper() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let undo = start(&host, "kept", &spec(folder.path(), CLEANED, json!({"log": "log"}))).await;
    let pids = cleaned(folder.path());
    let keeper = std::process::Command::new(scenes::HELPER)
        .args(["helper", "keep", "--tag", "keeper", "--parent", "1", "--deadline", "0", "--grace", "100"])
        .args(["--of", undo["tag"].as_str().expect("its tag")])
        .stdin(std::process::Stdio::null())
        .status()
        .expect("a helper");
    assert!(keeper.success());
    for pid in pids {
        assert_eq!(scenes::state(pid), "dead");
    }
    faults(&host).get("system.process").expect("the fault").revert(&undo).await.expect("stopped");
}

#[tokio::test]
async fn rule_39_the_printed_command_stops_what_wipes_its_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let undo = start(&host, "printed", &spec(folder.path(), CLEANED, json!({"log": "log"}))).await;
    let pids = cleaned(folder.path());
    let table = faults(&host);
    let fault = table.get("system.process").expect("the fault");
    for line in fault.explain(&undo) {
        assert!(std::process::Command::new("sh").args(["-c", &line]).status().expect("a shell").success(), "{line}");
    }
    wait_for("their end", || pids.iter().all(|pid| scenes::state(*pid) == "dead"));
    fault.revert(&undo).await.expect("stopped");
}

#[tokio::test]
async fn rule_18_what_is_started_does_not_inherit_our_protection_from_memory_pressure() {
    let own = || std::fs::read_to_string("/proc/self/oom_score_adj").expect("our score");
    let before = own();
    if std::fs::write("/proc/self/oom_score_adj", "-13").is_err() {
        return scenes::not_covered("what_is_started_does_not_inherit", "needs the right to lower one's score");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let script = "cat /proc/self/oom_score_adj > first; mv first score; exec sleep 600";
    let undo = start(&host, "score", &spec(folder.path(), script, json!({"log": "log"}))).await;
    let keepers = scenes::helpers("keep");
    std::fs::write("/proc/self/oom_score_adj", before.trim()).expect("as it was");
    let score = folder.path().join("score");
    wait_for("its score", || score.exists());
    assert_eq!(std::fs::read_to_string(&score).expect("its score").trim(), "0");
    assert!(!keepers.is_empty());
    for keeper in keepers {
        let score = std::fs::read_to_string(format!("/proc/{keeper}/oom_score_adj")).unwrap_or_default();
        assert!(!score.starts_with('-'), "the helper that ends the system keeps {score}");
    }
    faults(&host).get("system.process").expect("the fault").revert(&undo).await.expect("stopped");
}

#[tokio::test]
async fn rule_39_what_a_process_leaves_behind_is_reaped() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let script = "(sh -c 'echo $$ > orphan; exec sleep 0.2' &) ; exec sleep 600";
    let undo = start(&host, "orphan", &spec(folder.path(), script, json!({"log": "log"}))).await;
    let file = folder.path().join("orphan");
    wait_for("the orphan", || std::fs::read_to_string(&file).is_ok_and(|t| t.ends_with('\n')));
    let orphan = std::fs::read_to_string(&file).expect("its pid").trim().to_owned();
    wait_for("it was reaped", || !Path::new("/proc").join(&orphan).exists());
    faults(&host).get("system.process").expect("the fault").revert(&undo).await.expect("stopped");
}

#[tokio::test]
async fn rule_18_what_would_starve_the_host_is_refused() {
    let host = Arc::new(Host::new(scenes::HELPER));
    let started = scenes::Started::sleeping();
    let target = scenes::process_target(started.id(), false);
    let id = InjectionId { run: "greedy".into(), slot: "0.0.0".into() };
    let table = faults(&host);
    for (kind, spec, because) in [
        ("cpu.burn", json!({"cores": 4096}), "one is left to the rest"),
        ("memory.fill", json!({"size": "1000 TiB"}), "must stay so"),
        ("memory.fill", json!({"size": "100%"}), "must stay so"),
    ] {
        let error = table.get(kind).expect("the fault").prepare(&spec, &target, &id).await.expect_err("too much");
        assert!(error.message.contains(because), "{error}");
        assert!(error.hint.is_some(), "{kind} says what would do");
    }
}

#[tokio::test]
async fn a_disk_on_which_somebody_else_took_the_room_is_filled_in_part_and_not_waited_for() {
    let disk = scenes::SmallDisk::new("a_disk_on_which_somebody_else_took_the_room");
    if !disk.is_own() {
        return;
    }
    let host = Arc::new(Host::new(scenes::HELPER));
    let table = faults(&host);
    let fault = table.get("disk.fill").expect("the fault");
    let id = InjectionId { run: format!("part-{}", std::process::id()), slot: "0.0.0".into() };
    let prepared = fault.prepare(&json!({"size": "8 MiB"}), &scenes::path_target(disk.path()), &id).await.expect("prepared");
    std::fs::write(disk.path().join("theirs"), vec![1; 12 << 20]).expect("written");
    let injected = tokio::time::timeout(std::time::Duration::from_secs(60), fault.inject(arm(id, prepared.undo.clone()))).await;
    let presence = fault.inspect(&prepared.undo).await;
    fault.revert(&prepared.undo).await.expect("reverted");
    injected.expect("it waits for room that never comes").expect("injected");
    assert_eq!(presence.expect("inspected").in_place, InPlace::Partial);
}

#[tokio::test]
async fn rule_36_a_secret_reaches_the_environment_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let mut secrets = Secrets::new();
    secrets.insert("key", "hunter2");
    host.begin(secrets, folder.path());
    let script = "echo \"$KEY\" > seen; sleep 600";
    let undo = start(&host, "secret", &spec(folder.path(), script, json!({"env": {"KEY": "$(key)"}}))).await;
    assert!(!undo.to_string().contains("hunter2"));
    let seen = folder.path().join("seen");
    wait_for("its environment", || std::fs::read_to_string(&seen).is_ok_and(|s| s.trim() == "hunter2"));
    faults(&host).get("system.process").expect("the fault").revert(&undo).await.expect("stopped");
}

#[tokio::test]
async fn rule_6_a_started_process_has_its_own_session_and_none_of_our_descriptors() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Arc::new(Host::new(scenes::HELPER));
    let told = told(&host);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a descriptor that must not be inherited");
    let undo = start(&host, "session", &spec(folder.path(), "exec sleep 600", json!({"log": "log"}))).await;
    let SystemState::Started { pid } = told.lock().expect("the list")[0].1 else { panic!("told that it was started") };
    wait_for("its exec", || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "sleep"));
    assert_eq!(scenes::stat(pid)[3], pid.to_string(), "it leads a session of its own");
    let links = |pid: &str| -> Vec<std::path::PathBuf> {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
        descriptors.filter_map(|d| std::fs::read_link(d.expect("one").path()).ok()).collect()
    };
    let ours = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let ours = std::fs::read_link(format!("/proc/self/fd/{ours}")).expect("our socket");
    assert!(links("self").contains(&ours));
    assert!(!links(&pid.to_string()).contains(&ours), "it inherited {}", ours.display());
    faults(&host).get("system.process").expect("the fault").revert(&undo).await.expect("stopped");
}
