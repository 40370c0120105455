//! Many containers of a real engine: found and planned for, frozen, and let go after the coordinator's death.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chaos_testbed::Engine;

use crate::measure::{beside, line_ms, median, quantile, run_undisturbed, runs};
use crate::scene::{Folder, Server, chaos};

const ALL: usize = 500;
const RUNNING: usize = 50;
const LONG: Duration = Duration::from_secs(60);

/// Resolve all, most of which do not run, and plan for those that do.
pub fn plan() {
    let Some(engine) = engine() else { return };
    make(&engine, "create", "rest", ALL - RUNNING);
    make(&engine, "run --detach", "runs", RUNNING);
    let folder = Folder::new();
    let file =
        folder.experiment(&experiment(&Server::start(), &format!("  all: {{containers: {{labels: {{app: bench}}}}, expect: {ALL}}}\n")));
    let plan = || {
        let mut command = chaos(&folder.state());
        command.arg("plan").arg(&file).env("DOCKER_HOST", engine.endpoint());
        command
    };
    let output = plan().stderr(Stdio::piped()).output().expect("a plan");
    assert!(output.status.success(), "it can be planned: {}", String::from_utf8_lossy(&output.stderr));
    let took = (0..runs(20)).map(|_| run_undisturbed(&mut plan()).wall).collect();
    line_ms(&format!("resolve and plan over {ALL} containers, median"), median(took), 300.0);
    let list = (0..runs(20)).map(|_| asked(&engine, "/containers/json?all=1")).collect();
    beside("the engine's list of them, asked by hand", &ms(median(list)));
    let ids = engine.docker(&["ps", "-aq", "--no-trunc"]);
    let each = || ids.split_whitespace().map(|id| asked(&engine, &format!("/containers/{id}/json"))).sum();
    beside("each inspected by hand, one after another", &ms(median((0..runs(5)).map(|_| each()).collect())));
}

/// Freezes those that run; then nobody is left to let them go but the executor.
pub fn pause() {
    let Some(engine) = engine() else { return };
    make(&engine, "run --detach", "runs", RUNNING);
    let server = Server::start();
    let text = experiment(&server, "");
    let (mut spread, mut back) = (Vec::new(), Vec::new());
    for _ in 0..runs(10) {
        let folder = Folder::new();
        let (file, began) = (folder.experiment(&text), now());
        let mut run = chaos(&folder.state());
        run.stderr(Stdio::inherit());
        let mut run = run.arg("run").arg(&file).arg("--quiet").env("DOCKER_HOST", engine.endpoint()).spawn().expect("a run");
        until_frozen(&engine, RUNNING);
        let frozen = events(&engine, "pause", began);
        // The last answer is written down.
        std::thread::sleep(Duration::from_millis(300));
        let killed = now();
        run.kill().expect("a kill");
        run.wait().expect("an end");
        until_frozen(&engine, 0);
        let go_on = events(&engine, "unpause", killed);
        assert_eq!((frozen.len(), go_on.len()), (RUNNING, RUNNING), "the engine says so");
        spread.push(frozen[RUNNING - 1].saturating_sub(frozen[0]));
        back.push(go_on[RUNNING - 1].saturating_sub(killed));
        std::thread::sleep(Duration::from_millis(500));
    }
    line_ms(&format!("pause {RUNNING} containers, first to last, median"), median(spread.clone()), 500.0);
    beside("… slowest", &ms(quantile(spread, 100)));
    line_ms(&format!("SIGKILL of the coordinator to all {RUNNING} running, slowest"), quantile(back.clone(), 100), 2_000.0);
    beside("… median", &ms(median(back)));
    by_hand(&engine);
}

/// The same by Docker's own client, which is told all names at once.
fn by_hand(engine: &Engine) {
    let ids = engine.docker(&["ps", "-q", "--filter", "label=bench=runs"]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    for what in ["pause", "unpause"] {
        let began = now();
        engine.docker(&[&[what][..], &ids].concat());
        let seen = events(engine, what, began);
        beside(&format!("`docker {what}` of all, first to last"), &ms(seen[seen.len() - 1].saturating_sub(seen[0])));
    }
}

fn engine() -> Option<Engine> {
    Engine::start().map_err(|absent| println!("containers: not measured: {absent}")).ok()
}

/// So many, eight at a time, with a label.
fn make(engine: &Engine, how: &str, label: &str, count: usize) {
    let label = format!("bench={label}");
    let words: Vec<&str> = how.split(' ').chain(["--network", "none", "--label", "app=bench", "--label", &label]).collect();
    let words = [&words[..], &[Engine::BUSYBOX, "sleep", "10000"]].concat();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let words = &words;
            scope.spawn(move || (n..count).step_by(8).for_each(|_| drop(engine.docker(words))));
        }
    });
}

/// Those that run are frozen; there are more targets than these.
fn experiment(server: &Server, more: &str) -> String {
    format!(
        "version: 1\nexperiment: numbers\nsteady_state:\n  answers:\n    probe: http\n    with: {{get: \"http://{}/\"}}\n    every: 20ms\n    \
         timeout: 1s\n    baseline: {{success: \">= 50%\", for: 300ms}}\n    recovery: {{within: 10s, hold: 0s}}\n\
         targets:\n  running: {{containers: {{labels: {{bench: runs}}}}, expect: {RUNNING}}}\n{more}\
         blast_radius: {{duration: 5m, targets: {{running: {{at_most: {RUNNING}, share: 100%}}}}}}\n\
         method:\n  - {{inject: container.pause, into: running, pick: all, for: 1m}}\n",
        server.address
    )
}

/// How long one question takes, on a connection of its own.
fn asked(engine: &Engine, path: &str) -> Duration {
    let began = Instant::now();
    let mut stream = UnixStream::connect(engine.socket()).expect("the engine's socket");
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("asked");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
    began.elapsed()
}

/// When, by the engine's own clock, it did so; in order, as time since 1970.
fn events(engine: &Engine, what: &str, since: Duration) -> Vec<Duration> {
    let (since, until) = (seconds(since), seconds(now()));
    let filter = format!("event={what}");
    let said = engine.docker(&["events", "--since", &since, "--until", &until, "--filter", &filter, "--format", "{{.TimeNano}}"]);
    let mut times: Vec<Duration> = said.lines().map(|line| Duration::from_nanos(line.parse().expect("nanoseconds"))).collect();
    times.sort_unstable();
    times
}

fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970")
}

fn until_frozen(engine: &Engine, count: usize) {
    let deadline = Instant::now() + LONG;
    while engine.docker(&["ps", "-q", "--filter", "status=paused"]).lines().count() != count {
        assert!(Instant::now() < deadline, "never were {count} frozen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ms(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1e3)
}
