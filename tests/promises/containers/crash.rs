//! The crash matrix of faults on containers: some points of it, drawn by a seed, or all of them.

use std::path::Path;
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
use crate::scenes::Mechanism;

/// Every way in which a fault on a container is taken back.
fn mechanisms() -> Vec<Mechanism> {
    let of = |name, scene| Mechanism { name, scene, other_kernel: false };
    vec![of("unpause", frozen), of("start", stopped), of("connect", cut_off)]
}

fn frozen(_: &Path, run: &str) -> Scene {
    scene(run, "container.pause", json!({}), &[])
}

fn stopped(_: &Path, run: &str) -> Scene {
    scene(run, "container.stop", json!({"grace": "1s"}), EngineTwin::STARTED)
}

fn cut_off(_: &Path, run: &str) -> Scene {
    scene(run, "container.disconnect", json!({}), &["EndpointID"])
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

/// A container of its own, with fields that the fault says are lost.
fn scene(run: &str, fault: &str, with: Value, lost: &'static [&'static str]) -> Scene {
    let container = Container::start();
    let before = container.twin();
    let planned = injection("1.0.0", fault, with, container.target());
    let (name, stamp) = (container.name.clone(), format!("label=chaos.run={run}"));
    let look = move || {
        let now = EngineTwin::of_only(Container::engine(), &[&name]);
        let differences = before.differences(&now, lost);
        if !differences.is_empty() {
            return Err(differences.join("\n"));
        }
        match Container::engine().docker(&["volume", "ls", "--quiet", "--filter", &stamp]).as_str() {
            "" => Ok(()),
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

    fn start() -> Self {
        let name = Engine::unique("crash");
        // It ends when it is told to, unlike a first process without a handler.
        let (network, address) = network();
        let attached = ["--network", network, "--ip", &address, "--network-alias", "store"];
        let runs = [&["run", "--detach", "--init", "--name", &name][..], &attached, &[Engine::BUSYBOX, "sleep", "1000"]].concat();
        Self::engine().docker(&runs);
        Self { name }
    }

    fn twin(&self) -> EngineTwin {
        EngineTwin::of_only(Self::engine(), &[&self.name])
    }

    fn target(&self) -> Target {
        let id = Self::engine().docker(&["container", "inspect", "--format", "{{.Id}}", &self.name]);
        let identity = format!("container:{id}");
        let facet = ContainerFacet { engine: Self::engine().endpoint(), id, name: self.name.clone(), beyond: None };
        Target { facets: Facets { container: Some(facet), ..Facets::default() }, ..target(&identity) }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Self::engine().try_docker(&["rm", "--force", &self.name]);
    }
}

/// `CHAOS_CAMPAIGN_SEED` says which points, `CHAOS_CAMPAIGN_POINTS` how many of each mechanism.
#[test]
#[allow(clippy::print_stdout, reason = "whoever sees it fail must be able to repeat it")]
fn rule_37_crash_matrix_of_containers() {
    if engine("rule_37_crash_matrix_of_containers").is_none() {
        return;
    }
    let seed = asked("CHAOS_CAMPAIGN_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let most = asked("CHAOS_CAMPAIGN_POINTS").and_then(|n| usize::try_from(n).ok()).unwrap_or(2);
    println!("points drawn by seed {seed} (CHAOS_CAMPAIGN_SEED={seed} repeats them)");
    let mut draw = SplitMix(seed);
    let mut cases = Vec::new();
    for mechanism in mechanisms() {
        let points = draw.some_of(&failpoint::ALL, most);
        cases.extend(points.into_iter().flat_map(|point| VICTIMS.map(|victim| case(mechanism, When::At(point), victim, None))));
    }
    let failures = all("crash matrix of containers", cases);
    assert!(failures.is_empty(), "seed {seed}: {failures:#?}");
}

#[test]
fn rule_37_every_look_at_a_container_sees_its_effect() {
    if engine("rule_37_every_look_at_a_container_sees_its_effect").is_some() {
        mechanisms().into_iter().for_each(crate::crash::look_sees);
    }
}
