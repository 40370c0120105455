//! Containers as targets and as an answer, of a real engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::World;
use chaos_core::probe::{Answer, AnyClient, Asking};
use chaos_core::target::{Facet, Facets, Identity, Population, ResolveContext, ResolveError, Target};
use chaos_core::value::FieldValue;
use chaos_docker::{Docker, Fate};
use chaos_testbed::{Engine, Payload};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);

/// Containers of one test; they go with it.
struct Bed {
    engine: &'static Engine,
    docker: Arc<Docker>,
    runtime: tokio::runtime::Runtime,
    mark: String,
}

impl Bed {
    /// Nothing, with the reason told, where this machine has no engine.
    fn new(test: &str) -> Option<Self> {
        let engine = match Engine::shared() {
            Ok(engine) => engine,
            Err(absent) => {
                chaos_testbed::not_covered(test, &absent.0);
                return None;
            }
        };
        let docker = Arc::new(Docker::with_host(&engine.endpoint()));
        Some(Self { engine, docker, runtime: runtime(), mark: Engine::unique("bed") })
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.mark)
    }

    /// Runs a container with this test's label, and gives its id.
    fn run(&self, name: &str, options: &[&str], words: &[&str]) -> String {
        let (name, label) = (self.name(name), format!("bed={}", self.mark));
        let all = [&["run", "-d", "--name", &name, "--label", &label], options, &[Engine::BUSYBOX], words].concat();
        self.engine.docker(&all)
    }

    fn resolve(&self, selector: &serde_json::Value) -> Result<Population, ResolveError> {
        let kinds = chaos_docker::target_kinds(&self.docker);
        let kind = kinds.get("containers").expect("a kind");
        self.runtime.block_on(kind.resolve(selector, &ResolveContext::default()))
    }

    /// Everything of this test, by name.
    fn all(&self) -> Population {
        self.resolve(&json!({"labels": {"bed": self.mark}})).expect("members")
    }

    fn probe(&self, targets: Population) -> Arc<dyn AnyClient> {
        let probes = chaos_docker::probes(&self.docker);
        let probe = probes.get("container").expect("a probe");
        let asking = Asking { timeout: PATIENCE, in_flight_max: 1, wanted: BTreeSet::new(), targets, folder: std::env::temp_dir() };
        self.runtime.block_on(probe.open(&json!({}), &asking)).expect("a client")
    }

    fn ask(&self, client: &Arc<dyn AnyClient>) -> Answer {
        self.runtime.block_on(client.ask()).expect("an answer")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let ids = self.engine.try_docker(&["ps", "-aq", "--filter", &format!("label=bed={}", self.mark)]).unwrap_or_default();
        for id in ids.lines() {
            let _ = self.engine.try_docker(&["rm", "-f", "-v", id]);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn member<'a>(members: &'a [Target], name: &str) -> &'a Target {
    members
        .iter()
        .find(|t| t.facets.container.as_ref().is_some_and(|c| c.name == name))
        .unwrap_or_else(|| panic!("no {name} in {members:?}"))
}

/// `running`, `healthy`, `total`, `restarts`, `exit_code`.
fn numbers(answer: &Answer) -> [f64; 5] {
    ["running", "healthy", "total", "restarts", "exit_code"].map(|field| match answer.get(field) {
        Some(FieldValue::Number(n)) => *n,
        other => panic!("{field}: {other:?}"),
    })
}

#[test]
fn rule_16_a_running_container_has_its_own_processes_as_facets() {
    let Some(bed) = Bed::new("rule_16_a_running_container_has_its_own_processes_as_facets") else { return };
    let id = bed.run("web", &["--label", "chaos.zone=a"], &["httpd", "-f", "-p", "8080"]);
    let name = bed.name("web");
    bed.engine.docker(&["exec", "-d", &name, "sleep", "1000"]);
    until("it listens", || member(&bed.all(), &name).facets.listening == [8080]);
    until("what was started beside it runs", || member(&bed.all(), &name).facets.tree.len() == 2);

    let web = bed.all().remove(0);
    let pid: i32 = bed.engine.docker(&["inspect", "-f", "{{.State.Pid}}", &name]).parse().expect("a pid");
    assert_eq!(web.identity.0, format!("container:{id}"));
    assert!(web.healthy && web.groups["zone"] == "a", "{web:?}");
    let facets = &web.facets;
    assert_eq!(facets.process.map(|p| p.pid), Some(pid), "the first process, not the one started beside it");
    assert_eq!(facets.tree.first().copied(), facets.process);
    assert!(facets.cgroup.as_ref().is_some_and(|path| path.contains(&id)), "{:?}", facets.cgroup);
    assert!(facets.has(Facet::NetworkNamespace) && facets.container.as_ref().is_some_and(|c| c.beyond.is_none()));
    assert_eq!(bed.docker.view().protected(&web), None);
}

