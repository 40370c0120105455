//! Processes of `system:`: started before, watched, and gone after, whatever happens (RULES 39).

use std::collections::BTreeMap;
use std::net::TcpListener;

use rustix::process::Signal;

use crate::scaffold::victim::state;
use crate::scaffold::{Server, Stage, Text, Victim, until};

/// A system of one shell command, and the pid that it writes into a file.
fn with_system(stage: &Stage, script: &str, more: &str) -> (Server, Victim, Text) {
    let (server, victim) = (Server::well(), Victim::new(stage));
    let pid_file = stage.path("system.pid");
    let text = Text::new(&server, &victim)
        .top(&format!("system: {{service: {{run: \"sh -c 'echo $$ >{}; {script}'\"{more}}}}}", pid_file.display()));
    (server, victim, text)
}

fn pid_in(stage: &Stage, file: &str) -> i32 {
    let path = stage.path(file);
    let read = || std::fs::read_to_string(&path).ok()?.trim().parse().ok();
    until("its pid is known", || read().is_some());
    read().expect("as before")
}

/// The numbers of a process's open files, and what each is.
fn open_files(pid: i32) -> BTreeMap<String, String> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
    open.map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read_link(e.path()).unwrap_or_default().display().to_string()))
        .collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

#[test]
fn rule_39_a_system_that_is_not_ready_in_time() {
    let stage = Stage::new();
    let ready = format!(", ready: {{probe: tcp, with: {{connect: '127.0.0.1:{}'}}, within: 500ms}}", free_port());
    let (_server, victim, text) = with_system(&stage, "echo loading; echo out of memory >&2; exec sleep 600", &ready);
    let outcome = stage.run(&text.yaml()).expect(4);
    outcome.says("`service` was not ready within 500ms").says("its log ends with: out of memory");
    stage.assert_clean();
    assert_eq!(state(pid_in(&stage, "system.pid")), 'X', "it is gone");
    victim.assert_well();
}

#[test]
fn rule_39_a_system_that_dies_before_it_is_ready() {
    let stage = Stage::new();
    let ready = format!(", ready: {{probe: tcp, with: {{connect: '127.0.0.1:{}'}}, within: 60s}}", free_port());
    let (_server, _victim, text) = with_system(&stage, "echo no such model; exit 3", &ready);
    let outcome = stage.run(&text.yaml()).expect(4);
    outcome.says("`service` died before it was ready: exit 3").says("its log ends with: no such model");
    stage.assert_clean();
}

#[test]
fn rule_39_a_port_in_use_names_its_owner() {
    let stage = Stage::new();
    let taken = Server::well();
    let ready = format!(", ready: {{probe: tcp, with: {{connect: '127.0.0.1:{}'}}, within: 60s}}", taken.port());
    let (_server, _victim, text) = with_system(&stage, "exec sleep 600", &ready);
    let outcome = stage.run(&text.yaml()).expect(4);
    outcome.says("`service` was not started").says(&format!("port {} is held by", taken.port())).says(&std::process::id().to_string());
    assert!(!stage.path("system.pid").exists(), "nothing was started");
    stage.assert_clean();
}

#[test]
fn a_system_whose_program_does_not_exist() {
    let stage = Stage::new();
    let (server, victim) = (Server::well(), Victim::new(&stage));
    let text = Text::new(&server, &victim).top("system: {service: {run: no-such-program --at-all}}");
    stage.run(&text.yaml()).expect(4).says("could not be started").says("no-such-program");
    stage.assert_clean();
}

#[test]
fn rule_39_a_system_is_gone_after_the_run() {
    let stage = Stage::new();
    // It does not want to go, and has a child that does not either.
    let (_server, victim, text) =
        with_system(&stage, "trap : TERM; sleep 601 & echo $! >DIR/child.pid; while true; do sleep 0.1; done", ", stop_grace: 300ms");
    let dir = stage.path("");
    stage.run(&text.yaml().replace("DIR", dir.to_str().unwrap().trim_end_matches('/'))).expect(0);
    assert_eq!(state(pid_in(&stage, "system.pid")), 'X');
    assert_eq!(state(pid_in(&stage, "child.pid")), 'X', "its children too");
    victim.assert_well();
    stage.assert_clean();
}

#[test]
fn rule_39_a_system_is_gone_after_a_killed_run() {
    let stage = Stage::new();
    let (_server, victim, text) = with_system(&stage, "exec sleep 600", "");
    let mut run = stage.start_run(&text.method("[{inject: process.pause, into: victim, for: 100s}]").yaml());
    run.until("the fault acts", || victim.is_stopped());
    let system = pid_in(&stage, "system.pid");
    assert_ne!(state(system), 'X');
    run.signal(Signal::KILL);
    until("the fault is taken back", || !victim.is_stopped());
    until("the system is gone", || state(system) == 'X');
    drop(run);
    until("the executor has ended", || std::fs::read_dir(stage.state().join("journals/done")).is_ok_and(|d| d.count() == 1));
    stage.assert_clean();
}

#[test]
fn rule_39_what_dies_comes_back_only_if_asked() {
    for (more, comes_back) in [("", false), (", restart_after: 100ms", true)] {
        let stage = Stage::new();
        let (server, victim) = (Server::well(), Victim::new(&stage));
        let pids = stage.path("pids");
        let text = Text::new(&server, &victim)
            .top(&format!("system: {{service: {{run: \"sh -c 'echo $$ >>{}; exec sleep 600'\"{more}}}}}", pids.display()))
            .targets("{victim: {processes: {system: service}}}")
            .method("[{inject: process.kill, into: victim}, {wait: 2s}]");
        let outcome = stage.run(&text.yaml()).expect(0);
        let lines = std::fs::read_to_string(&pids).unwrap().lines().count();
        assert_eq!(lines, if comes_back { 2 } else { 1 }, "{more}: {}", outcome.out);
        stage.assert_clean();
    }
}

#[test]
fn rule_06_children_inherit_nothing() {
    let stage = Stage::new();
    let (_server, victim, text) = with_system(&stage, "exec sleep 600", "");
    let waits = |file: &str| format!("\"sh -c 'echo $$ >{}; exec sleep 600'\"", stage.path(file).display());
    let probe = format!("a command: {{probe: command, with: {{run: {}}}, every: 1s, timeout: 60s}}", waits("probe.pid"));
    let yaml = text
        .method(format!("[{{inject: process.pause, into: victim, meanwhile: [{{run: {}, timeout: 90s}}]}}]", waits("run.pid")))
        .yaml()
        .replacen("\ntargets:", &format!("\n  {probe}\ntargets:"), 1);
    let mut run = stage.start_run(&yaml);
    for file in ["system.pid", "probe.pid", "run.pid"] {
        run.until("its pid is written", || stage.path(file).exists());
        let pid = pid_in(&stage, file);
        until("it is what it is to be", || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n"));
        // A program that starts opens files of its own for a moment; what it has inherited stays.
        until(&format!("{file}: only 0, 1 and 2 are open"), || open_files(pid).keys().eq(["0", "1", "2"]));
        assert!(open_files(pid).values().all(|to| !to.starts_with("socket:")), "{file}: {:?}", open_files(pid));
    }
    run.signal(Signal::INT);
    run.wait().expect(5);
    victim.assert_well();
    for file in ["system.pid", "probe.pid", "run.pid"] {
        let pid = pid_in(&stage, file);
        until("it is gone", || state(pid) == 'X');
    }
    stage.assert_clean();
}
