//! The crash matrix of faults on containers: some points of it, drawn by a seed, or all of them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use chaos_core::failpoint;
use chaos_core::target::{ContainerFacet, Facets, Target};
use chaos_testbed::{Engine, EngineTwin};
use serde_json::{Value, json};

use super::engine;
use crate::crash::{SplitMix, asked, case};
use crate::harness::crash::{Act, Scene, VICTIMS, When, all};
use crate::harness::{injection, target};
use crate::scaffold::until;
use crate::scenes::{Mechanism, identity};

/// Every way in which a fault on a container is taken back, and how many of its points are usually drawn.
fn mechanisms() -> Vec<(Mechanism, usize)> {
    let of = |name, scene, usual| (Mechanism { name, scene, other_kernel: false }, usual);
    vec![
        of("unpause", frozen, 2),
        of("start", stopped, 2),
        of("connect", cut_off, 2),
        of("start after a crash", crashed, 1),
        of("start of what starts itself", crashed_with_policy, 1),
        of("uncover", unhealthy, 1),
        of("limits", limited, 1),
        of("file in layers, in place", file_changed, 1),
        of("file in layers, moved", file_deleted, 1),
    ]
}

fn frozen(_: &Path, run: &str) -> Scene {
    harmed(run, "container.pause", json!({}), &[])
}

fn stopped(_: &Path, run: &str) -> Scene {
    harmed(run, "container.stop", json!({"grace": "1s"}), EngineTwin::STARTED)
}

fn cut_off(_: &Path, run: &str) -> Scene {
    harmed(run, "container.disconnect", json!({}), &["EndpointID"])
}

fn crashed(_: &Path, run: &str) -> Scene {
    harmed(run, "container.kill", json!({}), EngineTwin::STARTED)
}

/// Its policy may start it before anybody takes the fault back: then nothing but the stamp says that it is in force.
fn crashed_with_policy(_: &Path, run: &str) -> Scene {
    static LOST: OnceLock<Vec<&str>> = OnceLock::new();
    let lost = LOST.get_or_init(|| [EngineTwin::STARTED, &["RestartCount"]].concat());
    let container = Container::start(&["--restart", "always"], &["sleep", "1000"]);
    let target = container.target();
    scene(run, "container.kill", json!({}), target, container, lost, || Ok(()))
}

/// The check has a program of its own. What the engine says of it follows its next check, so the mounts are looked at;
/// a check that is under way at the moment of a look is listed as well.
fn unhealthy(_: &Path, run: &str) -> Scene {
    let check = ["--health-cmd", "/check || exit 1", "--health-interval", "1s", "--health-retries", "1"];
    let container = Container::start(&check, &["sh", "-c", "printf '#!/bin/sh\nexit 0\n' >/check; chmod +x /check; exec sleep 1000"]);
    let pid = container.pid();
    until("its check is there", || Path::new(&format!("/proc/{pid}/root/check")).metadata().is_ok_and(|m| m.mode() & 0o111 != 0));
    let mounts = move || fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let (target, before) = (container.target(), mounts());
    scene(run, "container.health", json!({}), target, container, &["State.Health", "ExecIDs"], move || {
        let now = mounts();
        if now == before { Ok(()) } else { Err(format!("the mounts were\n{before}and are\n{now}")) }
    })
}

fn limited(_: &Path, run: &str) -> Scene {
    harmed(run, "container.limit", json!({"cpus": 0.25, "memory": "64 MiB", "pids": 40}), &[])
}

fn file_changed(_: &Path, run: &str) -> Scene {
    damaged(run, json!({"flip": "64 B"}))
}

fn file_deleted(_: &Path, run: &str) -> Scene {
    damaged(run, json!({"delete": true}))
}

/// A file in a container's own layer, as its processes see it, and the names in every folder above it.
fn damaged(run: &str, with: Value) -> Scene {
    let makes_it = "mkdir -p /srv/model; seq 1 2000 >/srv/model/weights; chmod 640 /srv/model/weights; touch /srv/ready; exec sleep 1000";
    let container = Container::start(&[], &["sh", "-c", makes_it]);
    let root = PathBuf::from(format!("/proc/{}/root", container.pid()));
    until("its file is there", || root.join("srv/ready").exists());
    let seen = move || {
        let file = root.join("srv/model/weights");
        let facts = file.metadata().map(|m| (m.ino(), m.mode(), m.uid(), m.mtime(), m.mtime_nsec())).ok();
        let folders = ["", "srv", "srv/model"].map(|folder| names_in(&root.join(folder)));
        (facts, fs::read(file).unwrap_or_default(), folders)
    };
    let mut target = container.target();
    target.identity.0 = format!("file:{}:/srv/model/weights", target.identity);
    target.facets = Facets { path: Some("/srv/model/weights".into()), container: None, tree: Vec::new(), ..target.facets };
    let before = seen();
    scene(run, "file.corrupt", with, target, container, &[], move || {
        let now = seen();
        if now == before { Ok(()) } else { Err(format!("the file was {:?} in {:?} and is {:?} in {:?}", before.0, before.2, now.0, now.2)) }
    })
}

