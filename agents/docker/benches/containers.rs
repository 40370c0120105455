//! How long the members of a set are looked for among five hundred containers (the reach is 300 ms).
//!
//! `cargo bench -p chaos-docker`, as root: the engine is one of the testbed's own.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::World;
use chaos_core::target::ResolveContext;
use chaos_docker::Docker;
use chaos_testbed::Engine;
use serde_json::json;

/// So many there are, and so many of them run.
const ALL: usize = 500;
const RUNNING: usize = 20;

/// How often it is measured.
const TIMES: usize = 50;

fn main() {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(absent) => return println!("not measured: {}", absent.0),
    };
    let names: Vec<String> = (0..ALL).map(|n| format!("c{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let how: &[&str] = if n < RUNNING { &["run", "-d"] } else { &["create"] };
        let label = format!("group={}", n % 10);
        engine.docker(&[how, &["--name", name, "--label", &label, "--label", "app=ranker", Engine::BUSYBOX, "sleep", "1000"]].concat());
    }
    let docker = Arc::new(Docker::with_host(&engine.endpoint()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kinds = chaos_docker::target_kinds(&docker);
    let kind = kinds.get("containers").expect("a kind");
    for (what, selector, found) in
        [("all 500", json!({"labels": {"app": "ranker"}}), ALL), ("50 of 500", json!({"labels": {"group": "3"}}), ALL / 10)]
    {
        let took = measured(|| {
            let members = runtime.block_on(kind.resolve(&selector, &ResolveContext::default())).expect("members");
            assert_eq!(members.len(), found);
        });
        println!("find {what}: median {:?}, worst {:?}", took[TIMES / 2], took[TIMES - 1]);
    }
    let view = docker.view();
    let took = measured(|| {
        let asked = runtime.block_on(async { view.discovered().await.expect("an engine").containers().await.expect("containers") });
        assert_eq!(asked.len(), ALL);
    });
    println!("inspect all 500: median {:?}, worst {:?}", took[TIMES / 2], took[TIMES - 1]);
}

/// How long it took, shortest first.
fn measured(mut what: impl FnMut()) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let since = Instant::now();
            what();
            since.elapsed()
        })
        .collect();
    took.sort();
    took
}
