//! Every experiment on containers is run for real, as experiments/README.md says, and must come to the verdict that it
//! promises; whatever the verdict, the shop has all its containers, and all of them run.

use std::process::Output;

use chaos_testbed::{Engine, not_covered};

use super::image::folder;
use super::promised::{experiments, promised, proved, told};
use super::shop::{Shop, engine};

const RESTARTED: &[(&str, &str)] = &[("RESTART", "always")];
const NOT_RESTARTED: &[(&str, &str)] = &[("RESTART", "no")];

/// Opens a shop and runs an experiment on it.
fn holds(name: &str, environment: &[(&str, &str)]) {
    let engine = match engine() {
        Ok(engine) => engine,
        Err(absent) => return not_covered(&format!("experiments/{name}.yaml"), &absent.0),
    };
    let shop = Shop::open(engine, environment);
    let output = proved(promised(name), || run(name, &shop));
    assert_eq!(output.status.code(), promised(name), "{}", told(&output));
    as_it_was(engine, &shop);
}

fn run(name: &str, shop: &Shop) -> Output {
    let state = folder("containers-");
    let file = experiments().join(format!("{name}.yaml"));
    let known = std::fs::read_to_string(&file).expect("it is there");
    let all = [
        ("gateway", shop.gateway.to_string()),
        ("project", shop.project.name.clone()),
        ("replica", format!("{}_ranker_1", shop.project.name)),
    ];
    let settings = all.iter().filter(|(name, _)| known.contains(&format!("\n  {name}: {{default")));
    let mut command = shop.chaos(state.path(), &["run", &file.to_string_lossy()]);
    for (name, value) in settings {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.output().expect("chaos runs")
}

/// All parts run.
fn as_it_was(engine: &Engine, shop: &Shop) {
    for (service, count) in [("gateway", 1), ("ranker", 3), ("store", 1)] {
        let containers = shop.project.containers(service);
        assert_eq!(containers.len(), count, "{service}");
        for container in containers {
            assert_eq!(engine.docker(&["inspect", "--format", "{{.State.Status}}", &container]), "running", "{service}");
        }
    }
}

#[test]
fn container_killed() {
    holds("container-killed", RESTARTED);
}

#[test]
fn container_killed_without_restart() {
    holds("container-killed-without-restart", NOT_RESTARTED);
}

#[test]
fn container_frozen() {
    holds("container-frozen", RESTARTED);
}

#[test]
fn container_all_killed() {
    holds("container-all-killed", RESTARTED);
}

#[test]
fn container_partition() {
    holds("container-partition", RESTARTED);
}

#[test]
fn container_out_of_memory() {
    holds("container-out-of-memory", RESTARTED);
}

#[test]
fn container_disk_full() {
    holds("container-disk-full", RESTARTED);
}
