//! How long it takes to put a fault on packets into the kernel, and to take it back: with its device, its filters and the hooks they stand on;
//! for a plain process, and for a container with a network of its own.
//!
//! `cargo bench -p chaos-host --bench packets`, as root; nothing of this machine's own network is touched.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench says what it measured, and starts what it measures")]

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::AnyFault;
use chaos_core::conformance::arm;
use chaos_core::fault::{FaultError, InjectionId, UndoJson};
use chaos_core::target::{ContainerFacet, Facets, Identity, ProcessId, Target};
use chaos_host::{Host, faults};
use chaos_testbed::Namespace;
use serde_json::json;

const TIMES: usize = 200;
/// What the project has promised, of each; and of what a container adds to a plain process.
const ASKED: Duration = Duration::from_millis(10);
/// Set in the second run of this program, which lives in a network namespace that stands for the host's.
const ON_A_HOST: &str = "CHAOS_BENCH_ON_A_HOST";

fn main() {
    if std::env::var_os(ON_A_HOST).is_none() {
        let program = std::env::current_exe().expect("this program");
        let mut again = Command::new("unshare");
        again.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\""]).arg(program).env(ON_A_HOST, "1");
        if !again.status().is_ok_and(|status| status.success()) {
            println!("not measured: a network namespace of its own needs root");
        }
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let plain = Plain::new();
    let container = match Namespace::new() {
        Ok(container) => container,
        Err(absent) => return println!("not measured: {absent}"),
    };
    let table = faults(&Arc::new(Host::new("/proc/self/exe")));
    let targets = [living(plain.pid(), false), living(container.pid(), true)];
    for (kind, spec) in [
        ("net.rate", json!({"rate": "1 MB/s"})),
        ("net.rate", json!({"rate": "1 MB/s", "direction": "both"})),
        ("net.delay", json!({"delay": "100ms", "jitter": "10ms", "distribution": "normal"})),
    ] {
        let fault = table.get(kind).expect("a fault of the table");
        let root = table.get("net.root").expect("what it stands on");
        let mut took = [Took::default(), Took::default()];
        // By turns, so that whatever else this machine does meets both alike.
        for n in 0..2 * TIMES {
            let id = InjectionId { run: format!("bench-{}", std::process::id()), slot: n.to_string() };
            if let Err(error) = once(fault, root, &spec, &targets[n % 2], &id, &mut took[n % 2]).await {
                println!("{kind} {spec}: not measured: {error}");
                break;
            }
        }
        let [plain, contained] = took.map(Took::sorted);
        plain.say(kind, &spec.to_string(), "on the host");
        contained.say(kind, &spec.to_string(), "in a container");
        contained.say_added(&plain);
    }
}

async fn once(
    fault: &dyn AnyFault,
    root: &dyn AnyFault,
    spec: &serde_json::Value,
    target: &Target,
    id: &InjectionId,
    took: &mut Took,
) -> Result<(), FaultError> {
    let since = Instant::now();
    let prepared = fault.prepare(spec, target, id).await?;
    took.prepared.push(since.elapsed());
    let hooks = root.prepare(&prepared.scaffolds[0].spec, target, id).await?.undo;
    let since = Instant::now();
    put(root, id, &hooks).await;
    put(fault, id, &prepared.undo).await;
    took.injected.push(since.elapsed());
    let since = Instant::now();
    fault.revert(&prepared.undo).await?;
    took.reverted.push(since.elapsed());
    root.revert(&hooks).await.map(drop)
}

/// A process that lives where this program lives.
struct Plain(Child);

impl Plain {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("it sleeps"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn put(fault: &dyn AnyFault, id: &InjectionId, undo: &UndoJson) {
    fault.stage(&arm(id.clone(), undo.clone())).await.expect("staged");
    fault.inject(arm(id.clone(), undo.clone())).await.expect("injected");
}

/// A process as a target; as a container, what its engine says of it beside it.
fn living(pid: i32, contained: bool) -> Target {
    let container = ContainerFacet { engine: "unix:///nowhere".into(), id: "4f".repeat(32), name: "bench".into(), beyond: None };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let start_ticks = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok()).expect("a start time");
    let inode = std::fs::metadata(format!("/proc/{pid}/ns/net")).expect("a namespace").ino();
    Target {
        identity: Identity("bench".into()),
        label: "the bench's own".into(),
        place: "here".into(),
        order: String::new(),
        healthy: true,
        started: 0,
        groups: std::collections::BTreeMap::new(),
        facets: Facets {
            process: Some(ProcessId { pid, start_ticks }),
            listening: vec![8001],
            network_namespace: Some(inode),
            container: contained.then_some(container),
            ..Facets::default()
        },
    }
}

#[derive(Default)]
struct Took {
    prepared: Vec<Duration>,
    injected: Vec<Duration>,
    reverted: Vec<Duration>,
}

impl Took {
    fn sorted(mut self) -> Self {
        for times in [&mut self.prepared, &mut self.injected, &mut self.reverted] {
            times.sort();
        }
        self
    }

    fn all(&self) -> [(&str, &[Duration]); 3] {
        [("prepared", &self.prepared), ("injected", &self.injected), ("reverted", &self.reverted)]
    }

    fn say(&self, kind: &str, spec: &str, place: &str) {
        if self.reverted.is_empty() {
            return;
        }
        println!("{kind} {spec} {place}, {} times", self.reverted.len());
        for (what, times) in self.all() {
            let at = |part: usize| times[(times.len() - 1) * part / 100];
            let verdict = match what {
                "prepared" => "".into(),
                _ => within(at(50)),
            };
            println!("  {what}: median {:.1?}, 90 of 100 {:.1?}, slowest {:.1?}{verdict}", at(50), at(90), at(100));
        }
    }

    fn say_added(&self, plain: &Self) {
        if self.reverted.is_empty() || plain.reverted.is_empty() {
            return;
        }
        println!("  what a container adds, of the medians:");
        for ((what, contained), (_, plain)) in self.all().into_iter().zip(plain.all()) {
            let added = contained[contained.len() / 2].saturating_sub(plain[plain.len() / 2]);
            println!("  {what}: {added:.1?}{}", within(added));
        }
    }
}

fn within(took: Duration) -> String {
    if took <= ASKED { ", within the 10 ms asked for".into() } else { ", more than the 10 ms asked for".into() }
}