#[test]
fn what_does_not_run_is_a_member_that_says_why_nothing_of_this_host_stands_beside_it() {
    let Some(bed) = Bed::new("what_does_not_run_is_a_member_that_says_why_nothing_of_this_host_stands_beside_it") else { return };
    bed.run("ended", &[], &["sh", "-c", "exit 3"]);
    bed.run("frozen", &[], &["sleep", "1000"]);
    bed.run("spared", &["--label", "chaos.exempt=true"], &["sleep", "1000"]);
    bed.engine.docker(&["pause", &bed.name("frozen")]);
    until("it has ended", || bed.all()[0].label.ends_with("exited)"));

    let members = bed.all();
    assert_eq!(members.len(), 2, "what is exempt is never found: {members:?}");
    let ended = member(&members, &bed.name("ended"));
    let why = ended.facets.container.as_ref().and_then(|c| c.beyond.as_deref());
    assert_eq!((ended.healthy, why, ended.facets.process), (false, Some("it is exited, not running"), None));
    let frozen = member(&members, &bed.name("frozen"));
    assert!(!frozen.healthy && frozen.facets.process.is_some() && frozen.label.ends_with("paused)"), "{frozen:?}");

    let spared = bed.resolve(&json!({"names": [bed.name("spared")]})).expect_err("never a target");
    assert!(spared.nothing && spared.message.contains("chaos.exempt=true"), "{spared}");
    let typo = bed.resolve(&json!({"names": [bed.name("endet")]})).expect_err("no such container");
    assert!(typo.message.contains(&format!("nearest: {}", bed.name("ended"))), "{typo}");
}

#[test]
fn an_image_is_known_by_the_name_that_the_container_was_made_of() {
    let Some(bed) = Bed::new("an_image_is_known_by_the_name_that_the_container_was_made_of") else { return };
    let image = Engine::unique("built");
    bed.engine.docker(&["tag", Engine::BUSYBOX, &image]);
    let label = format!("bed={}", bed.mark);
    bed.engine.docker(&["run", "-d", "--name", &bed.name("old"), "--label", &label, &image, "sleep", "1000"]);
    // Built anew meanwhile: the name is another image's.
    bed.engine.image(&image, &Payload::new().with_program("/usr/bin/sleep"));
    let found = bed.resolve(&json!({"image": image, "labels": {"bed": bed.mark}})).expect("it was made of it");
    assert_eq!(found.len(), 1);
}

#[test]
fn a_process_in_a_container_that_says_to_spare_it_is_never_a_target() {
    let Some(bed) = Bed::new("a_process_in_a_container_that_says_to_spare_it_is_never_a_target") else { return };
    bed.run("plain", &[], &["sleep", "1000"]);
    let spared = bed.run("spared", &["--label", "chaos.exempt=true"], &["sleep", "1000"]);
    let plain = bed.all().remove(0);
    // As `processes` finds it: without the container, in its control group.
    let process = |container: &Target, cgroup: Option<String>| {
        let facets = Facets { container: None, cgroup, ..container.facets.clone() };
        Target { identity: Identity("process:1@1".into()), facets, ..container.clone() }
    };
    let view = bed.docker.view();
    assert_eq!(view.protected(&process(&plain, plain.facets.cgroup.clone())), None);
    let why = view.protected(&process(&plain, Some(format!("/docker/{spared}"))));
    assert!(why.is_some_and(|why| why.contains("chaos.exempt=true")));
    assert_eq!(view.protected(&process(&plain, Some("/system.slice/nginx.service".into()))), None);
}