fn names_in(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.file_name())).collect();
    names.sort();
    names
}

/// A network whose addresses are asked for, so that they come back, and one that nobody has.
fn network() -> (&'static str, String) {
    static MADE: OnceLock<String> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(2);
    let network = MADE.get_or_init(|| {
        let name = Engine::unique("crash");
        Container::engine().docker(&["network", "create", "--subnet", "10.99.0.0/16", &name]);
        name
    });
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    (network, format!("10.99.{high}.{low}"))
}

/// A container that sleeps.
fn harmed(run: &str, fault: &str, with: Value, lost: &'static [&'static str]) -> Scene {
    let container = Container::start(&[], &["sleep", "1000"]);
    let target = container.target();
    scene(run, fault, with, target, container, lost, || Ok(()))
}

/// A container of its own, with fields that the fault says are lost, and what else is looked at.
fn scene(
    run: &str,
    fault: &str,
    with: Value,
    target: Target,
    container: Container,
    lost: &'static [&'static str],
    also: impl Fn() -> Result<(), String> + Send + 'static,
) -> Scene {
    let before = container.twin();
    let planned = injection("1.0.0", fault, with, target);
    let (name, stamp) = (container.name.clone(), format!("label=chaos.run={run}"));
    let look = move || {
        let now = EngineTwin::of_only(Container::engine(), &[&name]);
        let differences = before.differences(&now, lost);
        if !differences.is_empty() {
            return Err(differences.join("\n"));
        }
        match Container::engine().docker(&["volume", "ls", "--quiet", "--filter", &stamp]).as_str() {
            "" => also(),
            left => Err(format!("a stamp is left: {left}")),
        }
    };
    Scene { act: Act::Inject(Box::new(planned)), look: Box::new(look), bound: false, keep: Box::new(container) }
}

struct Container {
    name: String,
}

impl Container {
    fn engine() -> &'static Engine {
        Engine::shared().expect("it was there before")
    }

    /// With these options, and this as its program.
    fn start(options: &[&str], program: &[&str]) -> Self {
        let name = Engine::unique("crash");
        // It ends when it is told to, unlike a first process without a handler.
        let (network, address) = network();
        let attached = ["--network", network, "--ip", &address, "--network-alias", "store"];
        let runs = [&["run", "--detach", "--init", "--name", &name][..], &attached, options, &[Engine::BUSYBOX], program].concat();
        Self::engine().docker(&runs);
        Self { name }
    }

    fn twin(&self) -> EngineTwin {
        EngineTwin::of_only(Self::engine(), &[&self.name])
    }

    fn says(&self, template: &str) -> String {
        Self::engine().docker(&["container", "inspect", "--format", template, &self.name])
    }

    /// Of its first process, which is one of this host.
    fn pid(&self) -> i32 {
        self.says("{{.State.Pid}}").parse().expect("a pid")
    }

    fn target(&self) -> Target {
        let (id, process) = (self.says("{{.Id}}"), identity(self.pid()));
        let identity = format!("container:{id}");
        let facet = ContainerFacet { engine: Self::engine().endpoint(), id, name: self.name.clone(), beyond: None };
        let facets = Facets { process: Some(process), tree: vec![process], container: Some(facet), ..Facets::default() };
        Target { facets, ..target(&identity) }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Self::engine().try_docker(&["rm", "--force", &self.name]);
    }
}

/// `CHAOS_CAMPAIGN_SEED` says which points, `CHAOS_CAMPAIGN_POINTS` how many of each mechanism, `CHAOS_CAMPAIGN_ONLY` a mechanism by
/// a part of its name.
#[test]
#[allow(clippy::print_stdout, reason = "whoever sees it fail must be able to repeat it")]
fn rule_37_crash_matrix_of_containers() {
    if engine("rule_37_crash_matrix_of_containers").is_none() {
        return;
    }
    let seed = asked("CHAOS_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let most = asked("CHAOS_CAMPAIGN_POINTS").and_then(|n| usize::try_from(n).ok());
    let only = std::env::var("CHAOS_CAMPAIGN_ONLY").unwrap_or_default();
    println!("points drawn by seed {seed} (CHAOS_CAMPAIGN_SEED={seed} repeats them)");
    let mut draw = SplitMix(seed);
    let mut cases = Vec::new();
    for (mechanism, usual) in mechanisms().into_iter().filter(|(m, _)| m.name.contains(&only)) {
        let points = draw.some_of(&failpoint::ALL, most.unwrap_or(usual));
        cases.extend(points.into_iter().flat_map(|point| VICTIMS.map(|victim| case(mechanism, When::At(point), victim, None))));
    }
    let failures = all("crash matrix of containers", cases);
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
}

#[test]
fn rule_37_every_look_at_a_container_sees_its_effect() {
    if engine("rule_37_every_look_at_a_container_sees_its_effect").is_some() {
        mechanisms().into_iter().for_each(|(mechanism, _)| crate::crash::look_sees(mechanism));
    }
}
