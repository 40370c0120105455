//! A container engine of a test's own: it comes up, it is restarted and killed, and nothing of it is left.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chaos_testbed::{Engine, EngineTwin, Payload, not_covered};

const PATIENCE: Duration = Duration::from_secs(60);

/// The engine that these tests have in common, or none here.
fn engine(test: &str) -> Option<&'static Engine> {
    Engine::shared().map_err(|absent| not_covered(test, &absent.0)).ok()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What one that has this name has left on this machine.
fn left(name: &str, folder: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let processes = std::fs::read_dir("/proc").expect("procfs").flatten().map(|e| e.path());
    for process in processes.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok())) {
        let read = |file: &str| std::fs::read_to_string(process.join(file)).unwrap_or_default();
        if read("cgroup").contains(name) || read("mounts").contains(name) {
            left.push(format!("{}: {}", process.display(), read("cmdline").replace('\0', " ")));
        }
    }
    let groups = Command::new("find").args(["/sys/fs/cgroup", "-name", name]).output().expect("find");
    left.extend(String::from_utf8_lossy(&groups.stdout).lines().map(ToOwned::to_owned));
    left.extend(folder.exists().then(|| folder.display().to_string()));
    left
}

#[test]
fn nothing_is_left_of_one_however_its_owner_ends() {
    // This very test, once more, in a process that is killed.
    if let Some(tell) = std::env::var_os("CHAOS_TESTBED_ENGINE_OWNER") {
        let Ok(engine) = Engine::start() else { return };
        for name in ["runs", "frozen"] {
            engine.docker(&["run", "--detach", "--restart", "always", "--name", name, "--publish", "80", Engine::BUSYBOX, "sleep", "1000"]);
        }
        engine.docker(&["pause", "frozen"]);
        std::fs::write(tell, format!("{}\n{}", engine.cgroup(), engine.folder().display())).expect("told");
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    if engine("nothing_is_left_of_one_however_its_owner_ends").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let tell = folder.path().join("told");
    let mut owner = Command::new(std::env::current_exe().expect("our own path"));
    owner.args(["--exact", "nothing_is_left_of_one_however_its_owner_ends"]).env("CHAOS_TESTBED_ENGINE_OWNER", &tell);
    let mut owner = owner.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("this test once more");
    until("an engine with containers", || std::fs::read_to_string(&tell).is_ok_and(|t| t.contains("\n/")));
    let told = std::fs::read_to_string(&tell).expect("told");
    let (name, place) = told.split_once('\n').expect("two lines");
    assert!(left(name, Path::new(place)).len() > 6, "the look must see what there is");
    owner.kill().expect("our child");
    owner.wait().expect("our child");
    let since = Instant::now();
    while !left(name, Path::new(place)).is_empty() {
        assert!(since.elapsed() < PATIENCE, "left: {:#?}", left(name, Path::new(place)));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_runs_what_it_is_given_in_the_engines_network() {
    let Some(engine) = engine("a_container_runs_what_it_is_given_in_the_engines_network") else { return };
    let (name, image) = (Engine::unique("serves"), Engine::unique("image"));
    engine.image(&image, &Payload::new().with_program("/usr/bin/env"));
    assert!(engine.try_docker(&["run", "--rm", &image, "sh"]).is_err(), "it has no shell");
    assert!(engine.docker(&["run", "--rm", "--env", "WHERE=here", &image, "/usr/bin/env"]).contains("WHERE=here"));
    let serve = "echo hello >/index.html; exec httpd -f";
    engine.docker(&["run", "--detach", "--name", &name, "--publish", "127.0.0.1:4711:80", Engine::BUSYBOX, "sh", "-c", serve]);
    let get = || {
        let output = engine.command("busybox").args(["wget", "-qO-", "http://127.0.0.1:4711/"]).output().expect("wget");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("its answer", || get() == "hello\n");
    engine.docker(&["rm", "--force", &name]);
}

#[test]
fn a_twin_sees_what_is_done_and_that_it_was_taken_back() {
    let Ok(engine) = Engine::start() else {
        return not_covered("a_twin_sees_what_is_done_and_that_it_was_taken_back", "no container engine");
    };
    engine.docker(&["network", "create", "other"]);
    engine.docker(&["run", "--detach", "--name", "one", "--init", "--memory", "64m", Engine::BUSYBOX, "sleep", "1000"]);
    let before = EngineTwin::of(&engine);
    let pairs: [(&[&str], &[&str]); 4] = [
        (&["pause", "one"], &["unpause", "one"]),
        (&["network", "connect", "other", "one"], &["network", "disconnect", "other", "one"]),
        (&["volume", "create", "one"], &["volume", "rm", "one"]),
        (&["update", "--cpus", "0.5", "one"], &["update", "--cpus", "0.6", "one"]),
    ];
    for (done, undone) in pairs {
        engine.docker(done);
        assert!(!before.differences(&EngineTwin::of(&engine), &[]).is_empty(), "not seen: {done:?}");
        engine.docker(undone);
        if done[0] != "update" {
            before.assert_same(&EngineTwin::of(&engine), undone[0]);
        }
    }
    before.assert_same_but(&EngineTwin::of(&engine), &["HostConfig.NanoCpus", "cgroup.cpu.cfs_quota_us", "cgroup.cpu.max"], "update");
    let before = EngineTwin::of(&engine);
    engine.docker(&["restart", "one"]);
    before.assert_same_but(&EngineTwin::of(&engine), EngineTwin::STARTED, "restart");
}

#[test]
fn an_engine_is_killed_and_comes_back() {
    let Ok(engine) = Engine::start_with(&["--live-restore"]) else {
        return not_covered("an_engine_is_killed_and_comes_back", "no container engine");
    };
    engine.docker(&["run", "--detach", "--name", "one", Engine::BUSYBOX, "sleep", "1000"]);
    let before = EngineTwin::of(&engine);
    engine.kill();
    assert_eq!(engine.pid(), None);
    assert!(engine.try_docker(&["ps"]).is_err(), "it is down");
    engine.bring_up();
    before.assert_same(&EngineTwin::of(&engine), "killed, with its containers living on");
    engine.restart();
    before.assert_same(&EngineTwin::of(&engine), "restarted, with its containers living on");
}

#[test]
fn users_of_containers_are_others_when_asked_for() {
    let Ok(engine) = Engine::start_with(&["--userns-remap=nobody:nogroup"]) else {
        return not_covered("users_of_containers_are_others_when_asked_for", "no container engine");
    };
    engine.docker(&["run", "--detach", "--name", "one", Engine::BUSYBOX, "sleep", "1000"]);
    let pid = engine.docker(&["inspect", "--format", "{{.State.Pid}}", "one"]);
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).expect("it runs");
    assert!(map.split_whitespace().eq(["0", "200000", "65536"]), "{map}");
}

#[test]
fn a_late_request_lands_when_nobody_waits_for_it() {
    let Some(engine) = engine("a_late_request_lands_when_nobody_waits_for_it") else { return };
    let name = Engine::unique("late");
    engine.docker(&["run", "--detach", "--name", &name, Engine::BUSYBOX, "sleep", "1000"]);
    let late = engine.late("POST /pause", Duration::from_secs(1));
    let mut client = Command::new("/usr/bin/docker");
    let client = client.args(["pause", &name]).env("DOCKER_HOST", late.endpoint()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut client = client.expect("docker's client");
    until("the request", || late.held() == 1);
    client.kill().expect("our child");
    client.wait().expect("our child");
    until("its effect", || engine.docker(&["inspect", "--format", "{{.State.Paused}}", &name]) == "true");
    until("its answer", || late.landed() == 1);
    engine.docker(&["rm", "--force", &name]);
}