#[test]
fn a_container_that_is_restarted_is_the_same_and_one_made_anew_is_another() {
    let Some(bed) = Bed::new("a_container_that_is_restarted_is_the_same_and_one_made_anew_is_another") else { return };
    let id = bed.run("ranker", &[], &["sleep", "1000"]);
    let name = bed.name("ranker");
    let before = bed.all();
    bed.engine.docker(&["restart", "-t", "0", &name]);
    let after = bed.all();
    assert_eq!(before[0].identity, after[0].identity);
    assert_ne!(before[0].facets.process, after[0].facets.process);

    let engine = bed.runtime.block_on(bed.docker.view().engine(&bed.engine.endpoint())).expect("an engine");
    let fate = |id: &str| bed.runtime.block_on(engine.fate(id, &name)).expect("a fate");
    assert!(matches!(fate(&id), Fate::Exists(c) if c.id == id && c.is_well()));
    let renamed = bed.name("renamed");
    bed.engine.docker(&["rename", &name, &renamed]);
    assert_eq!(fate(&id).finding(&name), Some(format!("container {name} was renamed to {renamed}")));
    bed.engine.docker(&["rename", &renamed, &name]);
    bed.engine.docker(&["rm", "-f", &name]);
    assert_eq!(fate(&id), Fate::Removed);
    let other = bed.run("ranker", &[], &["sleep", "1000"]);
    assert_eq!(fate(&id).finding(&name), Some(format!("container {name} was recreated as {}", &other[..12])));
    assert_ne!(bed.all()[0].identity, before[0].identity);
}

#[test]
fn what_an_engine_says_of_a_container_is_read_whole() {
    let Some(bed) = Bed::new("what_an_engine_says_of_a_container_is_read_whole") else { return };
    let options = ["--restart", "on-failure:3", "--pids-limit", "50", "--read-only", "-p", "127.0.0.1::8080", "--tmpfs", "/run"];
    let id = bed.run("ranker", &options, &["sleep", "1000"]);
    let found = bed.runtime.block_on(async {
        let engine = bed.docker.view().discovered().await.expect("an engine");
        let all = engine.containers().await.expect("containers");
        assert!(all.iter().any(|c| c.id == id), "{all:?}");
        engine.container(&bed.name("ranker")).await.expect("an answer").expect("a container")
    });
    assert_eq!(found.id, id);
    assert_eq!(found.restart_policy.to_string(), "on-failure:3");
    assert_eq!((found.limits.pids, found.read_only, found.auto_remove), (50, true, false));
    assert_eq!((found.published.len(), found.published[0].inside.as_str()), (1, "8080/tcp"));
    let bridge = &found.networks[0];
    assert!(bridge.network == "bridge" && bridge.ip4.is_some() && !bridge.endpoint_id.is_empty(), "{bridge:?}");
    assert!(!found.graph.driver.is_empty() && !found.started_at.is_empty() && found.pid.is_some());
}

#[test]
fn the_probe_counts_who_runs_who_is_well_and_how_the_others_ended() {
    let Some(bed) = Bed::new("the_probe_counts_who_runs_who_is_well_and_how_the_others_ended") else { return };
    for name in ["a", "b", "c"] {
        bed.run(name, &[], &["sleep", "1000"]);
    }
    let probe = bed.probe(bed.all());
    let now = || numbers(&bed.ask(&probe));
    assert_eq!(now(), [3.0, 3.0, 3.0, 0.0, 0.0]);
    bed.engine.docker(&["pause", &bed.name("a")]);
    assert_eq!(now(), [3.0, 2.0, 3.0, 0.0, 0.0]);
    bed.engine.docker(&["unpause", &bed.name("a")]);
    bed.engine.docker(&["kill", &bed.name("b")]);
    until("it has ended", || now() == [2.0, 2.0, 3.0, 0.0, 137.0]);
    bed.engine.docker(&["start", &bed.name("b")]);
    until("it runs again", || now() == [3.0, 3.0, 3.0, 1.0, 0.0]);
    // Removed: not there. Made anew under its name: that one counts.
    bed.engine.docker(&["rm", "-f", &bed.name("c")]);
    assert_eq!(now(), [2.0, 2.0, 3.0, 1.0, 0.0]);
    bed.run("c", &[], &["sleep", "1000"]);
    until("the new one counts", || now() == [3.0, 3.0, 3.0, 2.0, 0.0]);
}

#[test]
fn an_engine_that_is_restarted_is_asked_again_and_one_that_is_down_is_told() {
    let test = "an_engine_that_is_restarted_is_asked_again_and_one_that_is_down_is_told";
    // Not the one that the other tests use.
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(absent) => return chaos_testbed::not_covered(test, &absent.0),
    };
    let docker = Docker::with_host(&engine.endpoint());
    let runtime = runtime();
    let found = runtime.block_on(docker.view().discovered()).expect("an engine");
    engine.stop();
    let down = runtime.block_on(found.containers()).expect_err("it is down");
    assert!(down.message.contains(&format!("the engine at {}: list containers", engine.endpoint())) && down.hint.is_some(), "{down}");
    engine.bring_up();
    assert_eq!(runtime.block_on(found.containers()).expect("an answer"), []);
}
