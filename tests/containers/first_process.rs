//! `chaos` in a container, beside the system that it harms: the example of examples/container, run by Compose.

use std::process::Command;
use std::time::{Duration, Instant};

use chaos_testbed::{Engine, not_covered};

use super::promised::{proved, told};
use super::shop::{Project, engine};

const PATIENCE: Duration = Duration::from_secs(90);

/// The example with an engine, or nothing where there is none.
fn gate(what: &str) -> Option<(&'static Engine, Project)> {
    match engine() {
        Ok(engine) => {
            let socket = engine.socket().display().to_string();
            let mut project = Project::new(engine, "examples/container/compose.yaml", &[("DOCKER_SOCKET", &socket)]);
            project.set("COMPOSE_PROJECT_NAME", &project.name.clone());
            Some((engine, project))
        }
        Err(absent) => {
            not_covered(what, &absent.0);
            None
        }
    }
}

/// A gate whose fault is in force, the container that chaos runs in, and the one that it has frozen.
fn in_the_middle(engine: &'static Engine, project: &Project) -> (String, String) {
    let chaos = format!("{}-chaos", project.name);
    let output = project.compose(&["run", "--detach", "--name", &chaos, "chaos"]).output().expect("docker-compose runs");
    assert!(output.status.success(), "{}", told(&output));
    let since = Instant::now();
    loop {
        if let Some(frozen) = project.containers("ranker").into_iter().find(|id| state(engine, id) == "paused") {
            return (chaos, frozen);
        }
        assert!(since.elapsed() < PATIENCE, "nothing is frozen: {}", engine.docker(&["logs", &chaos]));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn state(engine: &Engine, container: &str) -> String {
    engine.docker(&["inspect", "--format", "{{.State.Status}}", container])
}

/// Undos of this project's runs that stand in the engine.
fn undos(engine: &Engine, frozen: &str) -> usize {
    let named = engine.docker(&["volume", "ls", "--quiet", "--filter", "label=chaos.undo"]);
    let is_its = |volume: &&str| engine.try_docker(&["volume", "inspect", volume]).is_ok_and(|said| said.contains(frozen));
    named.split_whitespace().filter(is_its).count()
}

#[test]
fn compose_runs_an_experiment_against_the_neighbours_and_ends_with_the_verdict() {
    let Some((_, project)) = gate("examples/container/compose.yaml") else { return };
    let run = || project.compose(&["run", "--rm", "chaos"]).output().expect("docker-compose runs");
    let output = proved(Some(0), run);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let wrong = project.compose(&["run", "--rm", "chaos", "run", "no-such-file.yaml"]).output().expect("docker-compose runs");
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[test]
fn rule_2_a_coordinator_that_is_killed_in_a_container_leaves_the_executor_to_take_everything_back() {
    let Some((engine, project)) = gate("the coordinator of a container, killed") else { return };
    let (chaos, frozen) = in_the_middle(engine, &project);
    assert_eq!(undos(engine, &frozen), 1, "its undo stands in the engine");
    let first = engine.docker(&["inspect", "--format", "{{.State.Pid}}", &chaos]);
    let killed = Command::new("pkill").args(["-KILL", "--parent", &first]).status();
    assert!(killed.is_ok_and(|status| status.success()), "the coordinator is the only child of the first process");
    assert_eq!(engine.docker(&["wait", &chaos]), "137", "{}", engine.docker(&["logs", &chaos]));
    assert_eq!((state(engine, &frozen).as_str(), undos(engine, &frozen)), ("running", 0), "the executor has taken it back");
}

#[test]
fn rule_2_what_a_killed_container_leaves_is_taken_back_by_the_next_one_with_its_journal() {
    let Some((engine, project)) = gate("a container of chaos, killed") else { return };
    let (chaos, frozen) = in_the_middle(engine, &project);
    engine.docker(&["kill", &chaos]);
    engine.docker(&["wait", &chaos]);
    assert_eq!((state(engine, &frozen).as_str(), undos(engine, &frozen)), ("paused", 1), "recorded, with nobody left");
    let output = project.compose(&["run", "--rm", "chaos", "recover"]).output().expect("docker-compose runs");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!((state(engine, &frozen).as_str(), undos(engine, &frozen)), ("running", 0), "{}", told(&output));
}
